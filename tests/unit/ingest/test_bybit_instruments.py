"""Bybit's REST bodies as documented, shortened only in their number of rows and fields."""

import json

import pytest

from ingest.exchanges.base import Instrument
from ingest.exchanges.bybit import LINEAR, SPOT
from runtime.errors import Poison

PERPETUAL = {
    "symbol": "BTCUSDT",
    "contractType": "LinearPerpetual",
    "status": "Trading",
    "baseCoin": "BTC",
    "quoteCoin": "USDT",
    "settleCoin": "USDT",
    "deliveryTime": "0",
    "priceScale": "2",
    "priceFilter": {"minPrice": "0.10", "maxPrice": "1999999.80", "tickSize": "0.10"},
    "lotSizeFilter": {"maxOrderQty": "1190.000", "qtyStep": "0.001"},
    "fundingInterval": 480,
    "preListingInfo": None,
}
DATED = PERPETUAL | {
    "symbol": "BTCUSDT-25DEC26",
    "contractType": "LinearFutures",
    "deliveryTime": "1798185600000",
}
PRE_LAUNCH = PERPETUAL | {"symbol": "BIOUSDT", "baseCoin": "BIO", "status": "PreLaunch"}
USDC = PERPETUAL | {"symbol": "ETHPERP", "baseCoin": "ETH", "quoteCoin": "USDC"}
USDC |= {"settleCoin": "USDC"}
PAIR = {
    "symbol": "BTCUSDT",
    "baseCoin": "BTC",
    "quoteCoin": "USDT",
    "status": "Trading",
    "lotSizeFilter": {"basePrecision": "0.000001", "quotePrecision": "0.0000001"},
    "priceFilter": {"tickSize": "0.1"},
}


def body(category: str, rows: list[object], cursor: str = "") -> bytes:
    result = {"category": category, "list": rows, "nextPageCursor": cursor}
    answer = {"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": 1}
    return json.dumps(answer).encode()


def test_a_perpetual_that_trades_is_streamed() -> None:
    assert LINEAR.read_instruments([body("linear", [PERPETUAL])]) == [
        Instrument(
            symbol="BTCUSDT",
            unified="BTC/USDT:USDT",
            status="Trading",
            is_streamed=True,
            price_scale=1,
            qty_scale=3,
            tick="0.10",
            step="0.001",
        )
    ]


def test_dated_futures_and_contracts_before_their_launch_are_known_and_not_streamed() -> None:
    pages = [body("linear", [PERPETUAL, DATED, USDC]), body("linear", [PRE_LAUNCH])]
    found = {i.symbol: i for i in LINEAR.read_instruments(pages)}
    assert {s for s, i in found.items() if i.is_streamed} == {"BTCUSDT", "ETHPERP"}
    assert found["BTCUSDT-25DEC26"].unified == "BTC/USDT:USDT-261225"
    assert found["ETHPERP"].unified == "ETH/USDC:USDC"
    assert found["BIOUSDT"].status == "PreLaunch"


def test_a_contract_that_began_to_trade_between_two_pages_trades() -> None:
    pages = [body("linear", [PERPETUAL]), body("linear", [PERPETUAL | {"status": "PreLaunch"}])]
    (found,) = LINEAR.read_instruments(pages)
    assert found.is_streamed


def test_a_spot_pairs_step_is_the_precision_of_its_base_coin() -> None:
    (pair,) = SPOT.read_instruments([body("spot", [PAIR])])
    assert (pair.unified, pair.step, pair.qty_scale, pair.tick) == (
        "BTC/USDT",
        "0.000001",
        6,
        "0.1",
    )
    assert pair.is_streamed


@pytest.mark.parametrize(
    "broken",
    [
        5,
        {},
        PERPETUAL | {"priceFilter": {"tickSize": "x"}},
        PERPETUAL | {"lotSizeFilter": {}},
        DATED | {"deliveryTime": "soon"},
        DATED | {"deliveryTime": "9" * 30},
    ],
)
def test_a_symbol_that_cannot_be_read_is_left_out_and_not_all(broken: object) -> None:
    (found,) = LINEAR.read_instruments([body("linear", [broken, USDC])])
    assert found.symbol == "ETHPERP"


def test_the_pages_are_followed_to_the_last() -> None:
    request = LINEAR.next_page(body("linear", [PERPETUAL], "first%3DA%26last%3DB"))
    assert request
    assert request.path == (
        "/v5/market/instruments-info?category=linear&limit=1000&cursor=first%253DA%2526last%253DB"
    )
    assert LINEAR.next_page(body("linear", [PERPETUAL])) is None
    assert LINEAR.next_page(body("linear", [], "again")) is None


def test_the_page_after_one_of_pre_launch_contracts_holds_pre_launch_contracts() -> None:
    assert [r.path.count("PreLaunch") for r in LINEAR.instruments] == [0, 1]
    request = LINEAR.next_page(body("linear", [PRE_LAUNCH], "x"))
    assert request
    assert "&status=PreLaunch&cursor=x" in request.path


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"[]",
        b"<html>",
        b'{"retCode":0,"result":{}}',
        b'{"retCode":0,"result":{"list":7}}',
        b'{"retCode":10006,"retMsg":"Too many visits!","result":{"list":[]}}',
        b'{"retCode":0,"result":' + b"[" * 100_000,
    ],
)
def test_a_body_of_something_else_is_refused_with_its_bytes(answer: bytes) -> None:
    for read in (lambda b: LINEAR.read_instruments([b]), LINEAR.next_page, LINEAR.read_activity):
        with pytest.raises(Poison) as refused:
            read(answer)
        assert refused.value.payload == answer


def test_the_turnover_of_a_day_is_told_in_dollars() -> None:
    rows: list[object] = [
        {"symbol": "BTCUSDT", "turnover24h": "5000.5", "volume24h": "1", "usdIndexPrice": "9"},
        {"symbol": "ETHPERP", "turnover24h": "70"},
        {"symbol": "BTCBRL", "turnover24h": "900", "volume24h": "2", "usdIndexPrice": "40.5"},
        {"symbol": "XBTC", "turnover24h": "1", "volume24h": "2", "usdIndexPrice": ""},
        {"symbol": "OLDUSDT", "turnover24h": ""},
        {"turnover24h": "5"},
    ]
    assert SPOT.read_activity(body("spot", rows)) == {
        "BTCUSDT": 5000.5,
        "ETHPERP": 70.0,
        "BTCBRL": 81.0,
        "XBTC": 0.0,
        "OLDUSDT": 0.0,
    }


def test_a_turnover_that_is_no_number_is_left_out() -> None:
    rows: list[object] = [{"symbol": "AUSDT", "turnover24h": "nan"}]
    assert LINEAR.read_activity(body("linear", rows)) == {}
