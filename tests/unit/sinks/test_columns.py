"""Records become columns exactly, or are refused with a reason."""

from decimal import Decimal

import pytest

from schemas.intervals import parse_interval
from schemas.topics import KLINES, TRADES
from sinks.base import Record
from sinks.clickhouse.columns import INT64_MAX
from sinks.clickhouse.klines import kline_table
from sinks.clickhouse.trades import trade_table
from tests.support import market


def record(value: bytes, offset: int = 0, topic: str = TRADES.name) -> Record:
    return Record(topic, 0, offset, 0, value)


def test_a_column_sent_as_one_number_reaches_every_row() -> None:
    table, refused = trade_table([record(market.trades_value(market.group(side=1, flags=4)))])
    assert refused == []
    assert table["side"].to_pylist() == [1, 1, 1]
    assert table["flags"].to_pylist() == [4, 4, 4]


def test_a_plain_trade_is_its_own_first_and_last() -> None:
    table, _ = trade_table([record(market.trades_value(market.group(7, 2)))])
    assert table["first_id"].to_pylist() == table["last_id"].to_pylist() == [7, 8]


def test_unreadable_records_are_refused_and_the_rest_lands() -> None:
    good, torn = market.trades_value(), b'{"v":1,'
    table, refused = trade_table([record(good, 0), record(torn, 1), record(good, 2)])
    assert len(table) == 6
    assert [each.record.offset for each in refused] == [1]


@pytest.mark.parametrize(
    "changes",
    [
        {"price_scale": 13},
        {"flags": -1},
        {"flags": 2**32},
    ],
    ids=str,
)
def test_a_group_that_does_not_fit_is_refused_alone(changes) -> None:
    bad = market.group(symbol="BAD", **changes)
    value = market.trades_value(market.group(), bad, market.group(symbol="ETHUSDT"))
    table, refused = trade_table([record(market.trades_value(), 0), record(value, 1)])
    assert [each.record.offset for each in refused] == [1]
    assert refused[0].reason
    assert set(table["symbol"].to_pylist()) == {"BTCUSDT", "ETHUSDT"}
    assert len(table) == 9


@pytest.mark.parametrize(
    "changes",
    [
        {"price": [INT64_MAX + 1, 1, 1]},
        {"price": [10**30, 1, 1]},
        {"qty_scale": -1},
        {"side": 200},
        {"ts": [-1, 0, 0]},
        {"ts": [10_413_792_000_000, 0, 0]},
    ],
    ids=str,
)
def test_a_record_that_the_processor_cannot_read_is_refused_whole(changes) -> None:
    value = market.trades_value(market.group(), market.group(symbol="BAD", **changes))
    table, refused = trade_table([record(market.trades_value(), 0), record(value, 1)])
    assert [each.record.offset for each in refused] == [1]
    assert refused[0].reason
    assert len(table) == 3


def test_extreme_prices_keep_every_digit() -> None:
    extremes = [INT64_MAX, -INT64_MAX, 0]
    table, refused = trade_table([record(market.trades_value(market.group(price=extremes)))])
    assert refused == []
    assert table["price_int"].to_pylist() == extremes


def test_a_candle_keeps_every_field() -> None:
    k = market.kline(rev=9, closed=True, quote_volume=Decimal("1.000000000000000001"))
    table, refused = kline_table([record(market.klines_value(k), topic=KLINES.name)])
    assert refused == []
    (row,) = table.to_pylist()
    assert row["version"] == 19
    assert row["quote_volume"] == Decimal("1.000000000000000001")
    assert row["open_time"].timestamp() * 1_000 == k.timestamp
    for name in ("open", "high", "low", "close", "volume", "trade_count", "quality", "missing"):
        assert row[name] == getattr(k, name)


@pytest.mark.parametrize(
    "changes",
    [
        {"open": Decimal("0.0000000000001")},
        {"volume": Decimal(10) ** 26},
        {"rev": -1},
        {"rev": 2**62},
        {"interval": 0},
        {"timestamp": -1},
        {"trade_count": 2**63},
        {"anchor": "month@tz=Mars/Olympus"},
        {"interval": 1, "anchor": "month"},
        {"interval": 2_592_000_000, "anchor": "month", "timestamp": 10_413_791_999_999},
    ],
    ids=str,
)
def test_a_candle_that_would_be_cut_is_refused_not_rounded(changes) -> None:
    value = market.klines_value(market.kline(**changes), market.kline(interval=1_000))
    table, refused = kline_table([record(value, topic=KLINES.name)])
    assert len(refused) == 1
    assert len(table) == 1


def test_not_a_number_is_no_price() -> None:
    value = market.klines_value().replace(b'"open":28145.10', b'"open":"NaN"')
    table, refused = kline_table([record(value, topic=KLINES.name)])
    assert len(refused) == 1
    assert len(table) == 0


def test_the_order_of_arrival_is_the_offset_and_the_place_in_the_record() -> None:
    value = market.trades_value(market.group(), market.group(symbol="B", count=2))
    table, _ = trade_table([record(value, 70), record(value, 71)])
    # By symbol, as the table is sorted.
    assert table["rev"].to_pylist() == [70] * 2 + [71] * 2 + [70] * 3 + [71] * 3
    assert table["place"].to_pylist() == [0, 1] * 2 + [0, 1, 2] * 2


def test_a_textual_id_and_the_size_of_a_contract_reach_their_columns() -> None:
    group = market.group(ids="unique", uid=["a", "b", "c"], contract_size="0.01")
    table, refused = trade_table([record(market.trades_value(group, market.group(symbol="B")))])
    assert refused == []
    assert table["uid"].to_pylist() == ["", "", "", "a", "b", "c"]
    assert table["contract_size"].to_pylist() == [""] * 3 + ["0.01"] * 3


@pytest.mark.parametrize(
    ("text", "hours"),
    [("1h", 1), ("8h@funding", 8), ("1w@sun", 168), ("1M", 28 * 24),
     ("1D@tz=America/New_York", 23)],
)  # fmt: skip
def test_a_candle_closes_where_its_window_ends(text, hours) -> None:
    frame = parse_interval(text)
    clocks_change_ms = 1_772_971_200_000  # 2026-03-08 12:00, New York sets its clocks forward
    at_ms = clocks_change_ms - (0 if frame.is_calendar and "tz" in text else 14 * 86_400_000)
    k = market.kline(interval=frame.length_ms, anchor=frame.anchor, timestamp=frame.open_ms(at_ms))
    (row,) = kline_table([record(market.klines_value(k), topic=KLINES.name)])[0].to_pylist()
    assert (row["interval_ms"], row["anchor"]) == (frame.length_ms, frame.anchor)
    assert (row["close_time"] - row["open_time"]).total_seconds() == hours * 3_600


def test_a_candle_without_a_trade_has_a_row() -> None:
    flat = dict.fromkeys(("trade_count", "first_id", "last_id"), 0)
    nothing = dict.fromkeys(("volume", "quote_volume", "taker_buy_volume"), Decimal(0))
    value = market.klines_value(market.kline(**flat, **nothing))
    (row,) = kline_table([record(value, topic=KLINES.name)])[0].to_pylist()
    assert (row["trade_count"], row["first_id"], row["volume"]) == (0, 0, 0)
