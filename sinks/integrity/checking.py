"""A batch of symbols verified: few queries for many symbols, and exact ones where it is needed."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from schemas.integrity import Checked, Period
from sinks.integrity.judgement import Sorted, Verdict, judge, unsorted
from sinks.integrity.periods import MonthSpan, Span, Tally, period_end_ms
from sinks.integrity.ranges import Missing, Ranges
from sinks.integrity.walk import Walk
from sinks.integrity.warehouse import Market, Told

SYMBOLS_MAX = 16  # of one batch: what a kill makes to be done again
HOLES_MAX = 1_000  # ranges of one symbol that one run tells


class Sums(Protocol):
    """What is asked of a warehouse; see ``Warehouse``."""

    def tallies(
        self,
        market: Market,
        symbols: Iterable[str],
        period: Period,
        spans: Sequence[Span],
        *,
        merged: bool = False,
    ) -> list[tuple[str, Tally]]:
        """Return the sums of these spans."""

    def holes(self, market: Market, symbol: str, span: Span, limit: int) -> Sorted:
        """Return the holes among the sorted ids of a span."""


def batches(
    symbols: Mapping[str, list[MonthSpan]], most: int = SYMBOLS_MAX
) -> Iterator[dict[str, list[MonthSpan]]]:
    """Cut the symbols of a market into batches."""
    names = sorted(symbols)
    for at in range(0, len(names), most):
        yield {name: symbols[name] for name in names[at : at + most]}


def check(
    sums: Sums,
    market: Market,
    months: Mapping[str, list[MonthSpan]],
    kept: Iterable[Checked],
    told: Sequence[Told],
    now_ms: int,
    until_ms: int,
) -> list[Verdict]:
    """Verify these symbols up to ``until_ms``; what ``kept`` says is trusted is not read again."""
    given_up: dict[str, list[tuple[int, int]]] = {}
    for one in told:
        if one.state == "unrecoverable":
            given_up.setdefault(one.symbol, []).append((one.first_id, one.last_id))
    rows: dict[str, list[Checked]] = {}
    for row in kept:
        rows.setdefault(row.symbol, []).append(row)
    walks = {
        symbol: Walk(
            market.rule,
            spans,
            rows.get(symbol, ()),
            Ranges(given_up.get(symbol, ())),
            until_ms,
        )
        for symbol, spans in months.items()
    }
    _walk(sums, market, walks)
    ranges = Counter(one.symbol for one in told)  # found again each time, and not told again
    return [
        _judged(sums, market, symbol, walk, HOLES_MAX + ranges[symbol], now_ms)
        for symbol, walk in walks.items()
    ]


def untold(verdict: Verdict, told: Iterable[Told]) -> list[Missing]:
    """Return what nobody was told of yet."""
    known = Ranges((t.first_id, t.last_id) for t in told if t.symbol == verdict.symbol)
    return [part for missing in verdict.missing for part in known.without(missing)]


def _walk(sums: Sums, market: Market, walks: Mapping[str, Walk]) -> None:
    wanted: dict[int, list[str]] = {}
    for symbol, walk in walks.items():
        for month_ms in walk.months_wanted():
            wanted.setdefault(month_ms, []).append(symbol)
    for month_ms, symbols in sorted(wanted.items()):
        span = month_ms, period_end_ms("month", month_ms)
        for symbol, tally in _tallies(sums, market, symbols, "month", [span]):
            walks[symbol].take_month(tally)
    while days := _days_wanted(market, walks):
        for spans, symbols in sorted(days.items()):
            for symbol, tally in _tallies(sums, market, symbols, "day", spans):
                walks[symbol].take_day(tally)


def _days_wanted(market: Market, walks: Mapping[str, Walk]) -> dict[tuple[Span, ...], list[str]]:
    """Return which symbols want the same days: a query for each set of days."""
    wanted: dict[tuple[Span, ...], list[str]] = {}
    for symbol, walk in walks.items():
        for _, spans in walk.days_wanted():
            # Where ids prove nothing every one is held in memory while a query runs: a day's.
            for part in [(span,) for span in spans] if market.rule == "unique" else [spans]:
                wanted.setdefault(part, []).append(symbol)
    return wanted


def _tallies(
    sums: Sums, market: Market, symbols: Sequence[str], period: Period, spans: Sequence[Span]
) -> list[tuple[str, Tally]]:
    found = sums.tallies(market, symbols, period, spans)
    suspects: dict[str, set[int]] = {}
    for symbol, tally in found:
        if tally.is_suspect:
            suspects.setdefault(symbol, set()).add(tally.period_ms)
    again: dict[tuple[str, int], Tally] = {}
    for symbol, starts in suspects.items():
        for start_ms in starts:
            span = _within(spans, start_ms, period_end_ms(period, start_ms))
            for _, tally in sums.tallies(market, [symbol], period, [span], merged=True):
                again[symbol, start_ms] = tally
    return [(symbol, again.get((symbol, tally.period_ms), tally)) for symbol, tally in found]


def _within(spans: Sequence[Span], from_ms: int, to_ms: int) -> Span:
    """Return what the spans hold of a period: one of them holds it, or its beginning."""
    end_ms = max(end for start, end in spans if start <= from_ms < end)
    return from_ms, min(to_ms, end_ms)


def _judged(
    sums: Sums, market: Market, symbol: str, walk: Walk, holes_max: int, now_ms: int
) -> Verdict:
    found: dict[int, Sorted] = {}
    left = holes_max
    for cluster in unsorted(walk):
        from_ms, to_ms = cluster.span
        span = from_ms, min(to_ms, walk.until_ms)
        result = sums.holes(market, symbol, span, max(1, left))
        left -= len(result.holes)
        found[from_ms] = result
    return judge(symbol, walk, found, now_ms, holes_max)
