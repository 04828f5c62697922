"""What one client has yet to be sent, bounded in bytes.

Open candles are conflated (only the newest state waits); closed candles are never dropped: a
client too slow for them is ``full``, and is parted with. For a client that reads, the outbox is a
list that is emptied once per turn of the loop; it is counted and conflated only for one that lags.
"""

from collections.abc import Hashable, Sequence
from itertools import count, islice

import msgspec

from sinks.gateway import envelopes
from sinks.gateway.candles import Candle
from sinks.gateway.history import Series

BYTES_MAX = 8 << 20
FRAME_BYTES_MAX = 64 << 10
ROW_OVERHEAD_BYTES = 40  # a row's share of the envelope around it and of the list, about
CONFLATE_FROM_BYTES = 64 << 10
RUN_ROWS_MAX = 64  # of a message that may be the same for many clients
TEXT_FRAME, BINARY_FRAME = 0x81, 0x82  # whole, not the beginning of one
_STATS = "stats"

Seq = tuple[int, int]
"""Partition and offset of a record on ``md.klines.v1``."""


class Update(msgspec.Struct, gc=False, eq=False):
    """A row, or a whole message, on its way: made once, for all clients that get it."""

    text: str
    size: int
    head: str | None = None
    """Of its envelope: rows that follow each other under one share a message. None: no row."""
    recv_ms: int = 0
    place: Hashable = None
    """What it is the state of: for a candle, its window. None: of nothing that could change."""
    closed: bool = True
    """It must be sent, whatever comes after it in its place."""
    seq: Seq | None = None
    """Where it stands on its topic, for a closed candle."""
    forms: dict[str, bytes] = {}
    """What other encodings made of it, by their name: each form is made once."""
    number: int = msgspec.field(default_factory=count().__next__)
    run: "tuple[Encoding, list[int], bytes] | None" = None
    """The last message made that ends with it, and the numbers of its rows: were they the rows
    themselves, they might hold each other for ever."""


class Encoding:
    """How messages are written for a client: JSON."""

    first_byte = TEXT_FRAME
    """Of a frame with a message, or more."""
    separator = b","
    end = b"]}"

    def text(self, text: str) -> bytes:
        """Return what stands for a message in JSON."""
        return text.encode()

    def row(self, update: Update) -> bytes:
        """Return a row."""
        return update.text.encode()

    def begin(self, head: str, recv_ms: int, seq: dict[int, int] | None, rows: int) -> bytes:  # noqa: ARG002
        """Return an envelope up to its so many rows; ``end`` comes behind them."""
        return envelopes.updates_head(head, recv_ms, seq).encode()

    def envelope(
        self, head: str, recv_ms: int, seq: dict[int, int] | None, rows: Sequence[Update]
    ) -> bytes:
        """Return one envelope."""
        texts = ",".join([update.text for update in rows])
        return f"{envelopes.updates_head(head, recv_ms, seq)}{texts}]}}".encode()


JSON = Encoding()


def update_of(
    series: Series, head: str, recv_ms: int, candle: Candle, *, told: bool = True
) -> Update:
    """Return the change that a revision is; ``told``: its position is, too."""
    text = candle.row
    place = (series, candle.timestamp)
    has_seq = told and candle.closed and candle.offset >= 0
    seq = (series.partition, candle.offset) if has_seq else None
    size = len(text) + ROW_OVERHEAD_BYTES
    return Update(text, size, head, recv_ms, place, candle.closed, seq)


def row_update(text: str, head: str, recv_ms: int, place: Hashable | None) -> Update:
    """Return a row on its way; of a place only the newest waits, without one every row does.

    The places of different kinds must differ from each other, and from those of candles.
    """
    return Update(text, len(text) + ROW_OVERHEAD_BYTES, head, recv_ms, place, place is None)


