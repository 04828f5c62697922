"""Stats: the 24 hours of every symbol, moved on by its own candles or, when it is quiet, by others.

No clock moves them: a replay must say the same. A symbol without trades may have no candles, so its
day ends at most ``QUIET_MINUTES`` before the newest candle of its exchange and channel on the same
partition. That newest minute has a record of its own, written after the symbols': a crash may
leave it older than they are, which replay repairs, and never younger.
"""

from collections.abc import Iterable, Mapping

import msgspec

from processors.changelog import is_slot, slot_key, symbol_of
from processors.fold import Partitions, UnknownState, Unreadable, taken
from processors.stats.day import Day
from processors.stats.hours import Minute, minute_of
from processors.symbols import Market, SymbolFold
from schemas.intervals import MINUTE_MS
from schemas.klines import KlineEnvelope, decode_klines
from schemas.topics import KLINES, MARKET_STATS, Topic

EVERY_MS = 1_000
QUIET_MINUTES = 2
_NEWEST = 1_000_000  # the slot of a market's newest minute: no hour ever has so high a one


class Newest:
    """The end of the newest candle of a market, kept beside the symbol that it heard first."""

    __slots__ = ("beside", "end")

    def __init__(self, beside: bytes, end: int = 0) -> None:
        self.beside = beside
        self.end = end


class Stats(SymbolFold[Day]):
    """Folds the candles of one minute on ``md.klines.v1`` into ``md.market-stats.v1``."""

    name = "stats"
    reads: tuple[Topic, ...] = (KLINES,)
    writes: tuple[Topic, ...] = (MARKET_STATS,)

    def __init__(self, every_ms: int = EVERY_MS) -> None:
        super().__init__(every_ms)
        self._newest: dict[Market, Newest] = {}
        self._moved: dict[Market, int] = {}  # whose newest minute is not written yet

    def apply(self, topic: Topic, partition: int, offset: int, value: bytes) -> None:  # noqa: ARG002
        """Fold one record, whole or not at all; raise Unreadable."""
        envelope, minutes = _read(value)
        if not minutes:
            return
        market = Market(partition, envelope.exchange, envelope.channel)
        days = self._markets.setdefault(market, {})
        changed: dict[Day, None] = {}
        for symbol, minute in minutes:
            day = days.get(symbol)
            if day is None:
                day = days[symbol] = Day(market, symbol)
            if offset > day.rev and not day.knows(minute.at, minute.version):
                day.add(minute)
                changed[day] = None
        for day in self._movable(market, max(minute.at for _, minute in minutes) + 1) or changed:
            if day.move(self._newest[market].end - QUIET_MINUTES):
                changed[day] = None
        for day in changed:
            self._changed(day, offset, envelope.recv_ms)

    def take_dirty(self, partitions: Partitions = None) -> list[tuple[int, bytes, bytes]]:
        """Return (partition, key, record) of what changed since it was taken last."""
        records = super().take_dirty(partitions)
        for market in taken(self._moved, partitions):
            newest = self._newest[market]
            key = slot_key(_NEWEST, newest.beside)
            records.append((market.partition, key, b"%d" % newest.end))
        return records

    def restore(self, partition: int, states: Mapping[bytes, bytes]) -> None:
        """Take over a partition with the records of ``take_dirty``; raise ``UnknownState``."""
        super().restore(partition, states)
        for key, value in states.items():
            beside = symbol_of(key)
            if is_slot(key) and key == slot_key(_NEWEST, beside):
                exchange, channel, _ = beside.decode().split(":", 2)
                try:
                    self._newest[Market(partition, exchange, channel)] = Newest(beside, int(value))
                except ValueError as e:
                    raise UnknownState(f"stats: newest minute {value!r:.40}") from e

    def drop(self, partition: int) -> None:
        """Forget a partition that another worker owns now."""
        super().drop(partition)
        for market in [m for m in self._newest if m.partition == partition]:
            del self._newest[market]
            self._moved.pop(market, None)

    def _restored(
        self, market: Market, symbol: str, value: bytes, states: Mapping[bytes, bytes]
    ) -> Day:
        day = Day(market, symbol)
        day.load(value, states)
        return day

    def _movable(self, market: Market, end: int) -> Iterable[Day]:
        """Return the days that a newest minute may move: all of its market, or none."""
        days = self._markets[market].values()
        newest = self._newest.get(market)
        if newest is None:
            newest = self._newest[market] = Newest(next(iter(days)).key)
        if end <= newest.end:
            return ()
        newest.end = end
        self._moved[market] = market.partition
        return days


def _read(value: bytes) -> tuple[KlineEnvelope, list[tuple[str, Minute]]]:
    try:
        envelope = decode_klines(value)
        minutes = [
            (row.symbol, minute_of(row, row.timestamp // MINUTE_MS))
            for row in envelope.data
            if row.interval == MINUTE_MS and row.closed and not row.anchor
        ]
    except (msgspec.MsgspecError, ValueError) as e:
        raise Unreadable(str(e)) from e
    return envelope, minutes
