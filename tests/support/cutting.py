"""Bars that close by size, computed the plain way from a log: sets of ids and lists of trades."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from oracle import Candle, T, candles_of

DAY_MS = 86_400_000
MEASURES = {
    "tick": lambda t: t.count,
    "volume": lambda t: t.qty,
    "dollar": lambda t: t.price * t.qty,
}


class Record(NamedTuple):
    """One record of one symbol; ``unreal`` ids belong to no bar."""

    source: str
    trades: list[T]
    unreal: frozenset[int]


class Row(NamedTuple):
    """What is told of a bar."""

    timestamp: int
    end: int
    candle: Candle
    cause: str
    quality: str
    missing: int


@dataclass
class PlainBar:
    day: int
    seq: int
    trades: list[T] = field(default_factory=list)
    from_id: int = 0
    to_id: int = 0
    began: bool = False
    is_late: bool = False
    source: str = ""
    told: Row | None = None


def span(rule: str, trade: T) -> tuple[int, int]:
    """Return the ids that a trade takes."""
    return (trade.id - trade.count + 1 if rule == "range" else trade.id), trade.id


class PlainCuts:
    """The bars of one size: ``told`` has every revision by (day, seq, rev), ``final`` the last."""

    def __init__(self, rule: str, size: str, *, kept: int, ranges_max: int) -> None:
        kind, number = size.split(":")
        self.measure, self.size = MEASURES[kind], float(number)
        self.rule, self.kept, self.ranges_max = rule, kept, ranges_max
        self.seen: set[int] = set()
        self.lost: set[int] = set()
        self.closed: list[PlainBar] = []
        self.open: PlainBar | None = None
        self.day = self.seq = self.high = -1
        self.began = True
        self.told: dict[tuple[int, int, int], Row] = {}
        self.final: dict[tuple[int, int], Row] = {}
        self.uncut = 0

    def take(self, offset: int, record: Record) -> None:
        admitted = [t for t in record.trades if self.admit(t) and t.id not in record.unreal]
        if self.high < 0 and admitted:
            self.from_id, self.high = min(self.seen), min(self.seen) - 1
            self.began = self.rule == "unique" or self.from_id > 1
        for trade in admitted:
            self.place(trade, record.source)
        for bar in self.closed:
            row = self.row(bar)
            if row != bar.told:
                bar.told = self.told[bar.day, bar.seq, offset] = row
                self.final[bar.day, bar.seq] = row
        self.closed = self.closed[-self.kept :]

    def admit(self, trade: T) -> bool:
        first, last = span(self.rule, trade)
        ids = set(range(first, last + 1))
        if ids & (self.seen | self.lost):
            return False
        is_apart = self.seen and (first > max(self.seen) + 1 or last < min(self.seen) - 1)
        self.seen |= ids
        runs = list(self.runs()) if is_apart and self.rule != "unique" else []
        if len(runs) > self.ranges_max:
            self.lost |= runs[0]
        return True

    def runs(self) -> Iterator[set[int]]:
        for before, after in pairwise(sorted(self.seen | self.lost)):
            if after > before + 1:
                yield set(range(before + 1, after))

    def place(self, trade: T, source: str) -> None:
        first, last = span(self.rule, trade)
        day = trade.ts - trade.ts % DAY_MS
        if day > self.day:
            if self.open:
                self.close()
            if self.closed:
                self.closed[-1].to_id = max(self.closed[-1].to_id, first - 1)
            self.day, self.seq = day, 0
        bar = self.bar_of(first, day)
        if bar is None:
            self.uncut += 1
            return
        bar.trades.append(trade)
        bar.source = source
        if bar is self.open:
            self.high = max(self.high, last)
            if sum(map(self.measure, bar.trades)) >= self.size:
                self.close()
        else:
            bar.is_late = True

    def bar_of(self, id_: int, day: int) -> PlainBar | None:
        closed = [bar for bar in self.closed if bar.day == day]
        if self.rule != "unique":
            for bar in closed:
                is_first = bar.seq == 0 and not bar.began
                if id_ <= bar.to_id:
                    return bar if is_first or bar.from_id <= id_ else None
        if day < self.day:
            return closed[-1] if closed else None
        if self.rule != "unique" and id_ < self.from_id and (self.seq or self.began):
            return None
        self.open = self.open or PlainBar(day, self.seq)
        return self.open

    def close(self) -> None:
        bar, self.open = self.open, None
        bar.from_id, bar.to_id, bar.began = self.from_id, self.high, self.began
        self.closed.append(bar)
        self.seq, self.from_id, self.began = self.seq + 1, self.high + 1, False

    def row(self, bar: PlainBar) -> Row:
        by_arrival = self.rule == "unique"
        (candle,) = candles_of(bar.trades, DAY_MS, by_arrival=by_arrival).values()
        cause = "late" if bar.source == "live" and bar.is_late else bar.source
        times = [t.ts for t in bar.trades]
        missing = 0 if by_arrival else len({*range(bar.from_id, bar.to_id + 1)} - self.seen)
        quality = "gap" if missing or bar.began else "assumed" if by_arrival else "proven"
        return Row(min(times), max(times), candle, cause, quality, missing)
