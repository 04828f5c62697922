"""Binance's trades, answers and what else may come; the other channels have a file of their own."""

import json
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ingest.exchanges.base import Ack, Other, Rejected, Shutdown, TradeRow
from ingest.exchanges.binance import parse
from runtime.errors import Poison
from schemas.trades import BUY, SELL, Flag

SPOT_TRADE = {
    "e": "trade",
    "E": 1672515782136,
    "s": "BNBBTC",
    "t": 12345,
    "p": "0.00100000",
    "q": "100.00000000",
    "T": 1672515782130,
    "m": True,
    "M": True,
}
AGG_TRADE = {
    "e": "aggTrade",
    "E": 1672515782136,
    "s": "BTCUSDT",
    "a": 5933014,
    "p": "28145.10",
    "q": "0.020",
    "f": 100,
    "l": 105,
    "T": 1672515782130,
    "m": False,
    "nq": "0.010",
}
LINEAR_TRADE = {
    "e": "trade",
    "E": 1680652700455,
    "T": 1680652700452,
    "s": "BTCUSDT",
    "t": 3535186032,
    "p": "28145.10",
    "q": "0.002",
    "X": "MARKET",
    "m": True,
}


def frame(event: object, stream: str | None = None) -> bytes:
    message = event if stream is None else {"stream": stream, "data": event}
    return json.dumps(message, separators=(",", ":")).encode()


@pytest.mark.parametrize("stream", [None, "bnbbtc@trade"], ids=["raw", "combined"])
def test_a_spot_trade_keeps_every_digit(stream: str | None) -> None:
    assert parse(frame(SPOT_TRADE, stream))[0] == TradeRow(
        kind="trade",
        symbol="BNBBTC",
        id=12345,
        ts=1672515782130,
        price=100000,
        price_scale=8,
        qty=10000000000,
        qty_scale=8,
        side=SELL,
        flags=0,
        first=12345,
        last=12345,
    )


@pytest.mark.parametrize("stream", [None, "btcusdt@aggTrade"], ids=["raw", "combined"])
def test_an_aggregate_carries_the_ids_inside_it(stream: str | None) -> None:
    (row,) = parse(frame(AGG_TRADE, stream))
    assert (row.kind, row.id, row.first, row.last) == ("aggTrade", 5933014, 100, 105)
    assert (row.price, row.price_scale, row.qty, row.qty_scale) == (2814510, 2, 20, 3)


def test_the_side_is_the_takers() -> None:
    assert parse(frame(AGG_TRADE | {"m": False}))[0].side == BUY
    assert parse(frame(AGG_TRADE | {"m": True}))[0].side == SELL


@pytest.mark.parametrize("order_type", ["INSURANCE_FUND", "ADL", "NA"])
def test_trades_outside_the_market_are_flagged(order_type: str) -> None:
    assert parse(frame(LINEAR_TRADE))[0].flags == 0
    assert parse(frame(LINEAR_TRADE | {"X": order_type}))[0].flags == Flag.NON_MARKET


def test_the_order_of_keys_means_nothing() -> None:
    turned = dict(reversed(AGG_TRADE.items()))
    assert parse(frame(turned)) == parse(frame(AGG_TRADE))
    assert parse(frame({"data": turned, "stream": "x"})) == parse(frame(AGG_TRADE, "x"))


def test_a_coin_m_event_of_the_merged_streams_is_not_ours() -> None:
    assert parse(frame(AGG_TRADE | {"st": 2}, "x")) == (Other("coin_m_aggTrade"),)
    assert parse(frame(AGG_TRADE | {"st": 1}, "x"))[0].id == 5933014
    assert parse(frame(AGG_TRADE | {"st": 3}, "x"))[0].id == 5933014, "a new word is no COIN-M"


@pytest.mark.parametrize("stream", [None, "btcusdt@aggTrade"], ids=["raw", "combined"])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("p", "abc"),
        ("p", 28145.1),
        ("p", "1e5"),
        ("p", "-1.0"),
        ("p", " 1"),
        ("p", "1_0"),
        ("p", "\u0661"),
        ("p", "."),
        ("p", ""),
        ("q", None),
        ("q", "9" * 30),
        ("a", "5933014"),
        ("a", 1.5),
        ("a", -1),
        ("a", 2**63),
        ("f", True),
        ("l", 99),
        ("T", "1672515782130"),
        ("T", 1672515782130000),
        ("T", 1672515782),
        ("m", "true"),
        ("s", ""),
        ("s", 5),
    ],
)
def test_a_bad_field_is_refused_by_name(stream: str | None, field: str, value: object) -> None:
    bad = frame(AGG_TRADE | {field: value}, stream)
    with pytest.raises(Poison, match=rf"aggTrade: .*\b{field}\b") as refused:
        parse(bad)
    assert refused.value.payload == bad


@pytest.mark.parametrize("field", ["s", "a", "p", "q", "f", "l", "T", "m"])
def test_a_missing_field_is_refused_by_name(field: str) -> None:
    with pytest.raises(Poison, match=rf"`{field}`"):
        parse(frame({k: v for k, v in AGG_TRADE.items() if k != field}, "x"))


