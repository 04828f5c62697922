"""What the simulated Bybit answers over REST."""

import asyncio
from itertools import pairwise

import pytest

from simulator.dialect import Asked
from simulator.exchange import Exchange
from simulator.ledger import Ledger
from simulator.options import SimulatorOptions
from simulator.venues.bybit import VENUE, history

NOW_MS = 1_790_000_040_000


def market(channel: str, symbols: int = 3) -> Exchange:
    options = SimulatorOptions(symbols=symbols, exchanges=("bybit",), history_s=600)
    exchange = Exchange(
        VENUE.channels[channel](options), options, trades_per_s=50, rows_max=100_000
    )
    exchange.make_history(300_000, NOW_MS)
    return exchange


def answer(exchange: Exchange, endpoint: str, now_ms: int = NOW_MS, **query: str):
    asked = Asked(
        method="GET",
        path=f"/v5/market/{endpoint}",
        query={"category": exchange.market} | query,
        body=b"",
        now_ms=now_ms,
    )
    return asyncio.run(exchange.dialect.rest(asked, exchange))


def result(exchange: Exchange, endpoint: str, **query: str):
    body = answer(exchange, endpoint, **query).body
    assert (body["retCode"], body["retMsg"]) == (0, "OK")
    return body["result"]


def test_the_pages_of_the_contracts_hold_each_once() -> None:
    exchange = market("linear", symbols=7)
    found, cursor = [], {}
    while True:
        page = result(exchange, "instruments-info", limit="3", **cursor)
        found += [row["symbol"] for row in page["list"]]
        if not page["nextPageCursor"]:
            break
        cursor = {"cursor": page["nextPageCursor"]}
    assert sorted(found) == sorted([s.name for s in exchange.symbols] + ["BTCUSDT-25DEC26"])
    (early,) = result(exchange, "instruments-info", status="PreLaunch")["list"]
    assert (early["symbol"], early["isPreListing"]) == ("BIOUSDT", True)


def test_spot_lists_all_pairs_without_pages() -> None:
    page = result(market("spot"), "instruments-info", limit="1")
    assert len(page["list"]) == 3
    assert "nextPageCursor" not in page


def test_recent_trades_are_the_newest_first_and_few_on_spot() -> None:
    spot, linear = market("spot"), market("linear")
    assert len(result(spot, "recent-trade", symbol="BTCUSDT", limit="900")["list"]) == 60
    trades = result(linear, "recent-trade", symbol="BTCUSDT", limit="900")["list"]
    assert len(trades) == 900
    times = [int(trade["time"]) for trade in trades]
    assert times == sorted(times, reverse=True)
    last = linear.ledgers["BTCUSDT"].rows(linear.ledgers["BTCUSDT"].next_id - 1, 2**62)[0]
    assert trades[0]["execId"] == linear.dialect.trade_uid(linear.symbols[0], last)


def test_candles_are_chained_and_the_youngest_is_first() -> None:
    rows = result(market("linear"), "kline", symbol="BTCUSDT", interval="1")["list"]
    assert len(rows) >= 4
    starts = [int(row[0]) for row in rows]
    assert starts == sorted(starts, reverse=True)
    for younger, older in pairwise(rows):
        assert younger[1] == older[4]  # opens at the close before
        assert float(younger[3]) <= float(younger[1]) <= float(younger[2])
    limited = result(market("linear"), "kline", symbol="BTCUSDT", interval="1", limit="2")
    assert [row[0] for row in limited["list"]] == [row[0] for row in rows[:2]]


def test_a_candles_high_and_low_include_the_close_before_it() -> None:
    symbol = market("linear").symbols[0]
    ledger = Ledger(symbol, next_id=1, next_trade_id=1)
    minute_ms = NOW_MS - NOW_MS % 60_000
    for ts_ms, price in ((minute_ms - 60_000, 500), (minute_ms, 300), (minute_ms + 1, 400)):
        ledger.append(ts_ms, price, 1, 1, 1)
    young, old = asyncio.run(history.klines(ledger, 60_000, {}, minute_ms + 2))
    assert old[1:5] == ["5", "5", "5", "5"]
    assert young[1:5] == ["5", "5", "3", "4"]


def test_tickers_books_and_open_interest_tell_the_truth() -> None:
    exchange = market("linear")
    assert len(result(exchange, "tickers")["list"]) == 3
    (row,) = result(exchange, "tickers", symbol="BTCUSDT")["list"]
    book = result(exchange, "orderbook", symbol="BTCUSDT", limit="5")
    assert (len(book["b"]), len(book["a"])) == (5, 5)
    assert [row["bid1Price"], row["bid1Size"]] == book["b"][0]
    interest = result(exchange, "open-interest", symbol="BTCUSDT", intervalTime="5min")["list"]
    assert interest[0]["openInterest"] == row["openInterest"]


@pytest.mark.parametrize(
    ("endpoint", "query", "reason"),
    [
        ("tickers", {"category": "option"}, "category"),
        ("tickers", {"symbol": "btcusdt"}, "symbol"),
        ("kline", {"symbol": "BTCUSDT", "interval": "7"}, "period"),
        ("kline", {"symbol": "BTCUSDT", "interval": "1", "start": "x"}, "start"),
        ("orderbook", {}, "symbol"),
        ("recent-trade", {"symbol": "BTCUSDT", "limit": "0"}, "limit"),
        ("open-interest", {"symbol": "BTCUSDT"}, "intervalTime"),
    ],
)
def test_a_refusal_is_a_code_in_a_good_answer(endpoint, query, reason) -> None:
    told = answer(market("linear"), endpoint, **query)
    assert told.status == 200
    assert told.body["retCode"] == 10_001
    assert reason in told.body["retMsg"]


def test_what_does_not_exist_is_404() -> None:
    assert answer(market("linear"), "nothing").status == 404


def test_who_asks_more_than_600_times_in_5_s_is_sent_away() -> None:
    exchange = market("spot")
    assert all(answer(exchange, "time").status == 200 for _ in range(600))
    assert answer(exchange, "time").status == 403
    assert exchange.dialect.refuse(5, is_banned=True).status == 403
    assert answer(exchange, "time", now_ms=NOW_MS + 5_000).status == 200
