"""Bars that close by size, computed the plain way from a log: sets of ids and lists of trades.

Below it an engine that makes the same, and its records.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from crashing import candle_of
from oracle import Candle, T, candles_of

from processors.engine.engine import Engine
from schemas.bars import TradeBar, decode_bars, parse_bar_sizes
from schemas.intervals import Interval
from schemas.topics import BARS
from schemas.trades import Flag, SymbolTrades, TradeBatch

DAY_MS = 86_400_000
MIDNIGHT_MS = 20_000 * DAY_MS
SIZES = ("tick:3", "volume:11.5", "dollar:60")
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


def engine(sizes: Iterable[str] = SIZES) -> Engine:
    return Engine(
        [Interval(1_000)],
        grace_ms=80,
        live_every_ms=250,
        closes_quiet=True,
        bars=parse_bar_sizes(sizes),
    )


def group(
    symbol: str, rule: str, trades: list[T], unreal: Iterable[int] = (), scales=(0, 0)
) -> SymbolTrades:
    spans = [span(rule, t) for t in trades]
    if rule != "range":
        spans = [(t.id * 10, t.id * 10 + t.count - 1) for t in trades]
    flags = [Flag.NON_MARKET if t.id in set(unreal) else 0 for t in trades]
    return SymbolTrades(
        symbol=symbol,
        price_scale=scales[0],
        qty_scale=scales[1],
        id=[t.id for t in trades],
        ts=[t.ts for t in trades],
        price=[t.price * 10 ** scales[0] for t in trades],
        qty=[t.qty * 10 ** scales[1] for t in trades],
        side=[t.side for t in trades],
        flags=flags if any(flags) else 0,
        first=[first for first, _ in spans],
        last=[last for _, last in spans],
        ids=rule,
    )


def batch(of: SymbolTrades, source: str = "live") -> TradeBatch:
    return TradeBatch("okx", "spot", source, (max(of.ts) + 7) * 1_000_000, [of])


def told(e: Engine) -> list[TradeBar]:
    outputs = e.outputs(2**50, {0})
    return [row for o in outputs if o.topic is BARS for row in decode_bars(o.value).data]


def row_of(bar: TradeBar) -> Row:
    return Row(bar.timestamp, bar.end, candle_of(bar), bar.cause, bar.quality, bar.missing)
