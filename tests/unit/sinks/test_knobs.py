import json

import msgspec
import pytest
from market import batch, group, klines_value, price_value, trade_batch, trades_value

from runtime.settings import Settings
from schemas.control import Control, IntervalControl
from schemas.streams import StreamKey
from schemas.topics import KLINES, PRICES, TICKER_SNAPSHOTS, TRADES
from schemas.trades import decode_batch, encode_batch, rows
from sinks import metrics
from sinks.knobs import Knobs, strip

BTC = StreamKey("binance", "linear", "BTCUSDT", "trades", "ws")
MUTED = {("trades", "binance", "linear"): {"BTCUSDT"}}
encode = msgspec.json.Encoder().encode


def knobs(knob: str, *controls: Control) -> Knobs:
    found = Knobs(Settings(_env_file=None), knob)
    for control in controls:
        found._take("md.control.v1", str(control.key).encode(), encode(control))
    return found


def test_groups_of_muted_symbols_are_left_out_and_the_others_stay_byte_for_byte() -> None:
    value = trades_value(group(), group(symbol="ETHUSDT", price=[1, 2, 3]))
    stripped, left_out = strip(value, "trades", MUTED)
    assert left_out == 1
    assert [g.symbol for g in decode_batch(stripped).symbols] == ["ETHUSDT"]
    assert stripped == trades_value(group(symbol="ETHUSDT", price=[1, 2, 3]))


def test_nothing_is_left_of_a_record_with_muted_symbols_only() -> None:
    assert strip(trades_value(group()), "trades", MUTED) == (b"", 1)


@pytest.mark.parametrize(
    "value",
    [trades_value(group(symbol="ETHUSDT")), trades_value(exchange="bybit"),
     trades_value(channel="spot"), b"no json", b"[]", b'{"exchange":"binance"}',
     b'{"exchange":"binance","channel":"linear","data":[1]}'],
)  # fmt: skip
def test_what_is_not_muted_or_cannot_be_read_stays_as_it_is(value) -> None:
    assert strip(value, "trades", MUTED) == (value, 0)


@pytest.mark.parametrize("binary_from", [1, 1 << 60])
def test_of_a_packed_record_the_columns_go_with_their_symbol(binary_from) -> None:
    kept = group(7, 2, symbol="ETHUSDT", price=[1, 2])
    value = encode_batch(trade_batch(group(), kept), binary_from=binary_from)
    stripped, left_out = strip(value, "trades", MUTED)
    assert left_out == 1
    assert list(rows(decode_batch(stripped))) == list(rows(trade_batch(kept)))


def test_numbers_keep_their_digits() -> None:
    two = [price_value("0.10000000000000000010", 1, s) for s in ("BTCUSDT", "ETHUSDT")]
    both = json.loads(two[0])
    text = two[0].decode().replace('"data":[', '"data":[' + _row(two[1]) + ",")
    stripped, left_out = strip(text.encode(), "trades", MUTED)
    assert left_out == 1
    assert b"0.10000000000000000010" in stripped
    assert json.loads(stripped)["exchange"] == both["exchange"]


def _row(value: bytes) -> str:
    text = value.decode()
    return text[text.index("[") + 1 : text.index("]")]


def test_a_database_leaves_out_the_trades_and_keeps_their_candles() -> None:
    off = Control(**BTC._asdict(), db_writes_enabled=False)
    muted = knobs("db_writes_enabled", off)
    trades, klines = batch(TRADES.name, [trades_value()]), batch(KLINES.name, [klines_value()])
    assert muted.filtered(trades).records == []
    assert muted.filtered(trades).next_offsets == trades.next_offsets
    assert muted.filtered(klines).records == klines.records


def test_a_database_leaves_out_the_merged_tickers_of_a_muted_stream() -> None:
    tickers = {**BTC._asdict(), "kind": "tickers"}
    muted = knobs("db_writes_enabled", Control(**tickers, db_writes_enabled=False))
    value = (
        b'{"exchange":"binance","channel":"linear","recv_ms":1,"data_type":"ticker","data":'
        b'[{"symbol":"%s","ts":1,"isSnapshot":true,"rev":1}]}'
    )
    values = [value % b"BTCUSDT", value % b"ETHUSDT"]
    asked = muted.allowed(batch(TICKER_SNAPSHOTS.name, values).records)
    assert [record.value for record in asked] == values[1:]
    trades = batch(TRADES.name, [trades_value()]).records
    assert muted.allowed(trades) == trades


def test_redis_leaves_out_candles_and_prices_of_muted_trades() -> None:
    off = Control(**BTC._asdict(), redis_publishes_enabled=False)
    muted = knobs("redis_publishes_enabled", off)
    values = [price_value("1", 1), price_value("2", 2, "ETHUSDT")]
    assert [r.value for r in muted.allowed(batch(PRICES.name, values).records)] == values[1:]
    assert muted.allowed(batch(KLINES.name, [klines_value()]).records) == []


def test_one_knob_does_not_turn_the_other_and_either_can_be_turned_back() -> None:
    records = batch(TRADES.name, [trades_value()]).records
    muted = knobs("db_writes_enabled", Control(**BTC._asdict(), redis_publishes_enabled=False))
    assert muted.allowed(records) == records
    muted = knobs("db_writes_enabled", Control(**BTC._asdict(), db_writes_enabled=False))
    assert muted.allowed(records) == []
    muted._take("md.control.v1", str(BTC).encode(), encode(Control(**BTC._asdict())))
    assert muted.allowed(records) == records
    muted._take(
        "md.control.v1",
        str(BTC).encode(),
        encode(Control(**BTC._asdict(), db_writes_enabled=False)),
    )
    muted._take("md.control.v1", str(BTC).encode(), None)
    assert muted.allowed(records) == records


def test_a_record_that_cannot_be_read_mutes_nothing() -> None:
    muted = knobs("db_writes_enabled")
    muted._take("md.control.v1", str(BTC).encode(), b"{")
    muted._take("md.control.v1", b"?", encode(Control(**BTC._asdict(), db_writes_enabled=False)))
    assert muted.allowed(batch(TRADES.name, [trades_value()]).records)


def test_a_wish_about_an_interval_mutes_nothing_and_is_no_bad_record() -> None:
    found = knobs("redis_publishes_enabled")
    refused = metrics.CONTROLS_REFUSED._value.get()
    found._take("md.control.v1", b"interval:1m", encode(IntervalControl(interval="1m")))
    found._take("md.control.v1", b"interval:1m", None)
    assert metrics.CONTROLS_REFUSED._value.get() == refused
    assert not found._muting
