"""A warehouse of one symbol that adds up in plain Python, and a naive recount to judge by."""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

from sinks.integrity.checking import check
from sinks.integrity.judgement import Sorted, Verdict
from sinks.integrity.periods import MonthSpan, Span, Tally, day_of, month_of
from sinks.integrity.ranges import Missing
from sinks.integrity.warehouse import Market, Told

SYMBOL = "S"
MARKETS = {
    "dense": Market("binance", "linear"),
    "range": Market("okx", "linear"),
    "unique": Market("kraken", "spot"),
}


class Row(NamedTuple):
    """A trade of the ids ``first..last``."""

    first: int
    last: int
    ms: int


class Counted:
    """What ``check`` asks of a warehouse, and how often it was asked what."""

    def __init__(self, rule: str, rows: Iterable[Row], copies: Iterable[Row] = ()) -> None:
        self.rule = rule
        self.rows = sorted(rows)
        self.copies = list(copies)  # repeats of rows that the table has yet to merge
        self.asked: list[tuple[str, Span]] = []

    def months(self) -> list[MonthSpan]:
        times: dict[int, list[int]] = {}
        for row in self.rows:
            times.setdefault(month_of(row.ms), []).append(row.ms)
        return [MonthSpan(month, min(found), max(found)) for month, found in times.items()]

    def tallies(self, market, symbols, period, spans: Sequence[Span], *, merged=False):
        assert list(symbols) == [SYMBOL]
        start_of = month_of if period == "month" else day_of
        if not merged:
            self.asked += [(period, span) for span in spans]
        rows = [*self.rows, *([] if merged else self.copies)]
        rows = [r for r in rows if any(start <= r.ms < end for start, end in spans)]
        rows.sort(key=lambda row: (start_of(row.ms), row))
        periods = groupby(rows, lambda row: start_of(row.ms))
        return [(SYMBOL, self._tally(start_ms, list(found))) for start_ms, found in periods]

    def _tally(self, start_ms: int, rows: list[Row]) -> Tally:
        first, last = min(rows), max(rows, key=lambda row: row.last)
        held = sum(row.last - row.first + 1 for row in rows)
        different = len(ids(rows))
        covered: int | None = different
        if self.rule == "range":
            span = last.last - first.first + 1
            chained = Counter(r.first for r in rows) - Counter(r.last + 1 for r in rows)
            covered = span if len(chained) == 1 and different == span else None
        return Tally(
            start_ms, first.first, last.last, first.ms, last.ms, len(rows), held, covered, 7
        )

    def holes(self, market, symbol, span: Span, limit: int) -> Sorted:
        self.asked.append(("sorted", span))
        found = holes([row for row in self.rows if span[0] <= row.ms < span[1]])
        return Sorted(found[:limit], sum(hole.ids for hole in found))


def ids(rows: Iterable[Row]) -> set[int]:
    return {id_ for row in rows for id_ in range(row.first, row.last + 1)}


def holes(rows: Iterable[Row]) -> list[Missing]:
    """Find what is missing by looking at every id."""
    found, before = [], None
    for row in sorted(rows):
        if before is not None and row.first > before.last + 1:
            times = sorted((before.ms, row.ms))
            found.append(Missing(before.last + 1, row.first - 1, *times))
        if before is None or row.last > before.last:
            before = row
    return found


def verified(
    counted: Counted, until_ms: int, kept=(), told: Sequence[Told] = (), now_ms: int = 1
) -> Verdict:
    months = {SYMBOL: counted.months()}
    market = MARKETS[counted.rule]
    (verdict,) = check(counted, market, months, kept, told, now_ms, until_ms)
    return verdict
