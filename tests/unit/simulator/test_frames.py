"""Message shapes: the same keys in the same order as recorded frames."""

import gzip
import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Opcode
from websockets.protocol import CLIENT, Protocol, State

from simulator import frames
from simulator.candles import begin
from simulator.ledger import Row
from simulator.options import SimulatorOptions
from simulator.symbols import traded
from simulator.venue import decimal_text, venue

ROW = Row(7, 1_000, 2_814_510, 2, -1, 20, 22)
SPOT, LINEAR = (venue(m, SimulatorOptions()) for m in ("spot", "linear"))
SPOT_BTC, LINEAR_BTC = (traded(m, 1, 7)[0] for m in ("spot", "linear"))


def _recorded(path, event):
    with gzip.open(path, "rt") as lines:
        frames_of_event = (
            frame for line in lines if (frame := json.loads(line).get("data", {})).get("e") == event
        )
        return next(frames_of_event)


def _made(market, event):
    rules, symbol = (SPOT, SPOT_BTC) if market == "spot" else (LINEAR, LINEAR_BTC)
    if event == "kline":
        minute = ("1m", 60_000)
        made = frames.kline(rules, symbol, begin(ROW, 60_000), minute, closed=False, event_ms=9)
    else:
        encode = frames.trade if event == "trade" else frames.aggregate_trade
        made = encode(rules, symbol, ROW, 9)
    return json.loads(made)


@pytest.mark.parametrize(
    ("market", "event", "file"),
    [
        ("spot", "trade", "spot_btcusdt_20230405.jsonl.gz"),
        ("spot", "aggTrade", "cf_spot_20211012_ws.jsonl.gz"),
        ("spot", "kline", "cf_spot_20211012_ws.jsonl.gz"),
        ("linear", "trade", "usdm_btcusdt_20230404.jsonl.gz"),
        ("linear", "aggTrade", "cf_usdm_20210722_ws.jsonl.gz"),
        ("linear", "kline", "cf_usdm_20210722_ws.jsonl.gz"),
    ],
)
def test_keys_types_and_order_are_those_of_recordings(captures, market, event, file):
    recorded, made = _recorded(captures / "binance" / file, event), _made(market, event)
    if (market, event) == ("spot", "trade"):  # order ids are gone since 2024
        del recorded["a"], recorded["b"]
    assert list(made) == list(recorded)
    assert [type(v) for v in made.values()] == [type(v) for v in recorded.values()]
    if event == "kline":
        assert list(made["k"]) == list(recorded["k"])


def test_numbers_are_written_as_the_market_writes_them():
    assert _made("spot", "trade")["p"] == "28145.10000000"
    assert _made("spot", "trade")["q"] == "0.00002000"
    assert _made("linear", "trade")["p"] == "28145.10"
    assert _made("linear", "aggTrade")["q"] == "0.002"
    assert _made("linear", "kline")["k"]["q"] == "56.29020"


def test_the_taker_who_sells_meets_a_buying_maker():
    assert _made("spot", "trade")["m"] is True
    bought = frames.trade(SPOT, SPOT_BTC, ROW._replace(side=1), 9)
    assert json.loads(bought)["m"] is False


def test_trades_of_the_insurance_fund_say_so():
    assert _made("linear", "trade")["X"] == "MARKET"
    fund = frames.trade(LINEAR, LINEAR_BTC, ROW, 9, "INSURANCE_FUND")
    assert json.loads(fund)["X"] == "INSURANCE_FUND"


@given(st.integers(0, 10**24), st.integers(0, 8), st.sampled_from([0, 8]))
def test_decimal_text_is_exact(units, scale, decimals_min):
    text = decimal_text(units, scale, decimals_min)
    assert Decimal(text) == Decimal(units).scaleb(-scale)
    assert len(text.partition(".")[2]) == max(scale, decimals_min)


@pytest.mark.parametrize("length", [0, 1, 125, 126, 65_535, 65_536])
def test_a_websocket_client_reads_the_frame(length):
    client = Protocol(CLIENT, state=State.OPEN, max_size=None)
    client.receive_data(frames.framed(b"x" * length))
    (event,) = client.events_received()
    assert (event.opcode, event.fin, len(event.data)) == (Opcode.TEXT, True, length)
