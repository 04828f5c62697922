"""The panels beside the charts: what a market does, how whole it is, how the gateway fares."""

import re
from decimal import Decimal

import httpx
import pytest
from playwright.async_api import expect

from schemas.klines import Gap, GapEnvelope, StreamGap, StreamGapEnvelope
from schemas.stats import MarketStats, MarketStatsEnvelope
from schemas.topics import GAPS, MARKET_STATS, symbol_key
from tests.support.browsing import MARKS, encode, now_ms

pytestmark = MARKS


async def test_the_book_is_a_ladder_with_its_spread_under_the_figures_of_the_day(stage, look):
    await stage.put_past("1m", 5)
    row = MarketStats(
        "BTCUSDT", 0, now_ms(), Decimal(67000), Decimal("69000.5"), Decimal("66000.1"),
        Decimal(68000), Decimal(1000), Decimal("1.492537"), Decimal(68000), Decimal("12345.678"),
        Decimal(1), Decimal("0.5"), 42, 1_440, 1_440, 0, "proven", 1,
    )  # fmt: skip
    value = encode(MarketStatsEnvelope("binance", "linear", [row], now_ms()))
    await stage.send(MARKET_STATS, symbol_key("binance", "linear", "BTCUSDT"), value)
    await stage.book("68000.0", "68000.5")
    await stage.start()
    async with look(stage) as page:
        await expect(page.get_by_test_id("day-change")).to_have_text("+1.49%")
        await expect(page.get_by_test_id("day-high")).to_have_text("69,000.5")
        await expect(page.get_by_test_id("day-volume")).to_have_text("12.35K")
        asks, bids = page.get_by_test_id("asks"), page.get_by_test_id("bids")
        await expect(bids.locator("tr").first).to_contain_text("68,000.0")
        await expect(asks.locator("tr").last).to_contain_text("68,000.5")
        await expect(asks.locator("tr").last).to_contain_text("0.250")
        await expect(page.get_by_test_id("spread")).to_contain_text("Spread 0.5")
        await expect(page.get_by_test_id("spread")).to_contain_text("0.07 bp")
        await expect(page.get_by_test_id("spread")).to_contain_text("+25% bids")
        prices = [
            text.replace(",", "") for text in await asks.locator("td:first-child").all_inner_texts()
        ]
        assert [Decimal(price) for price in prices] == sorted(map(Decimal, prices), reverse=True)
        await stage.book("68001.0", "68001.1")
        await expect(page.get_by_test_id("spread")).to_contain_text("Spread 0.1")
        await expect(bids.locator("tr").first).to_contain_text("68,001.0")


async def test_the_tape_shows_every_trade_newest_first_and_a_market_of_its_own(stage, look):
    await stage.put_past("1m", 5)
    await stage.put_past("1m", 5, symbol="ETHUSDT")
    await stage.start()
    async with look(stage) as page:
        await expect(page.get_by_test_id("price")).to_have_text("68,050.20")
        tape = page.get_by_test_id("tape").locator("tr")
        await expect(page.get_by_test_id("trades-note")).to_contain_text("No stream of trades runs")
        await stage.trade(("68000.10", 1), ("68000.20", -1))
        await expect(tape).to_have_count(2)
        await expect(tape.first).to_contain_text("68,000.20")
        await expect(tape.first).to_have_class("down")
        await expect(tape.last).to_contain_text("0.250")
        for n in range(8):
            await stage.trade(*((f"680{n:02}.{k:02}", 1) for k in range(10)))
        await expect(tape.first).to_contain_text("68,007.09")
        await expect(tape).to_have_count(60)
        shown = [
            Decimal(t.replace(",", ""))
            for t in await tape.locator("td:nth-child(2)").all_inner_texts()
        ]
        assert shown == sorted(shown, reverse=True)
        await page.keyboard.press("/")
        await page.keyboard.type("eth")
        await page.keyboard.press("Enter")
        await expect(page.get_by_test_id("trades-note")).to_contain_text("No stream of trades runs")
        await expect(tape).to_have_count(0)


async def test_gaps_corrections_and_completeness_are_counted_and_followed(stage, look):
    await stage.put_past("1m", 6)
    await stage.put("1m", 3, "68000.00", quality="gap", missing=3)
    await stage.put("1m", 2, "68000.00", quality="assumed")
    await stage.start()
    async with look(stage, allowed=["503"]) as page:
        await expect(page.get_by_test_id("price")).to_have_text("68,050.20")
        await page.keyboard.press("g")
        await expect(page.get_by_test_id("count-gap")).to_contain_text("1 · 16.7%")
        await expect(page.get_by_test_id("count-proven")).to_contain_text("4")
        await expect(page.get_by_test_id("periods-note")).not_to_be_empty()  # no warehouse here
        await stage.gap("found", 10)
        gaps = page.get_by_test_id("gap-list").locator("li")
        await expect(gaps).to_have_count(1)
        await expect(gaps).to_contain_text("10 trades")
        await expect(gaps).to_have_attribute("data-state", "found")
        await expect(page.get_by_test_id("recovering")).to_be_hidden()
        await stage.gap("recovering", 10)
        await expect(page.get_by_test_id("recovering")).to_be_visible()
        await stage.gap("recovered", 0)
        await expect(gaps.first).to_have_attribute("data-state", "recovered")
        await expect(page.get_by_test_id("recovering")).to_be_hidden()
        await stage.put("1m", 1, "68060.60", cause="late", trade_count=43)
        await expect(page.get_by_test_id("legend")).to_contain_text(
            re.compile(r"Corrected\s*late, was 68,050\.20")
        )


