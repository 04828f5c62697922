"""Windows of whole days and months as a time zone's calendar has them; a day may have 23 or 25 h.

The zones' rules are those of the package ``tzdata``, not of the machine: the same everywhere.
"""

from datetime import datetime, timedelta
from functools import lru_cache
from importlib.resources import files
from zoneinfo import ZoneInfo

UTC = "UTC"
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - local, as all here are whose name is no zone's
_EPOCH_WEEKDAY = 3  # it was a Thursday
_DAY = timedelta(days=1)

Window = tuple[int, int]
"""Its open and its end in ms since 1970."""


@lru_cache(maxsize=1)
def zone_names() -> frozenset[str]:
    """Return the names of all time zones."""
    return frozenset((files("tzdata") / "zones").read_text("utf-8").split())


@lru_cache(maxsize=4_096)
def days_window(minute: int, zone_name: str, days: int, weekday: int) -> Window:
    """Return the window of so many days that holds a minute since 1970; one opens on a weekday."""
    zone = _zone(zone_name)
    day = _day(minute, zone)
    opened = day - timedelta(days=((day - _EPOCH).days - weekday + _EPOCH_WEEKDAY) % days)
    return _ms(opened, zone), _ms(opened + timedelta(days=days), zone)


@lru_cache(maxsize=4_096)
def months_window(minute: int, zone_name: str, months: int) -> Window:
    """Return the window of so many months of a year that holds a minute since 1970."""
    zone = _zone(zone_name)
    day = _day(minute, zone)
    first = (day.month - 1) // months * months
    return _ms(_month(day.year, first), zone), _ms(_month(day.year, first + months), zone)


@lru_cache(maxsize=1_024)
def _zone(name: str) -> ZoneInfo:
    with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


def _day(minute: int, zone: ZoneInfo) -> datetime:
    """Return the day that holds a minute, begun when its midnight came for the first time."""
    local = datetime.fromtimestamp(minute * 60, zone)
    day = datetime(local.year, local.month, local.day)  # noqa: DTZ001
    # St. John's went from 00:01 back to 23:01: the evening that came twice is the next day's.
    return day + _DAY if _ms(day + _DAY, zone) <= minute * 60_000 else day


def _month(year: int, index: int) -> datetime:
    return datetime(year + index // 12, index % 12 + 1, 1)  # noqa: DTZ001


def _ms(local: datetime, zone: ZoneInfo) -> int:
    """Return when it is that time; where the clock leaps over it, when it leaps."""
    return round(local.replace(tzinfo=zone).timestamp()) * 1_000
