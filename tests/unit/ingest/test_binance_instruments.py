"""Binance's exchangeInfo and 24 h tickers, shortened only in their number of rows."""

import json

import pytest

from ingest.exchanges.binance import LINEAR, SPOT
from runtime.errors import Poison


def frame(body: object) -> bytes:
    return json.dumps(body).encode()


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
    eth, old = SPOT.read_instruments([frame(SPOT_INFO)])
    assert (eth.unified, eth.price_scale, eth.qty_scale, eth.is_streamed) == ("ETH/BTC", 5, 4, True)
    assert (eth.tick, eth.step, eth.contract_size) == ("0.00001000", "0.00010000", "1")
    assert (old.status, old.is_streamed) == ("BREAK", False)


def test_only_trading_perpetuals_are_streamed() -> None:
    listed = LINEAR.read_instruments(
        [
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
        ]
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
        LINEAR.read_instruments([body])


@pytest.mark.parametrize(
    "broken",
    [
        {"symbol": 5},
        {"symbol": ""},
        {"filters": [{"filterType": "PRICE_FILTER", "tickSize": "cheap"}]},
        {"filters": "none"},
        {"status": None},
    ],
)
def test_one_symbol_that_cannot_be_read_is_left_out_not_all(broken: dict) -> None:
    body = frame({"symbols": [linear_symbol(**broken), linear_symbol(symbol="ETHUSDT"), 7]})
    assert [i.symbol for i in LINEAR.read_instruments([body])] == ["ETHUSDT"]
    with pytest.raises(Poison, match="no symbol in the exchangeInfo"):
        LINEAR.read_instruments([frame({"symbols": [linear_symbol(**broken)]})])


def test_an_exchange_without_symbols_has_no_instruments() -> None:
    assert LINEAR.read_instruments([frame({"symbols": []})]) == []


def test_symbols_are_compared_by_trades_because_turnovers_have_different_units() -> None:
    btc = {"symbol": "BTCUSDT", "quoteVolume": "1500000000.00", "count": 4_000_000}
    rupiah = {"symbol": "USDTIDR", "quoteVolume": "90000000000.00", "count": 9_000}
    body = frame([btc, rupiah, {"symbol": "B"}])
    assert SPOT.read_activity(body) == {"BTCUSDT": 4_000_000, "USDTIDR": 9_000, "B": 0}
    with pytest.raises(Poison):
        SPOT.read_activity(frame([{"symbol": "A", "count": "many"}]))
