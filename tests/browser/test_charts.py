"""Several charts, the keyboard, and how fast it all is."""

import asyncio
import json
import re

import pytest
from playwright.async_api import expect

from tests.support.browsing import MARKS

pytestmark = MARKS
OPENS_WITHIN_MS = 2_000
OPENS_BUSY_WITHIN_MS = 6_000  # while others have the processors
LONG_TASK_MS = 50
UPDATES_PER_S = 50
# Resolved when it has seen one long task: it would see others as well.
OBSERVE = """() => new Promise((seen) => {
  window.longTasks = [];
  new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) window.longTasks.push(duration);
    seen();
  }).observe({ type: 'longtask' });
  setTimeout(() => {
    const begun = performance.now();
    while (performance.now() < begun + 80);
  });
})"""
WIDTHS = """[document.documentElement, document.querySelector('#panel-body'),
  document.querySelector('#grid')].map((e) => [e.scrollWidth, e.clientWidth])"""
SHOWN = """() => new Promise((done) => {
  const look = () => document.querySelector('[data-testid=price]')?.textContent === '68,050.20'
    ? done(performance.now()) : requestAnimationFrame(look);
  look();
})"""


@pytest.mark.soak
async def test_four_charts_stand_side_by_side_and_come_back_with_the_address(stage, look):
    for symbol in ("BTCUSDT", "ETHUSDT"):
        for interval in ("1m", "5m", "173m"):
            await stage.put_past(interval, 5, symbol=symbol)
    await stage.start()
    async with look(stage) as page:
        await expect(page.get_by_test_id("price")).to_have_text("68,050.20")
        await page.get_by_test_id("layout-4").click()
        await expect(page.get_by_test_id("price")).to_have_text(["68,050.20"] * 4)
        last = page.get_by_test_id("view-3")
        await last.click()
        await expect(last).to_have_attribute("data-active", "true")
        await page.keyboard.press("/")
        await page.keyboard.type("eth")
        await page.keyboard.press("Enter")
        await expect(last.get_by_test_id("view-symbol")).to_have_text("ETHUSDT")
        await stage.put("1m", 0, "3000.00", symbol="ETHUSDT")
        await expect(page.get_by_test_id("symbol")).to_contain_text("ETHUSDT")
        address = page.url.partition("#")[2]
        assert address.count(",") == 3
        assert "ETHUSDT" in address
    async with look(stage, f"#{address}") as page:
        view = page.get_by_test_id("view-3")
        await expect(view.get_by_test_id("view-symbol")).to_have_text("ETHUSDT")
        await expect(page.get_by_test_id("layout-4")).to_have_attribute("aria-pressed", "true")
        await page.get_by_test_id("layout-2").click()
        await expect(page.get_by_test_id("price")).to_have_count(2)
        shown = await page.get_by_test_id("view-interval").all_inner_texts()
        await page.goto("about:blank")
        await page.goto(stage.url)  # without an address: what this device saw last
        await expect(page.get_by_test_id("view-interval")).to_have_text(shown)


@pytest.mark.soak
async def test_one_series_in_two_charts_and_the_ladder_is_told_once_and_shown_everywhere(
    stage, look
):
    await stage.put_past("1m", 40)
    await stage.start()
    address = "#binance:linear:BTCUSDT:1m,binance:linear:BTCUSDT:1m"
    async with look(stage, address) as page:
        await expect(page.get_by_test_id("price")).to_have_text(["68,050.20"] * 2)
        await page.keyboard.press("l")
        await expect(page.get_by_test_id("rung-1m")).to_have_attribute("aria-pressed", "true")
        await stage.put("1m", 0, "68077.70")
        await expect(page.get_by_test_id("price")).to_have_text(["68,077.70"] * 2)
        await expect(page.get_by_test_id("ladder")).to_contain_text("+0.11%")
        await page.keyboard.press("l")
        await stage.put("1m", 0, "68088.80")
        await expect(page.get_by_test_id("price")).to_have_text(["68,088.80"] * 2)


@pytest.mark.soak
async def test_everything_can_be_done_with_keys_and_question_mark_lists_them(stage, look):
    await stage.put_past("1m", 40)
    await stage.put_past("5m", 40)
    await stage.start()
    async with look(stage, allowed=["503"]) as page:
        await expect(page.get_by_test_id("price")).to_have_text("68,050.20")
        await page.keyboard.press("?")
        listed = await page.get_by_test_id("help-list").inner_text()
        for words in ("Choose a symbol", "Type an interval", "4 charts", "Ladder", "Dark or light"):
            assert words in listed
        await page.keyboard.press("Escape")
        await page.keyboard.press("2")
        await expect(page.get_by_test_id("price")).to_have_count(2)
        await page.keyboard.press("]")
        await expect(page.get_by_test_id("view-1")).to_have_attribute("data-active", "true")
        await page.keyboard.press("i")
        await page.keyboard.type("5m")
        await page.keyboard.press("Enter")
        await expect(page.get_by_test_id("view-1").get_by_test_id("view-interval")).to_have_text(
            "5m"
        )
        await page.keyboard.press("Escape")
        for key, name in {
            "g": "Gaps",
            "s": "Streams",
            "a": "Alerts",
            "h": "Health",
            "b": "Market",
        }.items():
            await page.keyboard.press(key)
            await expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()
        await page.keyboard.press("Escape")
        await expect(page.get_by_test_id("panel")).to_be_hidden()
        for key in ("ArrowLeft", "ArrowRight", "+", "-", "n"):
            await page.keyboard.press(key)
        before = await page.evaluate("document.documentElement.dataset.theme")
        await page.keyboard.press("t")
        assert await page.evaluate("document.documentElement.dataset.theme") != before


