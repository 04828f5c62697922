"""Where a venue keeps which file: paths by symbol and day, and how late they come. Pure.

[docs/archives.md] has the sources. Where a venue does not say in which zone its days are counted,
both readings are asked for, and the second one may be missing.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal

from ingest.recovery.archives.formats import Format

DAY_MS = 86_400_000
HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The archive of one market; paths come after its URL."""

    url: str
    form: Format
    packing: Literal["zip", "gzip"]
    daily: Callable[[str, date], str]
    monthly: Callable[[str, date], str] | None = None
    checksum: str = ""
    """Put after a path, it leads to the file's sha256; "" where none is published."""
    zone_h: int = 0
    """Days begin so many hours before those of UTC, or as those of UTC do: nobody says."""
    daily_lag_h: int = 48
    """A file that is not there so long after its day's end will hardly come."""
    monthly_lag_h: int = 24 * 10
    asks_absence_twice: bool = False
    """Its 404 may be wrong for some seconds."""
    ids_match: bool = True
    """Whether ids are those of the stream; else a trade cannot be known again by its id."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A day or a month of a symbol: the file to read, and what may be read instead."""

    name: str
    path: str
    from_ms: int
    to_ms: int
    """Its last millisecond."""
    due_ms: int
    """Until then a file that is missing may still come."""
    instead: Sequence["Piece"] = ()
    """All of them together hold what this one does, or more."""
    is_optional: bool = False


def plan(layout: Layout, symbol: str, from_ms: int, to_ms: int, now_ms: int) -> Iterator[Piece]:
    """Yield what must be read for [from_ms, to_ms], oldest first; whole months as one file."""
    zone_ms = layout.zone_h * HOUR_MS
    at, last = _day(from_ms), _day(to_ms + zone_ms)
    certain = _day(from_ms + zone_ms), _day(to_ms)
    while at <= last:
        after = _month_after(at)
        month_end_ms = _start_ms(after) - 1
        is_whole = at.day == 1 and after - timedelta(days=1) <= last
        is_out = layout.monthly is not None and month_end_ms + DAY_MS < now_ms
        if is_whole and is_out:
            yield _month(layout, symbol, at)
            at = after
            continue
        is_optional = zone_ms > 0 and not certain[0] <= at <= certain[1]
        yield _daily(layout, symbol, at, is_optional=is_optional)
        at += timedelta(days=1)


def _daily(layout: Layout, symbol: str, day: date, *, is_optional: bool) -> Piece:
    month = _month_file(layout, symbol, day)
    return Piece(
        day.isoformat(),
        layout.daily(symbol, day),
        _start_ms(day),
        _start_ms(day) + DAY_MS - 1,
        _start_ms(day) + DAY_MS + layout.daily_lag_h * HOUR_MS,
        (month,) if month else (),
        is_optional,
    )


def _month(layout: Layout, symbol: str, first: date) -> Piece:
    """A month's days are read where its file is missing or damaged."""
    whole = _month_file(layout, symbol, first)
    if whole is None:
        raise AssertionError(f"{layout.url} has no monthly files")
    days = (_month_after(first) - first).days
    each = [
        _daily(layout, symbol, first + timedelta(days=n), is_optional=False) for n in range(days)
    ]
    return Piece(whole.name, whole.path, whole.from_ms, whole.to_ms, whole.due_ms, tuple(each))


def _month_file(layout: Layout, symbol: str, day: date) -> Piece | None:
    if layout.monthly is None:
        return None
    first, after = day.replace(day=1), _month_after(day)
    end_ms = _start_ms(after)
    due_ms = end_ms + layout.monthly_lag_h * HOUR_MS
    path = layout.monthly(symbol, first)
    return Piece(f"{first:%Y-%m}", path, _start_ms(first), end_ms - 1, due_ms)


def _day(ms: int) -> date:
    return datetime.fromtimestamp(ms // 1_000, UTC).date()


def _start_ms(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1_000


def _month_after(day: date) -> date:
    return (day.replace(day=28) + timedelta(days=4)).replace(day=1)
