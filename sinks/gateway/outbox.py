"""What one client has yet to be sent, bounded in bytes.

Open candles are conflated (only the newest state waits); closed candles are never dropped: a
client too slow for them is ``full``, and is parted with.
"""

from collections import OrderedDict
from collections.abc import Iterable
from itertools import count

from sinks.gateway.candles import Candle
from sinks.gateway.protocol import Key, klines_text

BYTES_MAX = 8 << 20
FRAME_BYTES_MAX = 64 << 10

_Slot = int | tuple[Key, int] | str
_STATS = "stats"


class Outbox:
    """A queue of texts in order, in which the newest state of an open candle waits once."""

    def __init__(self, bytes_max: int = BYTES_MAX) -> None:
        self.bytes = 0
        self._bytes_max = bytes_max
        self._numbers = count()
        # head is None for whole messages; rows that follow each other under one head share a frame
        self._waiting: OrderedDict[_Slot, tuple[str | None, str]] = OrderedDict()

    @property
    def is_full(self) -> bool:
        """Say whether the client is too slow to be served any longer."""
        return self.bytes > self._bytes_max

    def put_candle(self, key: Key, head: str, candle: Candle) -> None:
        """Queue a revision: an open candle in the place of its older state, if that waits."""
        place = (key, candle.timestamp)
        if candle.closed:
            self._drop(place)
            self._put(next(self._numbers), head, candle.row)
        else:
            self._put(place, head, candle.row)

    def put_text(self, text: str) -> None:
        """Queue a whole message."""
        self._put(next(self._numbers), None, text)

    def put_stats(self, text: str) -> None:
        """Queue the statistics; older ones that wait are replaced."""
        self._put(_STATS, None, text)

    def drop_open(self, key: Key, candles: Iterable[Candle]) -> None:
        """Forget the states of open candles that a snapshot is about to contain.

        Their place is before the snapshot, and a later state put there would overtake it.
        """
        for candle in candles:
            self._drop((key, candle.timestamp))

    def clear(self) -> None:
        """Forget everything."""
        self._waiting.clear()
        self.bytes = 0

    def take(self) -> list[str]:
        """Return the next messages, about one frame's worth, oldest first."""
        frames: list[str] = []
        taken = 0
        head: str | None = None
        rows: list[str] = []
        while self._waiting and taken < FRAME_BYTES_MAX:
            _, (item_head, text) = self._waiting.popitem(last=False)
            size = _size(item_head, text)
            taken += size
            self.bytes -= size
            if rows and item_head is not head:
                frames.append(klines_text(head or "", rows))
                rows = []
            if item_head is None:
                frames.append(text)
            else:
                head = item_head
                rows.append(text)
        if rows:
            frames.append(klines_text(head or "", rows))
        return frames

    def _put(self, slot: _Slot, head: str | None, text: str) -> None:
        older = self._waiting.get(slot)
        if older is not None:
            self.bytes -= _size(*older)
        self._waiting[slot] = (head, text)  # an existing slot keeps its place in the order
        self.bytes += _size(head, text)

    def _drop(self, slot: _Slot) -> None:
        dropped = self._waiting.pop(slot, None)
        if dropped is not None:
            self.bytes -= _size(*dropped)


def _size(head: str | None, text: str) -> int:
    return len(text) + (0 if head is None else len(head))
