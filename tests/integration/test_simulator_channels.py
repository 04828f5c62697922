"""Every channel of the simulated Binance tells the same truth, over streams and over REST."""

import asyncio
import json
from decimal import Decimal

import pytest
from simulated import API, MARKETS, connect_to, fetch, simulating

pytestmark = pytest.mark.integration

CHANNELS = {
    ("spot", ""): {
        "trade": "trade",
        "aggTrade": "aggTrade",
        "depth@100ms": "depthUpdate",
        "bookTicker": None,
        "ticker": "24hrTicker",
        "kline_1s": "kline",
    },
    ("linear", "/market"): {
        "aggTrade": "aggTrade",
        "markPrice@1s": "markPriceUpdate",
        "ticker": "24hrTicker",
        "kline_1m": "kline",
        "forceOrder": "forceOrder",
    },
    ("linear", "/public"): {
        "trade": "trade",
        "depth@0ms": "depthUpdate",
        "bookTicker": "bookTicker",
    },
}


@pytest.mark.parametrize(("market", "tier"), CHANNELS)
async def test_every_channel_delivers(market, tier):
    words = CHANNELS[market, tier]
    streams = "/".join(f"btcusdt@{word}" for word in words)
    seen = {}
    async with (
        simulating(symbols=1, liquidations_per_s=5) as (sim, _http),
        connect_to(sim, market, f"{tier}/stream?streams={streams}") as ws,
        asyncio.timeout(15),
    ):
        while len(seen) < len(words):
            frame = json.loads(await ws.recv())
            seen.setdefault(frame["stream"].partition("@")[2], frame["data"])
    assert {word: data.get("e") for word, data in seen.items()} == words
    assert {data.get("s") or data["o"]["s"] for data in seen.values()} == {"BTCUSDT"}


@pytest.mark.parametrize("path", ["btcusdt@forceOrder", "!forceOrder@arr"])
async def test_liquidations_are_those_of_the_truth(path):
    async with (
        simulating(symbols=3, liquidations_per_s=30) as (sim, http),
        connect_to(sim, "linear", f"/market/ws/{path}") as ws,
    ):
        heard = [json.loads(await ws.recv())["o"] for _ in range(10)]
        told = await fetch(http, "/sim/liquidations", market="linear")
    truth = [
        (t["ts"], t["symbol"], Decimal(t["price"]), Decimal(t["qty"]), t["side"]) for t in told
    ]
    sides = {"SELL": -1, "BUY": 1}
    for o in heard:
        assert (o["T"], o["s"], Decimal(o["p"]), Decimal(o["q"]), sides[o["S"]]) in truth
    assert len({o["s"] for o in heard}) == (1 if path.startswith("btc") else 3)


async def test_funding_and_open_interest_are_those_of_the_truth():
    async with simulating(symbols=2) as (_sim, http):
        await http.post("/sim/stop")
        for _ in range(50):  # the state moves every 100 ms: ask until both fall into one step
            premium = await fetch(http, f"{API['linear']}/premiumIndex", symbol="BTCUSDT")
            interest = await fetch(http, f"{API['linear']}/openInterest", symbol="BTCUSDT")
            told = await fetch(http, "/sim/states", market="linear", symbol="BTCUSDT")
            if told["ts"] <= premium["time"]:
                break
        assert told["ts"] <= premium["time"] <= interest["time"]
        every = await fetch(http, f"{API['linear']}/premiumIndex")
    assert Decimal(premium["markPrice"]) == Decimal(told["mark"])
    assert Decimal(premium["indexPrice"]) == Decimal(told["index"])
    assert Decimal(premium["lastFundingRate"]) == Decimal(told["funding_rate"])
    assert premium["nextFundingTime"] == told["next_funding_ms"]
    assert Decimal(interest["openInterest"]) == Decimal(told["open_interest"])
    assert [p["symbol"] for p in every] == ["BTCUSDT", "ETHUSDT"]


@pytest.mark.parametrize("market", MARKETS)
async def test_the_days_statistics_are_a_sum_over_all_trades(market):
    async with simulating(history_s=30) as (_sim, http):
        await http.post("/sim/stop")
        await asyncio.sleep(0.15)
        ticker = await fetch(http, f"{API[market]}/ticker/24hr", symbol="ETHUSDT")
        rows = await fetch(http, "/sim/trades", market=market, symbol="ETHUSDT", limit=100_000)
    prices, amounts = ([Decimal(x) for x in rows[name]] for name in ("price", "qty"))
    assert Decimal(ticker["openPrice"]) == prices[0]
    assert Decimal(ticker["lastPrice"]) == prices[-1]
    assert Decimal(ticker["highPrice"]) == max(prices)
    assert Decimal(ticker["volume"]) == sum(amounts)
    turnover = sum(p * q for p, q in zip(prices, amounts, strict=True))
    assert 0 <= turnover - Decimal(ticker["quoteVolume"]) < Decimal("0.01")
    assert ticker["count"] == sum(rows["count"])


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/binance/spot/api/v3/depth", 400, -1102),
        ("/binance/spot/api/v3/depth?symbol=BTCUSDT&limit=0", 400, -1130),
        ("/binance/linear/fapi/v1/depth?symbol=BTCUSDT&limit=7", 400, -4021),
        ("/binance/linear/fapi/v1/openInterest?symbol=NOSUCH", 400, -1121),
        ("/binance/spot/api/v3/premiumIndex", 404, None),
        ("/binance/linear/fapi/v1/historicalTrades?symbol=BTCUSDT", 404, None),
    ],
)
async def test_wrong_questions_about_channels_are_refused(path, status, code):
    async with simulating() as (_sim, http):
        answer = await http.get(path)
    assert answer.status_code == status
    assert code is None or answer.json()["code"] == code


async def test_a_depth_snapshot_costs_by_its_size_and_ends_in_a_ban():
    async with simulating(symbols=1) as (_sim, http):
        path = f"{API['spot']}/depth?symbol=BTCUSDT&limit="
        cheap = await http.get(path + "100")
        dear = await http.get(path + "5000")
        weights = [int(a.headers["x-mbx-used-weight-1m"]) for a in (cheap, dear)]
        assert weights in ([5, 255], [5, 250])  # a new minute may have begun
        assert len(cheap.json()["bids"]) == 100
        assert len(dear.json()["bids"]) >= 300
        statuses = [(await http.get(path + "5000")).status_code for _ in range(60)]
    if statuses == sorted(statuses, key=[200, 429, 418].index):  # no new minute began
        assert statuses.count(429) == 10
        assert statuses[-1] == 418


async def test_single_trades_can_be_fetched_by_id():
    async with simulating(history_s=20) as (_sim, http):
        await http.post("/sim/stop")
        rows = await fetch(http, "/sim/trades", market="spot", symbol="BTCUSDT", limit=50)
        page = await fetch(
            http,
            f"{API['spot']}/historicalTrades",
            symbol="BTCUSDT",
            fromId=rows["id"][10],
            limit=20,
        )
    assert [t["id"] for t in page] == rows["id"][10:30]
    assert [Decimal(t["price"]) for t in page] == [Decimal(p) for p in rows["price"][10:30]]
