"""One symbol's way to its trust point: months first, then the days of those that are not whole.

Sans I/O: it says what it wants to know, and is told. What was trusted earlier is believed until
something beside it does not fit; then it is read again before anything is concluded.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from schemas.integrity import Checked
from schemas.trades import IdRule
from sinks.integrity.periods import (
    Item,
    MonthSpan,
    Span,
    Tally,
    day_of,
    month_of,
    period_end_ms,
    runs_without,
    tally_of,
)
from sinks.integrity.ranges import Missing, Ranges

BEGAN_EARLIER_MS = 10_000  # the trade of the lowest id need not be the first by time


class Cluster(NamedTuple):
    """Periods that are judged together, because ids of one are among those of another; or one."""

    items: Sequence[Item]

    @property
    def span(self) -> Span:
        """Return from when to when its trades are."""
        return self.items[0].start_ms, max(item.end_ms for item in self.items)

    @property
    def first(self) -> Tally:
        """Return the tally that holds its lowest id."""
        return min((item.tally for item in self.items), key=lambda tally: tally.first_id)

    @property
    def last(self) -> Tally:
        """Return the tally that holds its highest id."""
        return max((item.tally for item in self.items), key=lambda tally: tally.last_id)

    @property
    def is_whole(self) -> bool:
        """Say whether counting alone proves that no id is missing."""
        (first, *others) = self.items
        return not others and first.tally.covered == first.tally.span


class Walk:
    """Ask ``months_wanted``, then ``days_wanted`` until both are empty, then ``clusters``."""

    def __init__(
        self,
        rule: IdRule,
        months: Iterable[MonthSpan],
        kept: Iterable[Checked],
        given_up: Ranges,
        until_ms: int,
    ) -> None:
        self.rule = rule
        self.given_up = given_up
        self.until_ms = until_ms
        self._items: dict[int, Item] = {}
        self._months: list[int] = []
        self._days: dict[int, list[Span]] = {}
        self._kept_days: dict[int, list[Checked]] = {}
        kept_months: dict[int, Checked] = {}
        for row in kept:
            if row.period == "month":
                kept_months[row.period_ms] = row
            else:
                self._kept_days.setdefault(month_of(row.period_ms), []).append(row)
        for span in sorted(months):
            if span.from_ms < until_ms:
                self._begin(span, kept_months.get(span.month_ms))

    def _begin(self, span: MonthSpan, kept: Checked | None) -> None:
        month_ms = span.month_ms
        days = self._kept_days.get(month_ms, [])
        if kept is not None and kept.trusted and not _began_earlier(span, [kept]):
            self._items[month_ms] = Item("month", tally_of(kept), kept)
            return
        if _began_earlier(span, days):
            days = self._kept_days[month_ms] = []
        is_over = period_end_ms("month", month_ms) <= self.until_ms
        if is_over and not days and self.rule != "unique":
            self._months.append(month_ms)
        else:
            self._descend(month_ms)

    def _descend(self, month_ms: int) -> None:
        """Look at the days of a month instead; what is known of them stays known."""
        self._items.pop(month_ms, None)
        trusted = [row for row in self._kept_days.get(month_ms, ()) if row.trusted]
        for row in trusted:
            self._items[row.period_ms] = Item("day", tally_of(row), row)
        span = month_ms, min(period_end_ms("month", month_ms), self.until_ms)
        runs = runs_without((row.period_ms for row in trusted), span)
        if self.rule == "unique":  # their ids are held in memory while they are counted
            runs = [day for run in runs for day in _days(run)]
        if runs:
            self._days[month_ms] = runs

    # -- what is wanted, and what was found

    def months_wanted(self) -> list[int]:
        """Return the months to be added up, each once."""
        wanted, self._months = self._months, []
        return wanted

    def take_month(self, tally: Tally) -> None:
        """Take the sums of a month that was wanted."""
        self._items[tally.period_ms] = Item("month", tally)

    def days_wanted(self) -> list[tuple[int, tuple[Span, ...]]]:
        """Return the days to be added up next, by month, each once; empty: no more are."""
        if not self._days:
            self._settle()
        wanted, self._days = self._days, {}
        return [(month_ms, tuple(spans)) for month_ms, spans in sorted(wanted.items())]

    def take_day(self, tally: Tally) -> None:
        """Take the sums of a day that was wanted."""
        self._items[tally.period_ms] = Item("day", tally)

    @property
    def items(self) -> list[Item]:
        """Return its periods, oldest first."""
        return [self._items[start_ms] for start_ms in sorted(self._items)]

    def clusters(self) -> list[Cluster]:
        """Return the periods, oldest first, those together that share ids."""
        found: list[Cluster] = []
        for item in self.items:
            found.append(Cluster([item]))
            while len(found) > 1 and self._share_ids(*found[-2:]):
                last = found.pop()
                found[-1] = Cluster([*found[-1].items, *last.items])
        return found

    def _share_ids(self, before: Cluster, after: Cluster) -> bool:
        if self.rule == "unique" or any(c.items[0].kept for c in (before, after)):
            return False
        return after.first.first_id <= before.last.last_id

    def seam(self, before: Tally, after: Tally) -> Missing | None:
        """Return the ids between two neighbours that neither has."""
        first, last = before.last_id + 1, after.first_id - 1
        if self.rule == "unique" or first > last:
            return None
        return Missing(first, last, *sorted((before.last_ms, after.first_ms)))

    def _settle(self) -> None:
        """Find what cannot be judged as it is: months to be looked into, days to be read again."""
        items = self.items
        bad: dict[int, Item] = {}
        for item in items:
            if item.period == "month" and not item.kept and item.tally.covered != item.tally.span:
                bad[item.start_ms] = item
        for before, after in pairwise(items):
            if (before.kept and after.kept) or self._fits(before, after):
                continue
            for item in (before, after):
                if item.period == "month" or item.kept:
                    bad[item.start_ms] = item
        if items and items[-1].period == "month" and not items[-1].kept:
            bad[items[-1].start_ms] = items[-1]  # nothing proves that its end is there
        for start_ms, item in bad.items():
            if item.period == "month":
                self._descend(start_ms)
            else:
                del self._items[start_ms]
                month = self._days.setdefault(month_of(start_ms), [])
                month.append((start_ms, min(item.end_ms, self.until_ms)))

    def _fits(self, before: Item, after: Item) -> bool:
        if self.rule == "unique":
            return True
        if (before.lacks_ids or after.lacks_ids) and (before.kept or after.kept):
            # A venue's time may step back over a midnight: what a day lacks may since have come to
            # the one beside it.
            return False
        if after.tally.first_id <= before.tally.last_id:
            # Ids of one among the other's are sorted together, so both have to be days, read now.
            return before.period == after.period == "day" and not (before.kept or after.kept)
        hole = self.seam(before.tally, after.tally)
        return hole is None or not self.given_up.without(hole)


def _began_earlier(span: MonthSpan, kept: Sequence[Checked]) -> bool:
    """Say whether trades came since that are older than all that was looked at."""
    return bool(kept) and span.from_ms < min(row.first_ms for row in kept) - BEGAN_EARLIER_MS


def _days(run: Span) -> Iterable[Span]:
    from_ms, to_ms = run
    while from_ms < to_ms:
        end_ms = min(period_end_ms("day", day_of(from_ms)), to_ms)
        yield from_ms, end_ms
        from_ms = end_ms
