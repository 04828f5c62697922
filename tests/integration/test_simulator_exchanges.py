"""Every exchange in one process: each has its truth, its switches and its refusals."""

import asyncio
from decimal import Decimal

import pytest
from simulated import connect_to, fetch, inflict, simulating

from simulator.faults import FAULTS
from simulator.options import EXCHANGES
from simulator.venues import VENUES

pytestmark = pytest.mark.integration

MARKETS = [(name, channel) for name in EXCHANGES for channel in VENUES[name].channels]
REST_PATH = {"hyperliquid": "info"}


def _everything():
    return simulating(exchanges=EXCHANGES, symbols=3, trades_per_s=900, history_s=20)


async def test_every_exchange_trades_by_itself():
    async with _everything() as (sim, http):
        await http.post("/sim/stop")
        assert set(sim.markets) == set(MARKETS)
        prices = set()
        for exchange, market in MARKETS:
            state = await fetch(http, "/sim/state", exchange=exchange)
            assert state["exchanges"] == list(EXCHANGES)
            symbols = state["markets"][market]
            assert len(symbols) == 3
            asked = {"exchange": exchange, "market": market, "symbol": symbols[0]}
            told = await fetch(http, "/sim/trades", **asked, limit=100_000)
            assert state["trades"][market] > 200
            assert told["row"] == list(range(told["row"][0], told["row"][0] + len(told["row"])))
            names = list(zip(told["id"], told["uid"], strict=True))
            assert len(set(names)) == len(names) > 50
            assert all(
                count == last - first + 1
                for count, first, last in zip(
                    told["count"], told["first"], told["last"], strict=True
                )
            )
            prices.add(tuple(told["price"][:20]))
        assert len(prices) == len(MARKETS)  # nobody copies another


async def test_every_exchange_answers_all_questions_about_its_truth():
    async with _everything() as (_sim, http):
        await http.post("/sim/stop")
        for exchange, market in MARKETS:
            state = await fetch(http, "/sim/state", exchange=exchange)
            asked = {
                "exchange": exchange,
                "market": market,
                "symbol": state["markets"][market][0],
            }
            book = await fetch(http, "/sim/books", **asked, depth=5)
            assert len(book["bids"]) == len(book["asks"]) == 5
            assert Decimal(book["bids"][0][0]) < Decimal(book["asks"][0][0])
            now = await fetch(http, "/sim/states", **asked)
            trades = await fetch(http, "/sim/trades", **asked, limit=100_000)
            assert Decimal(now["volume"]) == sum(Decimal(q) for q in trades["qty"])
            near = Decimal(trades["price"][-1]) / Decimal(book["bids"][0][0])
            assert Decimal("0.998") < near < Decimal("1.002")
            candles = await fetch(http, "/sim/klines", **asked, interval_ms=5_000)
            assert sum(c["trade_count"] for c in candles) == sum(trades["count"])
            assert candles[0]["first_id"] == trades["id"][0]
            told = await fetch(http, "/sim/liquidations", **asked)
            assert market == "linear" or told == []


async def test_rest_can_be_refused_at_one_exchange_alone():
    async with _everything() as (_sim, http):
        for exchange, market in MARKETS:
            await inflict(http, kind="rate_limit", exchange=exchange, market=market, seconds=600)
            path = f"/{exchange}/{market}/{REST_PATH.get(exchange, 'any')}"
            answers = [await http.get(path) for _ in range(5)]
            # Kraken says so in the body, with status 200.
            assert all(a.status_code >= 400 or b"rror" in a.content for a in answers), exchange
        assert (await http.get("/sim/state")).status_code == 200


async def test_questions_about_the_wrong_exchange_or_market_are_refused():
    async with simulating(exchanges=("hyperliquid",)) as (_sim, http):
        for query in ("exchange=binance&market=linear", "market=spot", "exchange=moon&market=spot"):
            answer = await http.get(f"/sim/trades?{query}&symbol=BTC")
            assert answer.status_code == 400
            assert answer.json()["error"]
        assert (await fetch(http, "/sim/trades", market="linear", symbol="BTC"))["id"]


async def test_no_fault_stops_the_clock():
    async with _everything() as (sim, http):
        streams = "/".join(f"btcusdt@{w}" for w in ("trade", "depth@100ms", "ticker", "kline_1s"))
        async with connect_to(sim, "spot", f"/stream?streams={streams}") as ws:
            await ws.recv()
            for exchange, market in MARKETS:
                for kind in FAULTS:
                    await inflict(http, kind=kind, exchange=exchange, market=market, seconds=0.2)
        before = {key: e.rows_total for key, e in sim.markets.items()}
        async with asyncio.timeout(20):
            while not all(e.rows_total > before[key] for key, e in sim.markets.items()):  # noqa: ASYNC110 - no event tells
                await asyncio.sleep(0.05)
            while (await http.get("/binance/spot/api/v3/time")).status_code != 200:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
