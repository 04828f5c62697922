"""Day: the 24 hours of one symbol, and their records in the changelog.

Hours that changed are written under slots that the last written head does not name, then a head
that names them. So a crash in between leaves the old head with all of its hours, and replay comes
to the same numbers at the same ``rev``.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal

import msgspec

from processors.changelog import slot_key
from processors.fold import UnknownState
from processors.stats import rows
from processors.stats.hours import HOUR_MINUTES, Hour, Minute, Sums, total
from processors.symbols import Market, SymbolState
from schemas.intervals import MINUTE_MS

DAY_MINUTES = 24 * HOUR_MINUTES
VERSION = 1


class Head(msgspec.Struct, frozen=True):
    """The state of a symbol less its minutes."""

    v: int
    end: int
    began: int
    early: list[int]
    last_at: int
    last_price: Decimal
    rev: int
    recv_ms: int
    slots: dict[int, int]
    """Hour since 1970 to the slot that it is written under."""


_encode = msgspec.json.Encoder().encode
_decode_head = msgspec.json.Decoder(Head).decode


class Day(SymbolState):
    """Minutes from ``end - 1440`` up to and without ``end``, counted since 1970.

    What lies before ``began`` is unknown, but for the minutes whose candle came later.
    """

    __slots__ = (
        "began",
        "changed",
        "early",
        "end",
        "hours",
        "last_at",
        "last_price",
        "named",
        "slots",
    )

    def __init__(self, market: Market, symbol: str) -> None:
        super().__init__(market, symbol)
        self.hours: dict[int, Hour] = {}
        self.end = self.began = 0
        self.early: set[int] = set()  # minutes before ``began`` whose candle came later
        self.last_at = -1
        self.last_price = Decimal(0)
        self.slots: dict[int, int] = {}
        self.named: set[int] = set()  # slots of the head that was written last
        self.changed: set[int] = set()  # hours, since the head was written

    @property
    def begin(self) -> int:
        """Return its first minute."""
        return self.end - DAY_MINUTES

    def knows(self, at: int, version: int) -> bool:
        """Say whether this candle says nothing new: too old, or a revision that we have."""
        if self.end and at < self.begin:
            return True
        hour = self.hours.get(at // HOUR_MINUTES)
        minute = hour.minutes.get(at) if hour else None
        return minute is not None and minute.version >= version

    def add(self, minute: Minute) -> None:
        """Take a minute that is new."""
        at = minute.at
        if not self.end:
            self.began = at
        if at < self.began:
            self.early.add(at)
        number = at // HOUR_MINUTES
        hour = self.hours.get(number)
        if hour is None:
            hour = self.hours[number] = Hour()
        hour.add(minute)
        self.changed.add(number)
        if at >= self.last_at:
            self.last_at, self.last_price = at, minute.close
        self.move(at + 1)

    def move(self, end: int) -> bool:
        """Let the day end no earlier than ``end``; return whether it did before."""
        if end <= self.end:
            return False
        self.end = end
        first = self.begin // HOUR_MINUTES
        for number in [n for n in self.hours if n < first]:
            del self.hours[number]
            self.slots.pop(number, None)
            self.changed.discard(number)
        if first in self.hours:
            self.hours[first].cut(self.begin)
        if self.early:
            self.early = {at for at in self.early if at >= self.begin}
        return True

    def sums(self) -> Sums:
        """Return what its minutes add up to."""
        return total(self.hours[number] for number in sorted(self.hours))

    def covered(self) -> int:
        """Return how many of its minutes are known, with a candle or without."""
        return min(DAY_MINUTES, self.end - self.began) + len(self.early)

    def value(self) -> bytes:
        """Return the statistics as the value of a record."""
        sums, covered, market = self.sums(), self.covered(), self.market
        return (
            f'{{"exchange":"{market.exchange}","channel":"{market.channel}"'
            f',"data_type":"market-stats","recv_ms":{self.recv_ms}'
            f',"data":[{{"symbol":{rows.name(self.symbol)}'
            f',"from_ms":{self.begin * MINUTE_MS},"to_ms":{self.end * MINUTE_MS}'
            f"{rows.prices(sums, self.last_price)}{rows.volumes(sums)}"
            f',"minutes":{covered},"candles":{sums.candles},"gap_minutes":{sums.gaps}'
            f',"quality":"{rows.quality(sums, covered, DAY_MINUTES)}","rev":{self.rev}}}]}}'
        ).encode()

    def records(self) -> Iterable[tuple[bytes, bytes]]:
        """Return the hours that changed, and then the head that names them."""
        taken = self.named | set(self.slots.values())
        found = []
        for number in sorted(self.changed):
            slot = next(n for n in range(len(taken) + 1) if n not in taken)
            taken.add(slot)
            self.slots[number] = slot
            found.append((slot_key(slot, self.key), self.hours[number].pack()))
        self.changed.clear()
        newest = (self.end - 1) // HOUR_MINUTES
        for number, hour in self.hours.items():
            if number != newest:  # that one is asked for again in a minute
                hour.rest()
        self.named = set(self.slots.values())
        head = Head(
            VERSION,
            self.end,
            self.began,
            sorted(self.early),
            self.last_at,
            self.last_price,
            self.rev,
            self.recv_ms,
            self.slots,
        )
        return [*found, (self.key, _encode(head))]

    def load(self, value: bytes, stored: Mapping[bytes, bytes]) -> None:
        """Take the records of a symbol; raise UnknownState."""
        try:
            head = _decode_head(value)
            if head.v != VERSION:
                raise UnknownState(f"stats of {self.symbol}: version {head.v}, not {VERSION}")
            for number, slot in head.slots.items():
                self.hours[number] = Hour(stored[slot_key(slot, self.key)])
        except (msgspec.MsgspecError, KeyError) as e:
            raise UnknownState(f"stats of {self.symbol}: {e!r}") from e
        self.began, self.early = head.began, set(head.early)
        self.last_at, self.last_price = head.last_at, head.last_price
        self.rev, self.recv_ms, self.slots = head.rev, head.recv_ms, dict(head.slots)
        self.named = set(self.slots.values())
        self.move(head.end)  # an hour is not written again because its first minutes are over
