"""Candle intervals: text to windows and back, and the edges of those windows.

Windows are half open, ``[open, end)``. Without an anchor they open at multiples of their length
since the Unix epoch in UTC: a 173m candle opens at the same moments on every machine and in every
replay. An anchor says where they open instead: ``1w@mon``, ``1M``, ``1D@tz=Asia/Tokyo``.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from schemas.calendars import UTC, days_window, months_window, zone_names

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
WEEK_MS = 7 * DAY_MS
MONTH_MS = 30 * DAY_MS  # nominal: the length that a row tells; its window is a calendar month
INTERVAL_MS_MAX = 30 * DAY_MS

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
FUNDING = "funding"
MONTH = "month"
_UNITS_MS = {"s": SECOND_MS, "m": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS, "D": DAY_MS}
_UNITS_MS |= {"w": WEEK_MS, "W": WEEK_MS, "M": MONTH_MS}
_TEXT = re.compile(r"(0|[1-9][0-9]{0,14})([smhdDwWM])((?:@[A-Za-z0-9_=/+-]+)*)")

FIBONACCI = tuple(
    f"{n}m" for n in (1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610, 987, 1597, 2584)
)
PRESETS = {"fibonacci": (*FIBONACCI, "173m", "2850m")}


class BadInterval(ValueError):  # noqa: N818 - reads as the claim it makes
    """``text`` names no interval."""

    def __init__(self, text: str, reason: str) -> None:
        super().__init__(text, reason)
        self.text = text
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"{self.text!r} is not an interval: {self.reason}. "
            "Valid: 1s ... 59s and any whole minute up to 30 days, such as 1s, 5m, 173m, 2850m, "
            "4h, 1D, 30D; 1w@mon, 1M, 1D@tz=Asia/Tokyo, 8h@funding; "
            f"or a preset: {', '.join(PRESETS)}"
        )


class Interval(NamedTuple):
    """One kind of window; the two fields together are its identity on every topic.

    ``length_ms`` is the window's length, nominal where a calendar decides (a month: 30 days).
    ``anchor`` says where windows open: empty (the epoch), a weekday, ``month``, ``funding``, and
    ``tz=ZONE``, joined by ``@``.
    """

    length_ms: int
    anchor: str = ""

    def open_ms(self, at_ms: int) -> int:
        """Return the open time of the window that holds ``at_ms``."""
        if not self.anchor:
            return at_ms - at_ms % self.length_ms
        return self.window(at_ms)[0]

    def end_ms(self, open_ms: int) -> int:
        """Return the end of the window that opens at ``open_ms``."""
        if not self.anchor:
            return open_ms + self.length_ms
        return self.window(open_ms)[1]

    def window(self, at_ms: int) -> tuple[int, int]:
        """Return the open and the end of the window that holds ``at_ms``."""
        if not self.anchor or self.anchor == FUNDING:
            open_ms = at_ms - at_ms % self.length_ms
            return open_ms, open_ms + self.length_ms
        parts = self.anchor.split("@")
        zone = next((part[3:] for part in parts if part.startswith("tz=")), UTC)
        minute = at_ms // MINUTE_MS  # every zone's midnight is on one
        if MONTH in parts:
            return months_window(minute, zone, self.length_ms // MONTH_MS)
        weekday = next((WEEKDAYS.index(part) for part in parts if part in WEEKDAYS), 0)
        return days_window(minute, zone, self.length_ms // DAY_MS, weekday)

    @property
    def is_calendar(self) -> bool:
        """Say whether its windows may differ in length."""
        return MONTH in self.anchor or "tz=" in self.anchor

    @property
    def text(self) -> str:
        """Return the canonical text, in the largest unit that divides the length: 60m is 1h."""
        parts = self.anchor.split("@") if self.anchor else []
        if MONTH in parts:
            parts.remove(MONTH)
            return "@".join([f"{self.length_ms // MONTH_MS}M", *parts])
        units = [("D", DAY_MS), ("h", HOUR_MS), ("m", MINUTE_MS), ("s", SECOND_MS)]
        if any(part in WEEKDAYS for part in parts):
            units = [("w", WEEK_MS)]
        found = (unit for unit in units if self.length_ms % unit[1] == 0)
        suffix, unit_ms = next(found, units[-1])  # what no text names is no reason to fail
        return "@".join([f"{self.length_ms // unit_ms}{suffix}", *parts])


def parse_interval(text: str) -> Interval:
    """Return the interval that ``173m``, ``4h``, ``1w@mon`` name; raise BadInterval."""
    match = _TEXT.fullmatch(text.strip())
    if match is None:
        raise BadInterval(text, "expected a whole number and one of s, m, h, D, w, M")
    count, unit, anchors = int(match[1]), match[2], match[3].split("@")[1:]
    length_ms = count * _UNITS_MS[unit]
    if length_ms < SECOND_MS:
        raise BadInterval(text, "shorter than one second")
    if unit == "M":
        if 12 % count:
            raise BadInterval(text, "a year holds no whole number of them")
        return Interval(length_ms, "@".join([MONTH, *_zone(text, anchors)]))
    if length_ms > INTERVAL_MS_MAX:
        raise BadInterval(text, "longer than 30 days")
    if unit in "wW":
        day = anchors.pop(0) if anchors and anchors[0] in WEEKDAYS else WEEKDAYS[0]
        return Interval(length_ms, "@".join([day, *_zone(text, anchors)]))
    return Interval(length_ms, _of_a_length(text, length_ms, anchors))


def _of_a_length(text: str, length_ms: int, anchors: list[str]) -> str:
    """Return the anchor of what is neither weeks nor months, checked."""
    if anchors == [FUNDING]:
        if length_ms % HOUR_MS or DAY_MS % length_ms:
            raise BadInterval(text, "funding comes every 1, 2, 3, 4, 6, 8, 12 or 24 hours")
        return FUNDING
    if length_ms > MINUTE_MS and length_ms % MINUTE_MS:
        raise BadInterval(text, "above one minute only whole minutes")
    zone = _zone(text, anchors)
    if zone and length_ms != DAY_MS:
        raise BadInterval(text, "only 1D, weeks and months can follow a time zone")
    return "@".join(zone)


def parse_intervals(texts: Iterable[str]) -> tuple[Interval, ...]:
    """Return several intervals and presets, each once, shortest first."""
    found: set[Interval] = set()
    for text in texts:
        found.update(parse_interval(part) for part in PRESETS.get(text.strip().lower(), (text,)))
    if not found:
        raise BadInterval("", "at least one is needed")
    return tuple(sorted(found))


def _zone(text: str, anchors: list[str]) -> list[str]:
    """Return the time zone among the anchors, checked; UTC is none."""
    if not anchors:
        return []
    name = anchors[0].removeprefix("tz=")
    if len(anchors) > 1 or name == anchors[0]:
        raise BadInterval(text, f"@{'@'.join(anchors)} is no anchor of it")
    if name not in zone_names():
        raise BadInterval(text, f"there is no time zone {name!r}")
    return [] if name == UTC else [anchors[0]]
