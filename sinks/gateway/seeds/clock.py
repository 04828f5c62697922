"""Times as text with the zone's name behind them: ``2024-11-10 15:30:45 IST``, for people."""

from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from schemas.calendars import zone_names
from sinks.gateway.protocol import Refused

ZONE = "Asia/Kolkata"
"""What those clients expect where they name none."""


@lru_cache(maxsize=64)
def zone_of(name: str) -> ZoneInfo:
    """Return a time zone; raise Refused."""
    if name not in zone_names():
        raise Refused(f"tz: there is no zone {name!r}", "A name such as UTC or Asia/Kolkata.")
    return ZoneInfo(name)


def told(at_ms: int, zone: ZoneInfo) -> str:
    """Return the second of a moment as text."""
    return datetime.fromtimestamp(at_ms // 1_000, zone).strftime("%Y-%m-%d %H:%M:%S %Z")