def test_a_number_that_needs_no_decimals_fits_however_it_is_written() -> None:
    (row,) = parse(frame(AGG_TRADE | {"q": "1000000000000.00000000"}))
    assert Decimal(row.qty).scaleb(-row.qty_scale) == 10**12


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"result": None, "id": 3}, Ack(3)),
        ({"result": ["btcusdt@aggTrade"], "id": 3}, Ack(3)),
        ({"result": None, "id": "of another client"}, Other("answer")),
        ({"error": {"code": 2, "msg": "bad"}, "id": None}, Rejected(None, "bad (code 2)")),
        ({"error": {"code": 2, "msg": "bad"}, "id": 3}, Rejected(3, "bad (code 2)")),
        ({"code": 2, "msg": "bad", "id": 3}, Rejected(3, "bad (code 2)")),
        ({"error": {"code": 3, "msg": "bad"}}, Rejected(None, "bad (code 3)")),
        ({"code": -1121, "msg": "Invalid symbol."}, Rejected(None, "Invalid symbol. (code -1121)")),
        ({"e": "serverShutdown", "E": 1}, Shutdown()),
        ({"stream": "!serverShutdown", "data": {"e": "serverShutdown"}}, Shutdown()),
        ({"lastUpdateId": 1, "bids": [], "asks": []}, Other("depth_snapshot")),
        ({"stream": "x@depth20", "data": {"lastUpdateId": 1, "bids": [], "asks": []}},
         Other("partial_depth")),
        ({"stream": "x", "data": {"e": "continuous_kline", "k": {}}}, Other("continuous_kline")),
        ({"e": "blockTrade", "s": "B"}, Other("blockTrade")),
        ({"e": "contractInfo", "s": "B"}, Other("contractInfo")),
        ([[1, "1", "1", "1", "1", "1", 2, "1", 3, "1", "1", "0"]], Other("rest_klines")),
        ([{"a": 1, "p": "1", "q": "1", "f": 1, "l": 1, "T": 1, "m": True}],
         Other("rest_agg_trade")),
        ({"symbols": [], "rateLimits": []}, Other("rest_exchange_info")),
        ([], Other("rest_empty")),
        ({}, Other("rest_empty")),
    ],
)  # fmt: skip
def test_other_frames_are_recognised(message: object, expected: object) -> None:
    assert list(parse(frame(message))) == [expected]


def test_an_array_of_events_is_read_whole_or_refused_whole() -> None:
    infos = [{"e": "contractInfo", "s": "A"}, {"e": "contractInfo", "s": "B"}]
    assert list(parse(frame(infos, "!contractInfo"))) == [Other("contractInfo")] * 2
    assert [row.id for row in parse(frame([AGG_TRADE, AGG_TRADE | {"a": 7}]))] == [5933014, 7]
    with pytest.raises(Poison, match="trade_all"):
        parse(frame([AGG_TRADE, {"e": "trade_all"}]))


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({"e": "trade_all"}, "unknown event 'trade_all'"),
        ({"hello": 1}, "the keys hello"),
        ("text", "undocumented frame: str"),
        (None, "undocumented frame: NoneType"),
        ([[1, 2]], "undocumented frame: a list of 1"),
    ],
)
def test_what_nobody_can_name_is_refused_with_a_reason(message: object, reason: str) -> None:
    with pytest.raises(Poison) as refused:
        parse(frame(message))
    assert reason in refused.value.reason


NUMBERS = st.one_of(
    st.from_regex(r"-?[0-9]{0,4}\.?[0-9]{0,22} ?", fullmatch=True),
    st.decimals(min_value=0, max_value=10**12, places=8).map(str),
    st.text("0123456789.- +_eE\t\u0661\u00b2", max_size=8),
    st.text(max_size=6),
)


@given(price=NUMBERS, qty=NUMBERS)
@example(price="0.00000000", qty="1000000000000.00000000")
@example(price="0.-0", qty="1")
@example(price="-0.5", qty="1")
@example(price="5.1 ", qty="1")
@example(price="1", qty="0.5\n")
@example(price="0043.5", qty="1")
@example(price="9223372036854775807.0", qty="9223372036854775807")
@example(price="1.0.0", qty="1")
@example(price="\u0661.5", qty="1")
def test_the_quick_way_says_what_the_exact_one_says(price: str, qty: str) -> None:
    event = AGG_TRADE | {"p": price, "q": qty}
    assert outcome(frame(event, "x")) == outcome(
        frame(event)
    )  # one without the wrapper is read slowly


def outcome(message: bytes) -> object:
    try:
        return list(parse(message))
    except Poison as e:
        return e.reason


def test_a_refused_number_is_shown() -> None:
    with pytest.raises(Poison, match=r"aggTrade: p: '1\.2\.3' is not a decimal number"):
        parse(frame(AGG_TRADE | {"p": "1.2.3"}, "x"))
