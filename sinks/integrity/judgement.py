"""What the sums and the sorted ids of a symbol's periods say: rows to keep, and what is missing.

A missing id is counted in the period of the trade after it; every period that it may belong to is
not trusted while it may still come.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from msgspec.structs import replace

from schemas.integrity import Checked, Period
from schemas.klines import Quality
from schemas.trades import IdRule
from sinks.integrity.periods import Item, day_of, month_of, period_end_ms
from sinks.integrity.ranges import Missing
from sinks.integrity.walk import Cluster, Walk


class Sorted(NamedTuple):
    """The holes among the sorted ids of a cluster: the first of them, and how many ids in all."""

    holes: Sequence[Missing]
    missing: int


class TrustPoint(NamedTuple):
    """All trades of a symbol up to ``last_id`` are there, or given up: those before ``to_ms``."""

    last_id: int
    to_ms: int


@dataclass(slots=True, kw_only=True)
class Verdict:
    """What became of one symbol."""

    symbol: str
    rule: IdRule
    rows: list[Checked] = field(default_factory=list)
    """What was looked at now, to be kept."""
    missing: list[Missing] = field(default_factory=list)
    """What is missing and not given up; at most so many ranges as were asked for."""
    trust: TrustPoint | None = None
    count: int = 0
    duplicates: int = 0
    gaps_count: int = 0
    unrecoverable: int = 0
    first_id: int = 0
    last_id: int = 0
    first_ms: int = 0
    last_ms: int = 0
    rev: int = 0

    @property
    def quality(self) -> Quality:
        """Return what can be said of the whole symbol."""
        return _quality(self.rule, self.gaps_count)


def judge(
    symbol: str, walk: Walk, found: Mapping[int, Sorted], checked_ms: int, holes_max: int
) -> Verdict:
    """Judge a walk that wants nothing more; ``found`` has sorted clusters by their begin."""
    verdict = Verdict(symbol=symbol, rule=walk.rule)
    items = walk.items
    if not items:
        return verdict
    before: Cluster | None = None
    for cluster in walk.clusters():
        holes: list[Missing] = []
        if before is not None and not (before.items[0].kept and cluster.items[0].kept):
            hole = walk.seam(before.last, cluster.first)
            holes = [hole] if hole else []
        result = found.get(cluster.items[0].start_ms)
        if result is not None:
            holes += result.holes
            unlisted = result.missing - sum(hole.ids for hole in result.holes)
            _charge_unlisted(cluster, unlisted)
        for hole in holes:
            _charge(walk, items, hole, verdict, holes_max)
        _count_duplicates(cluster, result)
        before = cluster
    _sum_up(verdict, walk, items, checked_ms)
    return verdict


def _charge(walk: Walk, items: list[Item], hole: Missing, verdict: Verdict, most: int) -> None:
    left = walk.given_up.without(hole)
    touched = [i for i in items if i.start_ms <= hole.to_ms and i.end_ms > hole.from_ms]
    (*_, last) = touched
    last.gaps_count += hole.ids
    last.unrecoverable += hole.ids - sum(part.ids for part in left)
    if left:
        for item in touched:
            item.is_open = True
    verdict.missing += left[: max(0, most - len(verdict.missing))]


def _charge_unlisted(cluster: Cluster, ids: int) -> None:
    cluster.items[-1].gaps_count += ids
    if ids:
        for item in cluster.items:
            item.is_open = True


def _count_duplicates(cluster: Cluster, result: Sorted | None) -> None:
    """Count ids held twice in a day, and those of a day that another has, too, in the last one."""
    twice = 0
    for item in cluster.items:
        tally = item.tally
        if item.kept is not None:
            item.duplicates = item.kept.duplicates
        elif tally.covered is not None:
            item.duplicates = tally.ids - tally.covered
        twice += item.duplicates
    if result is not None:
        covered = cluster.last.last_id - cluster.first.first_id + 1 - result.missing
        ids = sum(item.tally.ids for item in cluster.items)
        cluster.items[-1].duplicates += ids - covered - twice


def _sum_up(verdict: Verdict, walk: Walk, items: list[Item], checked_ms: int) -> None:
    rows: dict[tuple[Period, int], Checked] = {}
    by_month: dict[int, list[Checked]] = {}
    in_row, last_id = True, 0
    for at, item in enumerate(items):
        is_last = at == len(items) - 1
        row = _row(verdict.symbol, walk, item, is_last=is_last, checked_ms=checked_ms)
        if item.kept is None or row.trusted != item.kept.trusted:
            rows[item.period, item.start_ms] = row
        if item.period == "day":
            by_month.setdefault(month_of(item.start_ms), []).append(row)
        in_row = in_row and row.trusted
        if in_row:
            last_id = max(last_id, row.last_id)
            # Nothing is missing between it and the next one, however long that did not come.
            to_ms = item.end_ms if is_last else day_of(items[at + 1].tally.first_ms)
            verdict.trust = TrustPoint(last_id, to_ms)
        verdict.count += row.count
        verdict.duplicates += row.duplicates
        verdict.gaps_count += row.gaps_count
        verdict.unrecoverable += row.unrecoverable
    for month_ms, days in by_month.items():
        is_over = period_end_ms("month", month_ms) <= walk.until_ms
        rows["month", month_ms] = _month(month_ms, days, walk.rule, is_over=is_over)
    verdict.rows = [rows[key] for key in sorted(rows)]
    verdict.first_id = min(item.tally.first_id for item in items)
    verdict.last_id = max(item.tally.last_id for item in items)
    verdict.first_ms = min(item.tally.first_ms for item in items)
    verdict.last_ms = max(item.tally.last_ms for item in items)
    verdict.rev = max(item.tally.rev for item in items)


def _row(symbol: str, walk: Walk, item: Item, *, is_last: bool, checked_ms: int) -> Checked:
    tally, kept = item.tally, item.kept
    if kept is not None:
        return kept if not item.is_open else _distrusted(kept, checked_ms)
    is_over = item.end_ms <= walk.until_ms
    goes_on = not is_last or walk.rule == "unique"
    return Checked(
        symbol=symbol,
        period=item.period,
        period_ms=item.start_ms,
        first_id=tally.first_id,
        last_id=tally.last_id,
        first_ms=tally.first_ms,
        last_ms=tally.last_ms,
        count=tally.rows,
        duplicates=item.duplicates,
        gaps_count=item.gaps_count,
        unrecoverable=item.unrecoverable,
        quality=_quality(walk.rule, item.gaps_count),
        trusted=is_over and goes_on and not item.is_open,
        checked_ms=checked_ms,
    )


def _distrusted(kept: Checked, checked_ms: int) -> Checked:
    return replace(kept, trusted=False, checked_ms=checked_ms)


def _month(month_ms: int, days: Sequence[Checked], rule: IdRule, *, is_over: bool) -> Checked:
    first = min(days, key=lambda day: day.first_id)
    last = max(days, key=lambda day: day.last_id)
    gaps_count = sum(day.gaps_count for day in days)
    return Checked(
        symbol=first.symbol,
        period="month",
        period_ms=month_ms,
        first_id=first.first_id,
        last_id=last.last_id,
        first_ms=first.first_ms,
        last_ms=last.last_ms,
        count=sum(day.count for day in days),
        duplicates=sum(day.duplicates for day in days),
        gaps_count=gaps_count,
        unrecoverable=sum(day.unrecoverable for day in days),
        quality=_quality(rule, gaps_count),
        trusted=is_over and all(day.trusted for day in days),
        checked_ms=max(day.checked_ms for day in days),
    )


def _quality(rule: IdRule, gaps_count: int) -> Quality:
    if rule == "unique":
        return "assumed"
    return "gap" if gaps_count else "proven"


def unsorted(walk: Walk) -> Iterator[Cluster]:
    """Yield the clusters whose ids have to be sorted before they can be judged."""
    if walk.rule == "unique":
        return
    for cluster in walk.clusters():
        if any(item.kept is None for item in cluster.items) and not cluster.is_whole:
            yield cluster
