"""What a batch changes in Redis, without a Redis."""

import json
from decimal import Decimal

from schemas.topics import KLINES, PRICES
from sinks.redis.rows import Keys, rows_of
from tests.support import market

KEYS = Keys("market-data", "binance")


def rows(topic, *values):
    return rows_of(market.batch(topic.name, list(values)).records, KEYS)


def test_the_keys_are_those_people_know() -> None:
    assert KEYS.price("spot") == "market-data:price:spot"
    assert KEYS.last_closed("linear", "173m") == "market-data:last-closed:linear:173m"
    assert KEYS.versions(KEYS.price("spot")) == "market-data:price-rev:spot"
    assert KEYS.versions(KEYS.last_closed("spot", "1m")) == "market-data:last-closed-rev:spot:1m"


def test_a_main_key_that_holds_a_kind_changes_nothing() -> None:
    keys = Keys("price:x", "binance")
    assert keys.versions(keys.price("spot")) == "price:x:price-rev:spot"


def test_of_one_batch_only_the_newest_row_travels_and_every_candle_is_said() -> None:
    older = market.kline(rev=9)
    newer = market.kline(rev=5, timestamp=market.BASE_MS + 60_000)
    found = rows(KLINES, market.klines_value(newer, older), market.klines_value(older))
    (fields,) = found.hashes.values()
    assert json.loads(fields["BTCUSDT"].value)["timestamp"] == newer.timestamp
    said = [[k["rev"] for k in json.loads(message)["data"]] for _, message in found.messages]
    assert said == [[5, 9], [9]]


def test_an_open_candle_is_not_kept() -> None:
    found = rows(KLINES, market.klines_value(market.kline(closed=False)))
    assert not found.hashes
    assert not found.messages


def test_a_tiny_price_is_written_out() -> None:
    found = rows(PRICES, market.price_value("0.00000001", 1))
    assert found.hashes["market-data:price:linear"]["BTCUSDT"].value == "0.00000001"


def test_numbers_of_a_row_stay_exact() -> None:
    k = market.kline(close=Decimal("0.1234567890123456789"))
    (fields,) = rows(KLINES, market.klines_value(k)).hashes.values()
    assert '"close":0.1234567890123456789' in fields["BTCUSDT"].value


def test_candles_of_one_length_and_different_anchors_have_keys_of_their_own() -> None:
    lengths = {"30D": "", "1M": "month", "1M@tz=Asia/Tokyo": "month@tz=Asia/Tokyo"}
    klines = [market.kline(interval=2_592_000_000, anchor=anchor) for anchor in lengths.values()]
    found = rows(KLINES, market.klines_value(*klines))
    assert set(found.hashes) == {f"market-data:last-closed:linear:{text}" for text in lengths}
    assert [key for key, _ in found.messages] == [
        f"market-data:klines:linear:{text}" for text in lengths
    ]


def test_a_candle_without_a_trade_is_kept_as_any_other() -> None:
    flat = dict.fromkeys(("trade_count", "first_id", "last_id"), 0)
    found = rows(KLINES, market.klines_value(market.kline(**flat, volume=Decimal(0))))
    (fields,) = found.hashes.values()
    assert json.loads(fields["BTCUSDT"].value)["trade_count"] == 0
    assert len(found.messages) == 1
