"""axe-core finds no serious fault, in both themes, wide and narrow, with every panel and dialog."""

from importlib.resources import files

import pytest
from playwright.async_api import Page, expect

from schemas.streams import StreamKey
from tests.support.browsing import MARKS

pytestmark = MARKS
AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text()
FIND = """async () => (await axe.run()).violations
  .filter(({ impact }) => impact === 'serious' || impact === 'critical')
  .flatMap(({ id, nodes }) =>
    nodes.map(({ html, any }) => `${id}: ${html} ${any[0]?.message ?? ''}`))"""
WIDE = 1280
PANELS = ("market", "ladder", "gaps", "streams", "alerts", "health")


async def faults(page: Page) -> list[str]:
    return await page.evaluate(FIND)


@pytest.mark.parametrize(
    ("scheme", "width"),
    [
        ("dark", WIDE),
        pytest.param("light", 390, marks=pytest.mark.soak),
        pytest.param("light", WIDE, marks=pytest.mark.soak),
    ],
)
async def test_axe_finds_no_serious_fault(stage, look, scheme, width):
    await stage.put_past("1m", 20)
    await stage.put("1m", 3, "68000.00", quality="gap", missing=3)
    await stage.book("68000.0", "68000.5")
    await stage.tell(StreamKey("binance", "linear", "BTCUSDT", "trades", "ws"), "silent")
    await stage.list_symbols()
    await stage.start()
    window = {"viewport": {"width": width, "height": 800}, "color_scheme": scheme}
    async with look(stage, allowed=["503"], **window) as page:
        await expect(page.get_by_test_id("price")).to_have_text("68,050.20")
        await stage.trade(("68000.10", 1), ("68000.20", -1))
        await stage.gap("found", 3)
        await page.evaluate(AXE)
        found = {"page": await faults(page)}
        for panel in PANELS if width == WIDE else PANELS[:1]:
            if await page.get_by_test_id(f"open-{panel}").get_attribute("aria-pressed") == "false":
                await page.get_by_test_id(f"open-{panel}").click()
            await page.wait_for_timeout(150)
            found[panel] = await faults(page)
        await page.keyboard.press("Escape")
        await page.keyboard.press("/")
        await expect(page.get_by_test_id("picker-list").locator("li")).to_have_count(1)
        found["picker"] = await faults(page)
        await page.keyboard.press("Escape")
        await page.keyboard.press("?")
        found["help"] = await faults(page)
        await page.keyboard.press("Escape")
        await page.get_by_test_id("account").click()
        found["signin"] = await faults(page)
        assert {where: what for where, what in found.items() if what} == {}
