"""Which candles a chart has after a break, and after a correction of long ago."""

import re

from playwright.async_api import expect

from tests.support.browsing import MARKS

pytestmark = MARKS


async def test_a_chart_chosen_while_the_gateway_is_away_has_all_its_candles(stage, look):
    await stage.put_past("1m", 5)
    await stage.put_past("5m", 20)
    await stage.start()
    async with look(stage, allowed=["503"]) as page:
        await expect(page.get_by_test_id("price")).to_have_text("68,050.20")
        await page.keyboard.press("l")
        rung = page.get_by_test_id("rung-5m")
        row = page.get_by_test_id("ladder").locator("tbody tr").filter(has=rung)
        await expect(row).to_contain_text("%")  # one candle of it is here
        await stage.stop()
        connection = page.get_by_test_id("connection")
        await expect(connection).to_have_attribute("data-state", "reconnecting")
        await rung.click()
        await stage.start()
        await expect(connection).to_have_attribute("data-state", "live", timeout=30_000)
        await page.keyboard.press("g")
        await expect(page.get_by_role("heading", name=re.compile("^20 candles"))).to_be_visible()


async def test_a_correction_older_than_a_full_chart_leaves_no_hole_in_it(stage, look):
    await stage.put_past("1m", 500)
    await stage.start()
    async with look(stage, allowed=["503"]) as page:
        await page.keyboard.press("g")
        await expect(page.get_by_role("heading", name=re.compile("^500 candles"))).to_be_visible()
        await stage.put("1m", 700, "68085.00", cause="recompute")
        await stage.put("1m", 1, "68085.00", cause="late", trade_count=99)  # of the same partition
        await expect(page.get_by_test_id("price")).to_have_text("68,085.00")
        await expect(page.get_by_role("heading", name=re.compile("^500 candles"))).to_be_visible()
