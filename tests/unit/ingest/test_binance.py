"""Binance's documented frames and bodies, shortened only in their number of rows."""

import json
from decimal import Decimal

import pytest

from ingest.exchanges.base import Ack, Other, Rejected, Shutdown, TradeRow
from ingest.exchanges.binance import LINEAR, SPOT, parse
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
    return json.dumps(event if stream is None else {"stream": stream, "data": event}).encode()


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
         Other("depth_snapshot")),
        ({"u": 1, "s": "B", "b": "1", "B": "1", "a": "1", "A": "1"}, Other("bookTicker")),
        ({"stream": "x", "data": {"e": "kline", "k": {}}}, Other("kline")),
        ({"e": "forceOrder", "o": {}}, Other("forceOrder")),
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
    marks = [{"e": "markPriceUpdate", "s": "A"}, {"e": "markPriceUpdate", "s": "B"}]
    assert list(parse(frame(marks, "!markPrice@arr"))) == [Other("markPriceUpdate")] * 2
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


SPOT_INFO = {
    "timezone": "UTC",
    "symbols": [
        {
            "symbol": "ETHBTC",
            "status": "TRADING",
            "baseAsset": "ETH",
            "quoteAsset": "BTC",
            "filters": [
                {"filterType": "PRICE_FILTER", "minPrice": "0.00000100", "tickSize": "0.00001000"},
                {"filterType": "LOT_SIZE", "stepSize": "0.00010000"},
                {"filterType": "MARKET_LOT_SIZE", "stepSize": "0.00000000"},
            ],
        },
        {"symbol": "OLD", "status": "BREAK", "baseAsset": "O", "quoteAsset": "D", "filters": []},
    ],
}


def linear_symbol(**changed: object) -> dict:
    return {
        "symbol": "BTCUSDT",
        "status": "TRADING",
        "contractType": "PERPETUAL",
        "baseAsset": "BTC",
        "quoteAsset": "USDT",
        "marginAsset": "USDT",
        "filters": [
            {"tickSize": "0.10", "filterType": "PRICE_FILTER"},
            {"stepSize": "0.001", "filterType": "LOT_SIZE"},
        ],
    } | changed


def test_spot_instruments_take_their_scales_from_the_steps() -> None:
    eth, old = SPOT.instruments(frame(SPOT_INFO))
    assert (eth.unified, eth.price_scale, eth.qty_scale, eth.is_streamed) == ("ETH/BTC", 5, 4, True)
    assert (old.status, old.is_streamed) == ("BREAK", False)


def test_only_trading_perpetuals_are_streamed() -> None:
    listed = LINEAR.instruments(
        frame(
            {
                "symbols": [
                    linear_symbol(),
                    linear_symbol(symbol="Q", contractType="CURRENT_QUARTER"),
                    linear_symbol(symbol="P", contractType="", status="PENDING_TRADING"),
                    linear_symbol(symbol="S", status="SETTLING"),
                    linear_symbol(symbol="TSLAUSDT", contractType="TRADIFI_PERPETUAL"),
                ]
            }
        )
    )
    assert [i.is_streamed for i in listed] == [True, False, False, False, True]
    assert (listed[0].unified, listed[0].price_scale) == ("BTC/USDT:USDT", 1)


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"\xff",
        b'{"symbols":[{"symbol":1}]}',
        frame({"symbols": [linear_symbol(filters=[
            {"filterType": "PRICE_FILTER", "tickSize": "cheap"}])]}),
    ],
)  # fmt: skip
def test_a_body_that_is_no_exchange_info_is_refused(body: bytes) -> None:
    with pytest.raises(Poison):
        LINEAR.instruments(body)


def test_symbols_are_compared_by_trades_because_turnovers_have_different_units() -> None:
    btc = {"symbol": "BTCUSDT", "quoteVolume": "1500000000.00", "count": 4_000_000}
    rupiah = {"symbol": "USDTIDR", "quoteVolume": "90000000000.00", "count": 9_000}
    body = frame([btc, rupiah, {"symbol": "B"}])
    assert SPOT.trade_counts(body) == {"BTCUSDT": 4_000_000, "USDTIDR": 9_000, "B": 0}
    with pytest.raises(Poison):
        SPOT.trade_counts(frame([{"symbol": "A", "count": "many"}]))
