"""What a worker hears of intervals, without a broker."""

import msgspec
import pytest

from processors.intervals import Intervals
from schemas.control import Control, IntervalControl
from schemas.intervals import parse_intervals

TOPIC = "md.control.v1"
SETTINGS = parse_intervals(["1m", "5m"])


@pytest.fixture
def intervals() -> Intervals:
    return Intervals("127.0.0.1:1", TOPIC, SETTINGS)


def take(intervals: Intervals, text: str, *, enabled: bool) -> None:
    value = msgspec.json.encode(IntervalControl(interval=text, enabled=enabled))
    intervals.take(TOPIC, f"interval:{text}".encode(), value)


async def test_changes_that_nobody_asked_for_in_time_are_one(intervals) -> None:
    take(intervals, "1w@mon", enabled=True)
    take(intervals, "5m", enabled=False)
    assert await anext(intervals.changes()) == parse_intervals(["1m", "1w@mon"])
    assert intervals.wanted == parse_intervals(["1m", "1w@mon"])


def test_what_is_about_a_stream_or_cannot_be_read_changes_nothing(intervals) -> None:
    stream = Control(
        exchange="binance", channel="linear", symbol="BTCUSDT", kind="trades", transport="ws"
    )
    intervals.take(TOPIC, str(stream.key).encode(), msgspec.json.encode(stream))
    intervals.take(TOPIC, b"interval:5m", b"{")
    intervals.take(TOPIC, b"interval:7x", None)
    intervals.take(TOPIC, None, None)
    assert intervals.wanted == SETTINGS
