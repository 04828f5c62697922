"""Message shapes: the same keys in the same order as recorded messages."""

import gzip
import json

import pytest

from simulator.book import Book
from simulator.candles import begin
from simulator.feeds import Forced
from simulator.ledger import Ledger, Row
from simulator.state import MarketState
from simulator.symbols import traded
from simulator.venues.binance import messages
from simulator.venues.binance.market import LINEAR, SPOT

ROW = Row(7, 1_000, 2_814_510, 2, -1, 20, 22)
SPOT_BTC, LINEAR_BTC = (traded(m, 1, 7)[0] for m in ("spot", "linear"))


def _recorded(path, market, event):
    with gzip.open(path, "rt") as lines:
        for line in lines:
            frame = json.loads(line)
            data = frame.get("raw", frame).get("data") if isinstance(frame, dict) else None
            if isinstance(data, dict) and _is(data, market, event):
                return data
    raise LookupError(event)


def _is(data, market, event):
    if event == "24hrTicker" and ("x" in data) != (market == "spot"):
        return False
    return data.get("e") == event or (event == "bookTicker" and next(iter(data)) == "u")


def _made(market, event):
    rules, symbol = (SPOT, SPOT_BTC) if market == "spot" else (LINEAR, LINEAR_BTC)
    ledger = Ledger(symbol, next_id=7, next_trade_id=20)
    ledger.append(*ROW[1:5], 3)
    state = MarketState(ledger, lambda: 2_814_510, seed="1", funding_hours=8).read(1_000)
    book = Book(symbol, 2_814_510, "1")
    minute = ("1m", 60_000)
    make = {
        "trade": lambda: messages.trade(rules, symbol, ROW, 9),
        "aggTrade": lambda: messages.aggregate_trade(rules, symbol, ROW, 9),
        "kline": lambda: messages.kline(
            rules, symbol, begin(ROW, 60_000), minute, closed=False, event_ms=9
        ),
        "depthUpdate": lambda: messages.depth(rules, symbol, (4, 5, 9), book.top(3), (9, 8)),
        "bookTicker": lambda: messages.book_ticker(rules, symbol, book.best(), 5, (9, 8)),
        "24hrTicker": lambda: messages.ticker(rules, state, book.best(), 9),
        "markPriceUpdate": lambda: messages.mark_price(state, 9),
    }
    return json.loads(make[event]())


@pytest.mark.parametrize(
    ("market", "event", "file"),
    [
        ("spot", "trade", "spot_btcusdt_20230405.jsonl.gz"),
        ("spot", "aggTrade", "cf_spot_20211012_ws.jsonl.gz"),
        ("spot", "kline", "cf_spot_20211012_ws.jsonl.gz"),
        ("linear", "trade", "usdm_btcusdt_20230404.jsonl.gz"),
        ("linear", "aggTrade", "cf_usdm_20210722_ws.jsonl.gz"),
        ("linear", "kline", "cf_usdm_20210722_ws.jsonl.gz"),
        ("spot", "depthUpdate", "cf_spot_20211012_ws.jsonl.gz"),
        ("linear", "depthUpdate", "cf_usdm_20210722_ws.jsonl.gz"),
        ("spot", "bookTicker", "cf_spot_20211012_ws.jsonl.gz"),
        ("linear", "bookTicker", "cf_usdm_20210722_ws.jsonl.gz"),
        ("spot", "24hrTicker", "single_tardis.jsonl.gz"),
        ("linear", "24hrTicker", "single_tardis.jsonl.gz"),
        ("linear", "markPriceUpdate", "usdm_btcusdt_20230404.jsonl.gz"),
    ],
)
def test_keys_types_and_order_are_those_of_recordings(captures, market, event, file):
    recorded, made = _recorded(captures / "binance" / file, market, event), _made(market, event)
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
    bought = messages.trade(SPOT, SPOT_BTC, ROW._replace(side=1), 9)
    assert json.loads(bought)["m"] is False


def test_trades_of_the_insurance_fund_say_so():
    assert _made("linear", "trade")["X"] == "MARKET"
    fund = messages.trade(LINEAR, LINEAR_BTC, ROW._replace(is_fund=True), 9)
    assert json.loads(fund)["X"] == "INSURANCE_FUND"


def test_linear_bids_ascend_and_its_ids_leave_room_for_those_of_others():
    first, second = (
        json.loads(messages.depth(LINEAR, LINEAR_BTC, ids, ([(9, 1), (8, 2)], []), (9, 8)))
        for ids in ((4, 5, 9), (9, 10, 12))
    )
    assert [price for price, _ in first["b"]] == ["0.08", "0.09"]
    assert second["pu"] == first["u"]
    assert second["U"] > first["u"] + 1


def test_a_forced_order_tells_its_own_side():
    told = json.loads(messages.force_order(LINEAR, Forced(LINEAR_BTC, 5, -1, 2_814_510, 7), 9))
    assert told["o"]["S"] == "SELL"
    assert (told["o"]["p"], told["o"]["q"], told["o"]["T"]) == ("28145.10", "0.007", 5)
