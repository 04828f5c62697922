"""TradingView's resolutions to our intervals and back: ``173`` are minutes, ``1S``, ``1D``, ``1W``.

Weeks open on Monday and months on their first, as TradingView draws them.
"""

import re
from collections.abc import Iterable

from schemas.intervals import DAY_MS, MINUTE_MS, PRESETS, Interval, parse_interval, parse_intervals
from sinks.gateway.protocol import Refused

_TEXT = re.compile(r"([1-9][0-9]{0,5})?([SDWM]?)")
_UNITS = {"S": "s", "": "m", "D": "D", "W": "w", "M": "M"}
MINUTES = (1, 3, 5, 15, 30, 45, 60, 120, 180, 240, 360, 480, 720)
LONG = ("1D", "1W", "1M")
HINT = "Minutes such as 173, or 1S, 1D, 1W, 1M"


def interval_of(resolution: str) -> Interval:
    """Return the interval of a resolution; raise Refused."""
    match = _TEXT.fullmatch(resolution.strip())
    if match is None or not match[0]:
        raise Refused(f"resolution: {resolution[:20]!r} is none", HINT)
    try:
        return parse_interval(f"{match[1] or 1}{_UNITS[match[2]]}")
    except ValueError as e:
        raise Refused(f"resolution: {e}", HINT) from e


def resolutions_of(made: Iterable[Interval]) -> list[str]:
    """Return the resolutions to offer: what is made, the Fibonacci ladder, and the usual ones."""
    offered = {*made, *parse_intervals(["fibonacci"])} if "fibonacci" in PRESETS else set(made)
    plain = [each for each in offered if not each.anchor and each.length_ms < DAY_MS]
    seconds = sorted({each.length_ms // 1_000 for each in plain if each.length_ms < MINUTE_MS})
    long = [each for each in offered if not each.anchor and each.length_ms >= DAY_MS]
    minutes = {each.length_ms // MINUTE_MS for each in plain if each.length_ms >= MINUTE_MS}
    minutes |= {each.length_ms // MINUTE_MS for each in long if each.length_ms % DAY_MS}
    texts = [f"{n}S" for n in seconds]
    return [*texts, *(str(n) for n in sorted(minutes | set(MINUTES))), *LONG]


def multipliers(resolutions: Iterable[str], unit: str) -> list[str]:
    """Return the numbers of the resolutions of one unit: S, D, W, M, or none for minutes."""
    matches = [match for text in resolutions if (match := _TEXT.fullmatch(text))]
    return [match[1] for match in matches if match[2] == unit]