OPEN = """async (rows) => {
  const { Kind } = await import("/static/kinds.js");
  const kind = new Kind("gaps", {});
  kind.take(rows, true);
  return kind.store.open.map(({ from_ms }) => from_ms);
}"""


async def tell(stage, row: Gap | StreamGap) -> None:
    envelope = GapEnvelope if isinstance(row, Gap) else StreamGapEnvelope
    key = symbol_key("binance", "linear", row.symbol)
    await stage.send(GAPS, key, encode(envelope("binance", "linear", [row])))


async def test_a_gap_mended_in_two_parts_is_gone_and_a_whole_socket_is_told(stage, look):
    def ids(first: int, last: int, missing: int, state: str) -> Gap:
        return Gap("BTCUSDT", first, last, now_ms() - 60_000, now_ms(), missing, state, first)

    def silent(symbol: str, state: str, from_ms: int, to_ms: int = 0) -> StreamGap:
        return StreamGap(
            symbol=symbol, kind="books", reason="silent", state=state, from_ms=from_ms, to_ms=to_ms
        )

    await stage.put_past("1m", 3)
    await stage.start()
    async with look(stage, allowed=["503"]) as page:
        await expect(page.get_by_test_id("price")).to_have_text("68,050.20")
        await page.keyboard.press("g")
        gaps = page.get_by_test_id("gap-list")
        opened = gaps.locator("[data-state=found]")
        mended = gaps.locator("[data-state=recovered]")
        await tell(stage, ids(100, 109, 10, "found"))
        await expect(opened).to_contain_text("10 trades")
        await tell(stage, ids(100, 104, 0, "recovered"))
        await expect(opened).to_contain_text("5 trades")
        await tell(stage, ids(105, 109, 0, "recovered"))
        await expect(mended).to_have_count(2)
        await expect(opened).to_have_count(0)
        await tell(stage, silent("", "found", 1_000))
        await expect(opened).to_contain_text("books: silent")
        await tell(stage, silent("", "recovered", 2_000, 3_000))  # a successor's span
        await expect(mended).to_have_count(3)
        await expect(opened).to_have_count(0)
        span = {"symbol": "BTCUSDT", "state": "found", "to_ms": 0}
        rows = [
            {**span, "kind": "books", "from_ms": 1},
            {**span, "kind": "trades", "from_ms": 2},
            {**span, "kind": "trades", "from_ms": 3, "symbol": ""},  # its symbols' ids tell
            {**span, "first_id": 7, "last_id": 7, "missing": 1, "from_ms": 4},
        ]
        assert await page.evaluate(OPEN, rows) == [2, 4]  # what candles lack


@pytest.mark.soak
async def test_the_ladder_shows_every_fibonacci_interval_and_opens_one(stage, look):
    stage.change(kline_intervals=("1m", "fibonacci"))
    for interval in ("1m", "21m", "2850m"):
        await stage.put_past(interval, 2)
    await stage.put("21m", 0, "67320.00")
    await stage.start()
    async with look(stage) as page:
        await expect(page.get_by_test_id("price")).to_have_text("68,050.20")
        box = page.get_by_test_id("interval-text")
        await box.fill("fibonacci")
        await box.press("Enter")
        rungs = page.get_by_test_id("ladder").locator("tbody tr")
        await expect(rungs).to_have_count(19)
        row = rungs.filter(has=page.get_by_test_id("rung-21m"))
        await expect(row).to_contain_text("−1.00%")  # noqa: RUF001
        await expect(row).to_contain_text(re.compile(r"\d\d:\d\d"))
        await page.get_by_test_id("rung-2850m").click()
        await expect(page.get_by_test_id("view-interval")).to_have_text("2850m")
        await expect(page.get_by_test_id("price")).to_have_text("68,050.20")


@pytest.mark.soak
async def test_alerts_are_listed_and_tested_and_health_is_told_without_a_warehouse(stage, look):
    await stage.put_past("1m", 3)
    await stage.start()
    rule = {
        "data_type": "price-crosses", "id": "btc-100k", "symbol": "BTCUSDT", "level": 100_000,
        "to": ["json://127.0.0.1:9/hook"], "note": "Round number",
    }  # fmt: skip
    async with look(stage) as page:
        await expect(page.get_by_test_id("price")).to_have_text("68,050.20")
        await page.keyboard.press("a")
        await expect(page.get_by_test_id("alerts-note")).to_contain_text("No rules yet")
        async with httpx.AsyncClient(base_url=stage.url) as http:
            assert (await http.post("/api/v1/alerts", json=rule)).status_code == 202
        alert = page.get_by_test_id("alert-btc-100k")
        await expect(alert).to_contain_text("Round number", timeout=10_000)
        await expect(alert).to_contain_text("level 100000")
        await expect(alert).to_contain_text("armed")
        await page.get_by_test_id("test-btc-100k").click()
        await expect(alert.locator(".tested")).to_contain_text("json://", timeout=15_000)
        await page.keyboard.press("h")
        facts = page.get_by_test_id("health-facts")
        await expect(facts).to_contain_text("Kafka")
        await expect(facts).to_contain_text("connected")
        await expect(facts).to_contain_text("degraded")
        await expect(page.locator(".spark polyline").first).to_have_attribute(
            "points", re.compile(r"\d"), timeout=10_000
        )
