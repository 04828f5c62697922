"""Candle intervals: text to whole seconds and back, and the edges of their windows.

Windows are half open, ``[open, open + interval)``, and anchored at the Unix epoch in UTC: a 173m
candle opens at multiples of 173 minutes since 1970, on every machine and in every replay.
"""

import re
from collections.abc import Iterable

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
INTERVAL_MS_MAX = 30 * DAY_MS

_UNITS_MS = {"s": SECOND_MS, "m": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS, "D": DAY_MS}
_TEXT = re.compile(r"(0|[1-9][0-9]{0,14})([smhdD])")

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
            f"4h, 1D, 30D, or a preset: {', '.join(PRESETS)}"
        )


def parse_interval(text: str) -> int:
    """Return the length in milliseconds of ``173m``, ``4h``, ``1D``; raise BadInterval."""
    match = _TEXT.fullmatch(text.strip())
    if match is None:
        raise BadInterval(text, "expected a whole number and one of s, m, h, D")
    length_ms = int(match[1]) * _UNITS_MS[match[2]]
    if length_ms < SECOND_MS:
        raise BadInterval(text, "shorter than one second")
    if length_ms > INTERVAL_MS_MAX:
        raise BadInterval(text, "longer than 30 days")
    if length_ms > MINUTE_MS and length_ms % MINUTE_MS:
        raise BadInterval(text, "above one minute only whole minutes")
    return length_ms


def interval_text(length_ms: int) -> str:
    """Return the canonical text, in the largest unit that divides the length: ``60m`` is 1h."""
    for suffix, unit_ms in (("D", DAY_MS), ("h", HOUR_MS), ("m", MINUTE_MS)):
        if length_ms % unit_ms == 0:
            return f"{length_ms // unit_ms}{suffix}"
    return f"{length_ms // SECOND_MS}s"


def parse_intervals(texts: Iterable[str]) -> tuple[int, ...]:
    """Return the lengths of several intervals and presets, each once, shortest first."""
    lengths: set[int] = set()
    for text in texts:
        lengths.update(parse_interval(part) for part in PRESETS.get(text.strip().lower(), (text,)))
    if not lengths:
        raise BadInterval("", "at least one is needed")
    return tuple(sorted(lengths))


def open_ms(at_ms: int, length_ms: int) -> int:
    """Return the open time of the window that holds ``at_ms``."""
    return at_ms - at_ms % length_ms
