"""REST histories of a past that began long before the simulator, with the venues' limits."""

import time

import pytest
from simulated import fetch, simulating

pytestmark = pytest.mark.integration

DAY_MS = 86_400_000
PAST = {
    "symbols": 1,
    "past_days": 3,
    "past_trades_per_s": 0.05,
    "history_s": 60,
    "trades_per_s": 50,
}


async def test_binance_spot_trades_are_paged_by_id_across_the_seam():
    async with simulating(markets=("spot",), **PAST) as (sim, http):
        ledger = sim.exchanges["spot"].ledgers["BTCUSDT"]
        at, found = ledger.past.next_id - 1_500, []
        for _ in range(3):
            page = await fetch(
                http,
                "/binance/spot/api/v3/historicalTrades",
                symbol="BTCUSDT",
                fromId=at,
                limit=1_000,
            )
            found += page
            at = page[-1]["id"] + 1
        ids = [row["id"] for row in found]
        assert ids == list(range(ledger.past.next_id - 1_500, ids[-1] + 1))
        assert ids[-1] > ledger.past.next_id
        oldest = await fetch(
            http, "/binance/spot/api/v3/aggTrades", symbol="BTCUSDT", fromId=0, limit=5
        )
        assert oldest[0]["f"] == ledger.past.first_id
        assert [row["l"] - row["f"] for row in oldest] == [1] * 5


async def test_usd_m_aggregates_reach_a_day_back_and_no_further():
    async with simulating(markets=("linear",), **PAST) as (sim, http):
        ledger = sim.exchanges["linear"].ledgers["BTCUSDT"]
        now_ms = time.time_ns() // 1_000_000
        path = "/binance/linear/fapi/v1/aggTrades"
        young = ledger.id_at(now_ms - DAY_MS // 2)
        page = await fetch(http, path, symbol="BTCUSDT", fromId=young, limit=1_000)
        assert [row["a"] for row in page] == list(range(young, young + 1_000))
        old = {"symbol": "BTCUSDT", "startTime": now_ms - 2 * DAY_MS}
        refused = await http.get(path, params=old)
        assert refused.status_code == 400
        assert "24 hours" in refused.json()["msg"]


async def test_okx_trades_are_paged_backwards_by_id():
    async with simulating(exchanges=("okx",), markets=("linear",), **PAST) as (sim, http):
        (ledger,) = sim.of("okx")["linear"].ledgers.values()
        after, found = ledger.rows(ledger.past.next_id, ledger.past.next_id + 50)[-1].last, []
        for _ in range(5):
            answer = await fetch(
                http,
                "/okx/linear/api/v5/market/history-trades",
                instId=ledger.symbol.name,
                after=after,
            )
            found += [int(row["tradeId"]) for row in answer["data"]]
            after = found[-1]
        assert len(found) == 500
        assert found == sorted(found, reverse=True)
        assert found[-1] < ledger.past.rows * 2 + ledger.past.first_id * 2


async def test_kraken_trades_are_paged_by_time_without_a_hole():
    past = {**PAST, "exchanges": ("kraken",), "markets": ("spot",), "history_s": 0}
    async with simulating(**past) as (sim, http):
        (ledger,) = sim.of("kraken")["spot"].ledgers.values()
        since, ids = str(ledger.past.from_ms // 1_000), []
        for _ in range(4):
            answer = await fetch(
                http,
                "/kraken/spot/0/public/Trades",
                pair=ledger.symbol.name,
                since=since,
                count=300,
            )
            result = answer["result"]
            rows = next(rows for name, rows in result.items() if name != "last")
            ids += [row[6] for row in rows]
            since = result["last"]
        assert ids == list(range(ledger.past.first_id, ledger.past.first_id + 1_200))
        unknown = await fetch(http, "/kraken/spot/0/public/Trades", pair="NO/NE")
        assert unknown["error"] == ["EQuery:Unknown asset pair"]


async def test_kraken_refuses_who_asks_too_fast():
    past = {**PAST, "exchanges": ("kraken",), "markets": ("spot",)}
    async with simulating(**past) as (_, http):
        codes = [
            (await http.get("/kraken/spot/0/public/Trades", params={"pair": "BTC/USD"})).status_code
            for _ in range(21)
        ]
        assert codes == [200] * 20 + [429]


@pytest.mark.parametrize(("market", "rows"), [("spot", 60), ("linear", 1_000)])
async def test_bybit_gives_the_newest_and_no_cursor(market, rows):
    async with simulating(exchanges=("bybit",), markets=(market,), **PAST) as (_, http):
        answer = await fetch(
            http,
            f"/bybit/{market}/v5/market/recent-trade",
            category=market,
            symbol="BTCUSDT",
            limit=1_000,
        )
        assert len(answer["result"]["list"]) == rows


async def test_the_truth_of_the_past_can_be_asked_for():
    async with simulating(markets=("linear",), **PAST) as (sim, http):
        past = sim.exchanges["linear"].ledgers["BTCUSDT"].past
        state = await fetch(http, "/sim/state")
        assert state["past"]["linear"]["BTCUSDT"] == [
            past.first_id,
            past.next_id,
            past.from_ms,
            past.until_ms,
        ]
        known = {"market": "linear", "symbol": "BTCUSDT"}
        rows = await fetch(http, "/sim/trades", from_row=past.next_id - 10, limit=20, **known)
        assert rows["row"] == list(range(past.next_id - 10, past.next_id + 10))
        assert len(rows["sent_ns"]) == 20
        times = {"from_ms": past.from_ms, "to_ms": past.from_ms + DAY_MS}
        candles = await fetch(http, "/sim/klines", interval_ms=3_600_000, **known, **times)
        assert len(candles) == 24
        assert (
            sum(c["trade_count"] for c in candles)
            == 2 * past.id_at(past.from_ms + DAY_MS) - 2 * past.first_id
        )


async def test_the_archive_switch_refuses_what_makes_no_sense():
    async with simulating(markets=("linear",), **PAST) as (_, http):
        for body in (
            "[]",
            '{"lag_h": -1}',
            '{"lag_h": true}',
            '{"other": 1}',
            '{"exchange": "binance", "market": "linear", "fault": "unknown"}',
            '{"exchange": "binance", "market": "linear", "fault": "missing", "count": 0}',
            '{"exchange": "kraken", "market": "spot", "fault": "missing"}',
            '{"exchange": "binance", "market": "linear", "symbol": "X", "fault": "missing"}',
            '{"exchange": 1, "fault": "missing"}',
        ):
            answer = await http.post("/sim/archive", content=body)
            assert (answer.status_code, list(answer.json())) == (400, ["error"]), body
        assert (await fetch(http, "/sim/archive"))["faults"] == []
