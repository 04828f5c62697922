"""Rows written by hand are the schema's rows, number for number."""

from decimal import Decimal

import msgspec
import pytest
from folding import BASE_MS, Fold, run, trades
from hypothesis import given
from hypothesis import strategies as st

from schemas.klines import KlineEnvelope, decode_id_gaps, decode_klines, decode_prices
from schemas.numbers import text
from schemas.recompute import decode_recompute
from schemas.topics import symbol_key


def outputs(fold: Fold, now_ms: int = 0) -> dict[str, bytes]:
    return {topic.name: value for topic, _, value in fold.engine.outputs(now_ms, {0})}


@given(
    st.lists(st.tuples(st.integers(-(10**18), 10**18), st.integers(0, 10**18)), min_size=1),
    st.integers(0, 18),
    st.integers(0, 18),
)
def test_numbers_leave_as_exact_as_they_came(numbers, price_scale, qty_scale) -> None:
    fold = Fold(1_000)
    rows = [(n, 0, price, qty, 1) for n, (price, qty) in enumerate(numbers, start=1)]
    fold.take(trades(*rows, price_scale=price_scale, qty_scale=qty_scale))
    (candle,) = fold.finish()
    prices = [Decimal(text(price, price_scale)) for price, _ in numbers]
    assert (candle.high, candle.low) == (max(prices), min(prices))
    assert candle.volume == Decimal(text(sum(qty for _, qty in numbers), qty_scale))
    quote = sum(price * qty for price, qty in numbers)
    assert candle.quote_volume == Decimal(text(quote, price_scale + qty_scale))
    assert candle.taker_buy_quote_volume == candle.quote_volume


@pytest.mark.parametrize("symbol", ["BTCUSDT", "币安人生USDT", 'A"B\\C', "Ж:Б", "\u2028", "😀"])
def test_any_name_survives(symbol) -> None:
    fold = Fold(1_000)
    fold.take(trades(*run(1, 0, 5_000), symbol=symbol))
    fold.take(trades(*run(9, 6_000), symbol=symbol))
    fold.take(trades(*run(10, 60_000), (7, 5_500, 1, 1, 1), symbol=symbol))
    fold.take(trades((6, 5_400, 1, 1, 1), symbol=symbol))
    keys = {key for _, key, _ in fold.engine.outputs(0, {0})}
    assert keys == {symbol_key("binance", "linear", symbol)}
    fold.take(trades(*run(12, 60_100, 70_000), symbol=symbol))
    found = outputs(fold, now_ms=1)
    for decode in (decode_klines, decode_id_gaps):
        name = "md.klines.v1" if decode is decode_klines else "md.gaps.v1"
        assert {row.symbol for row in decode(found[name]).data} == {symbol}


def test_envelopes_say_where_from_and_when_received() -> None:
    fold = Fold(1_000)
    fold.take(trades((1, 0, 5, 1, 1), (2, 10, 6, 1, 1)), recv_ms=BASE_MS + 33)
    found = outputs(fold)
    live = decode_klines(found["md.klines-live.v1"])
    assert isinstance(live, KlineEnvelope)
    assert (live.exchange, live.channel, live.recv_ms) == ("binance", "linear", BASE_MS + 33)
    assert [row.closed for row in live.data] == [False]
    price = decode_prices(found["md.prices.v1"])
    assert (price.recv_ms, price.data[0].price, price.data[0].ts) == (BASE_MS + 33, 6, BASE_MS + 10)
    assert price.data[0].rev == 0


def test_a_request_to_recompute_is_the_schemas() -> None:
    fold = Fold(1_000)
    fold.take(trades(*run(1, 0, 60_000)))
    fold.take(trades((3, 5, 1, 1, 1)))
    envelope = decode_recompute(outputs(fold)["md.recompute.v1"])
    assert (envelope.exchange, envelope.channel, envelope.data_type) == (
        *("binance", "linear"),
        "recompute",
    )


def test_no_row_has_a_field_that_the_schema_does_not_know() -> None:
    fold = Fold(1_000)
    fold.take(trades(*run(1, 0, 60_000), (9, 60_001, 1, 1, 1)))
    for name, value in outputs(fold).items():
        written = msgspec.json.decode(value)
        decode = decode_id_gaps if "gaps" in name else decode_klines
        if "prices" in name:
            decode = decode_prices
        known = {*decode(value).__struct_fields__, "data_type"}  # of gaps it is the tag
        assert set(written) == known
        fields = set(decode(value).data[0].__struct_fields__) - {
            "anchor"
        }  # told where there is one
        assert set(written["data"][0]) == fields
