"""TradingView's words: resolutions, scales, marks, and when memory is enough."""

import msgspec
import pytest
from market import kline, klines_value

from schemas.clickhouse.pieces import Series
from schemas.intervals import parse_interval
from sinks.gateway import candles
from sinks.gateway.history import History
from sinks.gateway.hub import Hub
from sinks.gateway.protocol import Refused
from sinks.gateway.udf.bars import NOT_CONFIGURED, Asked, Bars
from sinks.gateway.udf.marks import MARKS_MAX, marks_of
from sinks.gateway.udf.resolutions import interval_of, multipliers, resolutions_of
from sinks.gateway.udf.symbols import scale_of

MINUTE = 60_000
BTC = Series("binance", "linear", "BTCUSDT")


@pytest.mark.parametrize(
    ("resolution", "interval"),
    [
        ("173", "173m"), ("1", "1m"), ("60", "1h"), ("1440", "1D"), ("43200", "30D"),
        ("1S", "1s"), ("S", "1s"), ("30S", "30s"), ("D", "1D"), ("1D", "1D"), ("3D", "3D"),
        ("W", "1w@mon"), ("1W", "1w@mon"), ("M", "1M"), ("1M", "1M"), ("3M", "3M"), ("12M", "12M"),
    ],
)  # fmt: skip
def test_a_resolution_is_an_interval(resolution, interval):
    assert interval_of(resolution).text == interval


@pytest.mark.parametrize(
    "resolution", ["", "0", "-5", "1.5", "1T", "5M", "43201", "90S", "D1", "\u0661"]
)
def test_what_is_no_resolution_is_refused_with_what_would_be_one(resolution):
    with pytest.raises(Refused) as refused:
        interval_of(resolution)
    assert "173" in refused.value.hint


def test_every_resolution_on_offer_can_be_asked_for():
    made = [parse_interval(text) for text in ("1s", "7m", "1D", "2850m", "8h@funding", "1w@mon")]
    offered = resolutions_of(made)
    assert {"1S", "7", "173", "2850", "1D", "1W", "1M"} <= set(offered)
    assert len(set(offered)) == len(offered)
    assert all(interval_of(each) for each in offered)
    assert multipliers(offered, "S") == ["1"]
    assert multipliers(offered, "D") == ["1"]
    assert "173" in multipliers(offered, "")


@pytest.mark.parametrize(
    ("tick", "scale"),
    [
        ("0.10", (1, 10)), ("0.01", (1, 100)), ("0.50", (5, 10)), ("5", (5, 1)), ("1", (1, 1)),
        ("0.0000001", (1, 10_000_000)), ("1e-8", (1, 100_000_000)), ("10", (10, 1)),
        ("", (1, 100)), ("0", (1, 100)), ("-1", (1, 100)), ("NaN", (1, 100)), ("x", (1, 100)),
    ],
)  # fmt: skip
def test_a_tick_is_a_fraction(tick, scale):
    assert scale_of(tick) == scale


def kline_record(minute: int, **row) -> bytes:
    return klines_value(kline(timestamp=minute * MINUTE, rev=minute, **row))


class Away:
    """A warehouse that counts who asks."""

    state = "away"
    asked = 0

    async def klines(self, *_):
        self.asked += 1
        return []


def remembered(minutes, **row) -> Hub:
    hub = Hub(History(), [parse_interval("1m")])
    for minute in minutes:
        hub.accept(candles.read(kline_record(minute, **row)), 0)
    return hub


async def bars_of(hub, warehouse, start, end, limit=10_000):
    asked = Asked(BTC, parse_interval("1m"), start * MINUTE, end * MINUTE, limit)
    return [bar.timestamp // MINUTE for bar in await Bars(hub, warehouse).read(asked)]


@pytest.mark.parametrize(
    ("start", "end", "limit", "found", "asked"),
    [
        (12, 20, 99, range(12, 20), 0),  # all of it, and the one before
        (10, 99, 99, range(10, 30), 0),  # from the very first
        (9, 99, 99, range(10, 30), 1),  # who knows what was before
        (0, 99, 20, range(10, 30), 0),  # so many there are
        (0, 99, 21, range(10, 30), 1),
        (0, 20, 5, range(15, 20), 0),
        (30, 40, 99, (), 0),  # nothing yet, and memory knows
        (0, 5, 99, (), 1),
    ],
)
async def test_the_warehouse_is_asked_for_what_memory_cannot_prove(start, end, limit, found, asked):
    away = Away()
    assert await bars_of(remembered(range(10, 30)), away, start, end, limit) == list(found)
    assert away.asked == asked


async def test_where_candles_may_be_missing_the_warehouse_is_asked():
    away = Away()
    hub = remembered([*range(10, 15), *range(16, 30)])
    assert 15 not in await bars_of(hub, away, 12, 20)
    assert away.asked == 1
    away.state = NOT_CONFIGURED
    assert len(await bars_of(hub, away, 0, 99)) == 19  # memory is all there is
    assert away.asked == 1


async def test_marks_are_corrections_and_gaps_in_columns():
    hub = remembered([1, 2])
    for minute, told in ((3, {"cause": "late"}), (4, {"cause": "venue"}), (5, {"missing": 7})):
        hub.accept(candles.read(kline_record(minute, **told)), 0)
    hub.accept(candles.read(kline_record(6, cause="archive", quality="gap")), 0)
    away = Away()
    away.state = NOT_CONFIGURED
    asked = Asked(BTC, parse_interval("1m"), 0, 99 * MINUTE, 99)
    marks = marks_of(await Bars(hub, away).read(asked))
    assert marks["time"] == [180, 300, 360, 360]
    assert marks["label"] == ["C", "G", "C", "G"]
    assert "7 trades" in marks["text"][1]
    assert len(set(marks["id"])) == 4
    assert {len(column) for column in marks.values()} == {4}
    assert MARKS_MAX < 10_000
    assert msgspec.json.encode(marks)