@pytest.mark.soak
async def test_it_opens_in_under_two_seconds(stage, look):
    await stage.put_past("1m", 500)
    await stage.start()
    for _ in range(3):  # the machine may be busy with something else
        async with look(stage) as page:
            shown_ms = await page.evaluate(SHOWN)
            used_ms = 1_000 * await processor_s(page)
        if shown_ms < OPENS_WITHIN_MS:
            return
    # Its clock goes on while others have the processor; what the page used of it does not.
    assert used_ms < OPENS_WITHIN_MS
    assert shown_ms < OPENS_BUSY_WITHIN_MS


async def processor_s(page) -> float:
    """How much processor time the page's process has taken since it began."""
    session = await page.context.new_cdp_session(page)
    await session.send("Performance.enable")
    figures = (await session.send("Performance.getMetrics"))["metrics"]
    return next(each["value"] for each in figures if each["name"] == "ProcessTime")


@pytest.mark.soak
async def test_fifty_updates_a_second_make_no_long_task(stage, look, browser):
    await stage.put_past("1m", 500)
    await stage.book("68000.0", "68000.1")
    await stage.start()
    async with look(stage, "#binance:linear:BTCUSDT:1m,binance:linear:BTCUSDT:5m") as page:
        await expect(page.get_by_test_id("price").first).to_have_text("68,050.20")
        await page.wait_for_timeout(500)
        async with asyncio.timeout(10):
            await page.evaluate(OBSERVE)
        await page.evaluate("window.longTasks.length = 0")
        await browser.start_tracing(page=page, categories=["toplevel", "__metadata"])
        await updates(stage, seconds=3)
        trace = json.loads(await browser.stop_tracing())
        await expect(page.get_by_test_id("price").first).to_have_text("68,099.00")
        longest_ms = max(await page.evaluate("window.longTasks"), default=0)
        # The observer's clock goes on while others have the processor; the task's own does not.
        used_ms = longest_task_ms(trace["traceEvents"])
        assert min(longest_ms, used_ms) <= LONG_TASK_MS, (longest_ms, used_ms)


def longest_task_ms(events: list[dict]) -> float:
    """How much processor time the longest task of a page took."""
    pages = {
        (e["pid"], e["tid"])
        for e in events
        if e["name"] == "thread_name" and e["args"]["name"] == "CrRendererMain"
    }
    tasks = [
        e["tdur"] / 1_000
        for e in events
        if "RunTask" in e["name"] and "tdur" in e and (e["pid"], e["tid"]) in pages
    ]
    assert len(tasks) > UPDATES_PER_S, "the trace has no tasks"
    return max(tasks)


async def updates(stage, seconds: int) -> None:
    """Candles, trades and books, each so many times a second."""
    clock = asyncio.get_running_loop().time
    begun = clock()
    for n in range(UPDATES_PER_S * seconds):
        price = f"68{n % 50 + 50:03}.00"
        await stage.put("1m", 0, price)
        await stage.trade((price, 1), (price, -1))
        await stage.book(price, f"{price[:-2]}10")
        await asyncio.sleep(max(0, begun + (n + 1) / UPDATES_PER_S - clock()))


@pytest.mark.soak
async def test_every_panel_fits_a_phone(stage, look):
    await stage.put_past("1m", 10)
    await stage.list_symbols()
    await stage.start()
    phone = {"viewport": {"width": 390, "height": 780}, "has_touch": True}
    async with look(stage, allowed=["503"], **phone) as page:
        await expect(page.get_by_test_id("price")).to_have_text("68,050.20")
        for panel in ("market", "ladder", "gaps", "streams", "alerts", "health"):
            await page.get_by_test_id(f"open-{panel}").tap()
            await expect(page.get_by_test_id("panel")).to_be_visible()
            await page.wait_for_timeout(150)
            sizes = await page.evaluate(WIDTHS)
            assert [wide for wide, seen in sizes if wide > seen] == [], panel
        await page.get_by_test_id("panel-close").tap()
        await page.get_by_test_id("layout-4").tap()
        await expect(page.get_by_test_id("price")).to_have_count(4)
        sizes = await page.evaluate(WIDTHS)
        assert [wide for wide, seen in sizes if wide > seen] == []


@pytest.mark.soak
async def test_a_page_whose_gateway_was_away_is_given_what_it_missed(stage, look):
    await stage.put_past("1m", 20)
    await stage.start()
    async with look(stage, allowed=["503"]) as page:
        await expect(page.get_by_test_id("price")).to_have_text("68,050.20")
        await stage.stop()
        await stage.put("1m", 5, "68085.00", cause="late", trade_count=99)
        await stage.put("1m", 0, "68011.10")
        await stage.start()
        await expect(page.get_by_test_id("connection")).to_have_attribute(
            "data-state", "live", timeout=30_000
        )
        await expect(page.get_by_test_id("price")).to_have_text("68,011.10")
        await page.keyboard.press("g")
        await expect(page.get_by_role("heading", name=re.compile("^21 candles"))).to_be_visible()
