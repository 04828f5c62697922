"""Kraken's AssetPairs and Ticker, in the new names and in the old."""

import json

import pytest

from ingest.exchanges.kraken import SPOT
from runtime.errors import Poison

PAIR = {
    "altname": "XBTUSD",
    "wsname": "XBT/USD",
    "base": "BTC",
    "quote": "USD",
    "pair_decimals": 1,
    "cost_decimals": 5,
    "lot_decimals": 8,
    "lot_multiplier": 1,
    "ordermin": "0.00005",
    "tick_size": "0.1",
    "status": "online",
}


def body(result: object, *errors: str) -> bytes:
    return json.dumps({"error": list(errors), "result": result}).encode()


def read(result: object) -> dict:
    return {i.symbol: i for i in SPOT.read_instruments([body(result)])}


@pytest.mark.parametrize(
    "result",
    [
        {"BTC/USD": PAIR},
        {"BTC/USD": PAIR | {"wsname": "BTC/USD"}},
        {"BTC/USD": {k: v for k, v in PAIR.items() if k != "wsname"}},
        {"XXBTZUSD": PAIR},
    ],
    ids=["new key", "new name", "no name", "old key"],
)
def test_a_pair_has_the_name_that_the_socket_takes(result: dict) -> None:
    (btc,) = read(result).values()
    assert (btc.symbol, btc.unified) == ("BTC/USD", "BTC/USD")
    assert (btc.tick, btc.step, btc.price_scale, btc.qty_scale) == ("0.1", "0.00000001", 1, 8)
    assert (btc.status, btc.is_streamed) == ("online", True)


def test_doge_is_renamed_on_either_side() -> None:
    assert set(read({"a": PAIR | {"wsname": "XDG/XBT"}})) == {"DOGE/BTC"}


@pytest.mark.parametrize("status", ["cancel_only", "post_only", "maintenance"])
def test_a_pair_that_does_not_trade_is_known_and_not_streamed(status: str) -> None:
    (pair,) = read({"BTC/USD": PAIR | {"status": status}}).values()
    assert (pair.status, pair.is_streamed) == (status, False)


@pytest.mark.parametrize(
    "odd", [5, {}, {"wsname": "A/B"}, PAIR | {"wsname": ""}, PAIR | {"tick_size": "?"}]
)
def test_one_pair_that_cannot_be_read_is_left_out_not_all(odd: object) -> None:
    assert set(read({"XBTUSD.d": odd, "BTC/USD": PAIR})) == {"BTC/USD"}


def test_activity_is_the_trades_of_24_hours() -> None:
    row = {"t": [38, 1200], "c": ["1", "2"], "v": ["1", "2"]}
    tickers = {"XBT/USD": row, "ETH/USD": row | {"t": [0, 7]}, "ODD/USD": {"t": ["x"]}}
    assert SPOT.read_activity(body(tickers)) == {"BTC/USD": 1200, "ETH/USD": 7}


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"[]",
        b"{}",
        body({}),
        body({}, "EGeneral:Too many requests"),
        body([]),
        b"\xff",
        b"[" * 9_999,
    ],
)
def test_an_error_in_a_body_of_status_200_is_poison(answer: bytes) -> None:
    with pytest.raises(Poison):
        SPOT.read_instruments([answer])
    with pytest.raises(Poison):
        SPOT.read_activity(answer)
