"""Months and days of UTC, and what was counted in one of them. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from schemas.integrity import Checked, Period

DAY_MS = 86_400_000

Span = tuple[int, int]
"""From (inclusive) and to (exclusive), in ms."""


class Tally(NamedTuple):
    """What the trades of one period add up to."""

    period_ms: int
    first_id: int
    last_id: int
    first_ms: int
    """The time of the trade of ``first_id``; the first time, where ids prove nothing."""
    last_ms: int
    rows: int
    ids: int
    """Held by the rows, those held twice counted twice."""
    covered: int | None
    """Different ids among them; None: they do not follow each other, and were not sorted."""
    rev: int
    """The highest offset that brought one of them."""

    @property
    def span(self) -> int:
        """How many ids there would be, were none missing."""
        return self.last_id - self.first_id + 1

    @property
    def is_suspect(self) -> bool:
        """Rows repeat, or may: copies that the table has not merged yet look so, too."""
        return self.ids != self.covered


class MonthSpan(NamedTuple):
    """A month in which a symbol traded, and between which times."""

    month_ms: int
    from_ms: int
    to_ms: int


@dataclass(slots=True)
class Item:
    """One period of a symbol while it is judged."""

    period: Period
    tally: Tally
    kept: Checked | None = None
    """What was found earlier, where it was not read again."""
    gaps_count: int = 0
    unrecoverable: int = 0
    duplicates: int = 0
    is_open: bool = False
    """Trades that may still come belong to it."""

    @property
    def lacks_ids(self) -> bool:
        """Say whether it is a day read now whose ids are not all of those it spans."""
        return self.period == "day" and not self.kept and self.tally.covered != self.tally.span

    @property
    def start_ms(self) -> int:
        """Return when it begins."""
        return self.tally.period_ms

    @property
    def end_ms(self) -> int:
        """Return when it ends."""
        return period_end_ms(self.period, self.tally.period_ms)


def month_of(ms: int) -> int:
    """Return when the month of a moment begins."""
    at = datetime.fromtimestamp(ms / 1_000, UTC)
    return int(datetime(at.year, at.month, 1, tzinfo=UTC).timestamp()) * 1_000


def day_of(ms: int) -> int:
    """Return when the day of a moment begins."""
    return ms - ms % DAY_MS


def period_end_ms(period: Period, start_ms: int) -> int:
    """Return when a period ends."""
    return start_ms + DAY_MS if period == "day" else month_of(start_ms + 32 * DAY_MS)


def runs_without(days: Iterable[int], span: Span) -> list[Span]:
    """Return the runs of days of ``span`` that are not among ``days``, cut at its end."""
    left = set(days)
    found: list[Span] = []
    for day_ms in range(day_of(span[0]), span[1], DAY_MS):
        if day_ms in left:
            continue
        end_ms = min(day_ms + DAY_MS, span[1])
        if found and found[-1][1] == day_ms:
            found[-1] = (found[-1][0], end_ms)
        else:
            found.append((day_ms, end_ms))
    return found


def tally_of(kept: Checked) -> Tally:
    """Return what a row that was kept tells of its period."""
    covered = kept.last_id - kept.first_id + 1
    return Tally(
        kept.period_ms,
        kept.first_id,
        kept.last_id,
        kept.first_ms,
        kept.last_ms,
        kept.count,
        kept.count,
        covered,
        0,
    )
