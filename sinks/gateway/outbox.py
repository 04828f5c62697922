"""What one client has yet to be sent, bounded in bytes.

Open candles are conflated (only the newest state waits); closed candles are never dropped: a
client too slow for them is ``full``, and is parted with.
"""

from collections import OrderedDict
from collections.abc import Iterable
from itertools import count

import msgspec

from sinks.gateway.candles import Candle
from sinks.gateway.history import Series
from sinks.gateway.protocol import updates_text

BYTES_MAX = 8 << 20
FRAME_BYTES_MAX = 64 << 10
HEAD_BYTES = 40  # a row's share of the envelope around it, about

_Open = tuple[Series, int]
_Slot = int | _Open | str
_STATS = "stats"


class Update(msgspec.Struct, gc=False, frozen=True):
    """A revision of a candle on its way: made once, for all clients that get it."""

    text: str
    size: int
    head: str | None = None
    """Of its envelope: rows that follow each other under one share a frame. None: no row."""
    recv_ms: int = 0
    place: _Open | None = None
    """The window that it is of."""
    closed: bool = True


def update_of(series: Series, head: str, recv_ms: int, candle: Candle) -> Update:
    """Return the change that a revision is."""
    text = candle.row
    place = (series, candle.timestamp)
    return Update(text, len(text) + HEAD_BYTES, head, recv_ms, place, candle.closed)


class Outbox:
    """A queue of texts in order, in which the newest state of an open candle waits once."""

    def __init__(self, bytes_max: int = BYTES_MAX) -> None:
        self.bytes = 0
        self._bytes_max = bytes_max
        self._numbers = count()
        self._waiting: OrderedDict[_Slot, Update] = OrderedDict()

    @property
    def is_full(self) -> bool:
        """Say whether the client is too slow to be served any longer."""
        return self.bytes > self._bytes_max

    def put(self, update: Update) -> None:
        """Queue a revision: an open candle in the place of its older state, if that waits."""
        place = update.place
        if place is None or update.closed:
            if place is not None:
                self._drop(place)
            self._waiting[next(self._numbers)] = update
            self.bytes += update.size
        else:
            self._replace(place, update)

    def put_text(self, text: str) -> None:
        """Queue a whole message."""
        self.put(Update(text, len(text)))

    def put_stats(self, text: str) -> None:
        """Queue the statistics; older ones that wait are replaced."""
        self._replace(_STATS, Update(text, len(text)))

    def drop_open(self, series: Series, candles: Iterable[Candle]) -> None:
        """Forget the states of open candles that a snapshot is about to contain.

        Their place is before the snapshot, and a later state put there would overtake it.
        """
        for candle in candles:
            self._drop((series, candle.timestamp))

    def clear(self) -> None:
        """Forget everything."""
        self._waiting.clear()
        self.bytes = 0

    def take(self) -> list[str]:
        """Return the next messages, about one frame's worth, oldest first."""
        frames: list[str] = []
        head: str | None = None
        recv_ms = taken = 0
        rows: list[str] = []
        waiting = self._waiting
        while waiting and taken < FRAME_BYTES_MAX:
            _, update = waiting.popitem(last=False)
            taken += update.size
            if rows and update.head is not head:
                frames.append(updates_text(head or "", recv_ms, rows))
                rows, recv_ms = [], 0
            if update.head is None:
                frames.append(update.text)
            else:
                head = update.head
                recv_ms = max(recv_ms, update.recv_ms)
                rows.append(update.text)
        if rows:
            frames.append(updates_text(head or "", recv_ms, rows))
        self.bytes -= taken
        return frames

    def _replace(self, slot: _Slot, update: Update) -> None:
        older = self._waiting.get(slot)
        if older is not None:
            self.bytes -= older.size
        self._waiting[slot] = update  # an existing slot keeps its place in the order
        self.bytes += update.size

    def _drop(self, slot: _Slot) -> None:
        dropped = self._waiting.pop(slot, None)
        if dropped is not None:
            self.bytes -= dropped.size