class Outbox:
    """A queue of updates in order, in which the newest state of an open candle waits once."""

    __slots__ = (
        "_bytes_max",
        "_conflate_from",
        "_counted",
        "_distinct",
        "_waiting",
        "bytes",
        "put",
    )

    def __init__(self, bytes_max: int = BYTES_MAX) -> None:
        self.bytes = 0
        """Of what a client that does not keep up has waiting; 0 for one that does."""
        self._bytes_max = bytes_max
        self._waiting: list[Update] = []
        self._counted = 0  # of those that wait, how many are in ``bytes``
        self._distinct = 0  # and how many of them there is nothing to conflate among
        self._conflate_from = min(CONFLATE_FROM_BYTES, bytes_max)
        self.put = self._waiting.append
        """Queue an update; called for each row and client, so it is nothing but that."""

    @property
    def waits(self) -> bool:
        """Say whether there is anything to be sent."""
        return bool(self._waiting)

    @property
    def is_full(self) -> bool:
        """Say whether the client is too slow to be served any longer; ``settle`` finds it out."""
        return self.bytes > self._bytes_max

    def put_text(self, text: str) -> None:
        """Queue a whole message."""
        self.put(Update(text, len(text)))

    def put_stats(self, text: str) -> None:
        """Queue the statistics; older ones that wait are replaced."""
        self.put(Update(text, len(text), place=_STATS, closed=False))

    def clear(self) -> None:
        """Forget everything."""
        self._waiting.clear()
        self.bytes = self._counted = self._distinct = 0

    def settle(self) -> None:
        """Count what could not be sent; conflate it when it has doubled."""
        waiting = self._waiting
        if len(waiting) == self._counted:
            return
        self.bytes += sum([each.size for each in islice(waiting, self._counted, None)])
        self._counted = len(waiting)
        if self.bytes > self._conflate_from:
            self._conflate()
            self._conflate_from = min(max(2 * self.bytes, CONFLATE_FROM_BYTES), self._bytes_max)

    def take(self, encoding: Encoding = JSON) -> list[bytes]:
        """Return the next messages, about one frame's worth, oldest first."""
        waiting = self._waiting
        if len(waiting) > self._distinct:
            if len(waiting) > 1 and len({each.place for each in waiting}) < len(waiting):
                self._conflate()
            self._distinct = len(waiting)
        if 0 < len(waiting) <= RUN_ROWS_MAX and (message := _run(waiting, encoding)):
            messages, taken, size = [message], len(waiting), self.bytes
        else:
            messages, taken, size = _messages(waiting, encoding)
        if taken <= self._counted:
            self._counted -= taken
            self.bytes -= size
        else:
            self._counted = self.bytes = 0
        del waiting[:taken]
        self._distinct -= taken
        return messages

    def _conflate(self) -> None:
        """Keep the newest state of each open candle, in the place of the first; count the rest."""
        kept: list[Update | None] = []
        at: dict[Hashable, int] = {}
        for update in self._waiting:
            place = update.place
            if place is None:
                if update.head is None:
                    at.clear()  # a snapshot: no state from behind it may come before it
            elif update.closed:
                earlier = at.pop(place, None)
                if earlier is not None:
                    kept[earlier] = None
            elif place in at:
                kept[at[place]] = update
                continue
            else:
                at[place] = len(kept)
            kept.append(update)
        self._waiting[:] = [update for update in kept if update is not None]
        self.bytes = sum([each.size for each in self._waiting])
        self._counted = len(self._waiting)


def _run(waiting: list[Update], encoding: Encoding) -> bytes | None:
    """Return the one message of a few rows of one sort, made once for all who get the same ones."""
    last = waiting[-1]
    numbers = [update.number for update in waiting]
    run = last.run
    if run is not None and run[0] is encoding and run[1] == numbers:
        return run[2]
    head, recv_ms = last.head, 0
    for update in waiting:
        if update.head is not head or update.seq is not None:
            return None
        if update.recv_ms > recv_ms:  # noqa: PLR1730 - a comparison costs a third of max()
            recv_ms = update.recv_ms
    if head is None:
        return None
    message = encoding.envelope(head, recv_ms, None, waiting)
    last.run = (encoding, numbers, message)
    return message


def _messages(waiting: Sequence[Update], encoding: Encoding) -> tuple[list[bytes], int, int]:
    """Return messages of about a frame's worth, of how many updates they are, and their size."""
    messages: list[bytes] = []
    rows: list[Update] = []
    head: str | None = None
    seq: dict[int, int] | None = None
    last: Seq | None = None
    recv_ms = taken = size = 0
    for update in waiting:
        # A record is sent whole: its offset says that all of it was.
        if size >= FRAME_BYTES_MAX and (last is None or update.seq != last):
            break
        taken += 1
        size += update.size
        if update.head is not head or head is None:
            if rows and head is not None:
                messages.append(encoding.envelope(head, recv_ms, seq, rows))
                rows, seq, recv_ms = [], None, 0
            head = update.head
            if head is None:
                messages.append(encoding.text(update.text))
                continue
        rows.append(update)
        recv_ms = max(recv_ms, update.recv_ms)
        last = update.seq
        if last is not None:
            seq = {} if seq is None else seq
            seq[last[0]] = last[1]
    if rows and head is not None:
        messages.append(encoding.envelope(head, recv_ms, seq, rows))
    return messages, taken, size
