"""One chart in a real Chromium, on a real gateway and a real broker."""

import asyncio
import json
import re
from decimal import Decimal

import httpx
import pytest
from playwright.async_api import expect

from schemas.intervals import PRESETS, BadInterval, parse_interval
from tests.support.browsing import MARKS

pytestmark = MARKS
# Colours that are neither background nor grid nor text: candles, volume, marks.
COUNT_COLOURED = """() => [...document.querySelectorAll('.chart canvas')].reduce((sum, canvas) => {
  if (!canvas.width) return sum;
  const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  for (let i = 0; i < data.length; i += 4)
    if (data[i + 3] > 200 && Math.abs(data[i] - data[i + 1]) > 60) sum++;
  return sum;
}, 0)"""
LISTED_AGAIN = """async () => {
  const listed = async () => (await (await fetch('/api/v1/series')).json()).intervals;
  while (!(await listed()).includes('1M'));
}"""


async def test_the_page_draws_candles_and_follows_them(stage, look):
    await stage.put_past("1m", 40)
    await stage.start()
    async with look(stage) as page:
        await expect(page.get_by_test_id("price")).to_have_text("68,050.20")
        await expect(page.get_by_test_id("venue")).to_have_text("binance · linear")
        await expect(page.get_by_test_id("quality")).to_have_text("proven")
        assert await page.evaluate(COUNT_COLOURED) > 1_000
        await stage.put("1m", 0, "68077.70", quality="assumed")
        await expect(page.get_by_test_id("price")).to_have_text("68,077.70")
        await expect(page.get_by_test_id("price")).to_have_attribute("data-move", "up")
        await expect(page.get_by_test_id("legend")).to_contain_text("68,077.70")
        await expect(page.get_by_test_id("quality")).to_have_text("assumed")
        await stage.put("1m", 0, "68000.00", quality="gap", missing=3)
        await expect(page.get_by_test_id("price")).to_have_attribute("data-move", "down")
        await expect(page.get_by_test_id("quality")).to_have_text("gap: 3 trades missing")
        await expect(page.get_by_test_id("rate")).to_contain_text(re.compile(r"\d"))
        await expect(page.get_by_test_id("latency")).to_contain_text("ms")
        await expect(page.get_by_test_id("timezone")).to_contain_text("UTC")
        await expect(page.get_by_test_id("attribution")).to_be_visible()


@pytest.mark.soak
async def test_a_correction_of_a_past_candle_is_drawn_and_marked(stage, look):
    await stage.put_past("1m", 30)
    await stage.start()
    async with look(stage) as page:
        await expect(page.get_by_test_id("price")).to_have_text("68,050.20")
        assert "Corrected" not in await legends(page)
        await stage.put("1m", 12, "68085.00", cause="late", trade_count=99)
        await stage.put("1m", 0, "68066.60")
        await expect(page.get_by_test_id("price")).to_have_text("68,066.60")
        found = await legends(page)
        assert found.count("Corrected late") == 1
        assert "C 68,085.00 Vol 1.250 Trades 99" in found


async def legends(page) -> str:
    """What the legend says while the pointer goes over the last bars."""
    box = await page.get_by_test_id("chart").bounding_box()
    said: dict[str, None] = {}
    for x in range(80, 420, 5):
        await page.mouse.move(box["x"] + box["width"] - x, box["y"] + 100)
        text = await page.get_by_test_id("legend").inner_text()
        said[" ".join(text.split())] = None
    return "\n".join(said)


async def test_the_text_box_takes_173m_and_refuses_nonsense_with_words(stage, look):
    await stage.put_past("1m", 5)
    await stage.put_past("173m", 20)
    await stage.start()
    async with look(stage) as page:
        box = page.get_by_test_id("interval-text")
        await box.fill("7x")
        await box.press("Enter")
        await expect(page.get_by_test_id("interval-help")).to_contain_text(
            "“7x” is not an interval"
        )
        await box.fill("173m")
        await expect(page.get_by_test_id("interval-help")).to_be_hidden()
        await box.press("Enter")
        await expect(page.get_by_test_id("interval-173m")).to_have_attribute("aria-pressed", "true")
        await stage.put("173m", 0, "68001.10")
        await expect(page.get_by_test_id("price")).to_have_text("68,001.10")
        assert page.url.endswith("#binance:linear:BTCUSDT:173m")
        await page.get_by_test_id("interval-5m").click()
        await expect(page.get_by_test_id("message")).to_contain_text("No 5m candle of BTCUSDT yet")
        await expect(page.get_by_test_id("message")).to_contain_text("closes in")
        await box.fill("7")
        await box.press("Enter")
        await expect(page.get_by_test_id("message")).to_contain_text("7m candle")
        await stage.put("7m", 0, "68007.70")
        await expect(page.get_by_test_id("price")).to_have_text("68,007.70")


@pytest.mark.soak
async def test_anchored_intervals_are_shown_under_their_text_and_apart_from_their_length(
    stage, look
):
    for text in ("1M", "1w@sun", "30D"):
        await stage.put_past(text, 3)
    await stage.start()
    async with look(stage, "#binance:linear:BTCUSDT:1M") as page:
        await expect(page.get_by_test_id("price")).to_have_text("68,050.20")
        await stage.put("30D", 0, "68001.10")
        await stage.put("1M", 0, "68002.20")
        await expect(page.get_by_test_id("price")).to_have_text("68,002.20")
        await page.get_by_test_id("interval-text").fill("1W@sun")
        await page.get_by_test_id("interval-text").press("Enter")
        await expect(page.get_by_test_id("interval-1w@sun")).to_have_attribute(
            "aria-pressed", "true"
        )
        await stage.put("1w@sun", 0, "68003.30")
        await expect(page.get_by_test_id("price")).to_have_text("68,003.30")
        await expect(page.get_by_test_id("countdown")).to_contain_text("closes in")
        assert page.url.endswith("#binance:linear:BTCUSDT:1w%40sun")


async def test_a_month_closes_when_the_gateway_says_and_a_removed_interval_is_told_until_it_is_back(
    stage, look
):
    await stage.put_past("1m", 3)
    await stage.start()
    path = f"{stage.url}/api/v1/intervals"
    async with httpx.AsyncClient() as http:
        assert (await http.post(path, json={"interval": "1M"})).status_code == 202
        await stage.put("1M", 0, "68002.20")
        async with look(stage, "#binance:linear:BTCUSDT:1M") as page:
            await expect(page.get_by_test_id("countdown")).to_contain_text("closes in")
            body = {"interval": "1M"}
            assert (await http.request("DELETE", path, json=body)).status_code == 202
            await expect(page.get_by_test_id("interval-help")).to_contain_text(
                "1M candles are made no more: the interval was removed"
            )
            message = page.get_by_test_id("message")
            await expect(message).to_contain_text("No more 1M candles")
            assert (await http.post(path, json={"interval": "1M"})).status_code == 202
            async with asyncio.timeout(10):
                await page.evaluate(LISTED_AGAIN)
            await page.keyboard.press("/")  # the page asks what there is
            await stage.put("1M", 0, "68004.40")
            await expect(page.get_by_test_id("price")).to_have_text("68,004.40")
            await expect(message).to_be_hidden()


async def test_a_candle_without_a_trade_is_drawn_as_any_other(stage, look):
    await stage.put_past("1m", 3)
    await stage.start()
    async with look(stage) as page:
        close = Decimal("68050.20")
        flat = dict.fromkeys(("open", "high", "low"), close) | {"volume": Decimal(0)}
        none = dict.fromkeys(("trade_count", "first_id", "last_id"), 0)
        await stage.put("1m", 0, "68050.20", **flat, **none)
        await expect(page.get_by_test_id("legend")).to_contain_text("Trades")
        await expect(page.get_by_test_id("legend")).to_contain_text(re.compile(r"Vol\s*0"))
        await expect(page.get_by_test_id("change")).to_have_text("0.00%")


async def test_the_page_and_the_gateway_understand_the_same_intervals(stage, look):
    counts = (1, 2, 5, 8, 12, 24, 60, 61, 720, 2_592_000)
    anchors = ("", "@sun", "@funding", "@tz=UTC", "@tz=Asia/Tokyo", "@mon@tz=Etc/GMT+5", "@mon@tue",
               "@tz=UTC@mon", "@funding@tz=UTC", "@", "@x")  # fmt: skip
    texts = [f"{n}{unit}{anchor}" for n in counts for unit in "smhdDwWM" for anchor in anchors]
    meant = []
    for text in texts:
        try:
            interval = parse_interval(text)
        except BadInterval:
            meant.append(None)
        else:
            meant.append([*interval, interval.text])
    await stage.start()
    async with look(stage) as page:
        read = """async (texts) => {
          const { parseInterval } = await import("/static/intervals.js");
          return texts.map((text) => {
            const found = parseInterval(text);
            return found && [found.ms, found.anchor, found.text];
          });
        }"""
        assert await page.evaluate(read, texts) == meant
        presets = "import('/static/intervals.js').then(({ PRESETS }) => PRESETS)"
        shown = await page.evaluate(presets)
        assert {name: sorted(each) for name, each in shown.items()} == {
            name: sorted(each) for name, each in PRESETS.items()
        }
    assert len([each for each in meant if each]) > 100


async def test_the_page_says_that_it_reconnects_and_misses_nothing(stage, look):
    await stage.put_past("1m", 10)
    await stage.start()
    async with look(stage) as page:
        await expect(page.get_by_test_id("price")).to_have_text("68,050.20")
        await stage.stop()
        connection = page.get_by_test_id("connection")
        await expect(connection).to_have_attribute("data-state", "reconnecting")
        await expect(connection).to_contain_text("Reconnecting")
        await stage.put("1m", 0, "68012.30")
        await stage.start()
        await expect(connection).to_have_attribute("data-state", "live", timeout=30_000)
        await expect(page.get_by_test_id("price")).to_have_text("68,012.30")


@pytest.mark.soak
async def test_after_a_reconnect_the_page_shows_what_the_gateway_has_now(stage, look):
    await stage.put_past("1m", 10)
    await stage.start()
    async with look(stage) as page:
        await expect(page.get_by_test_id("price")).to_have_text("68,050.20")
        await stage.stop()
        await stage.move_to(f"{stage.settings.kafka_topic_prefix}new.")
        await stage.start()
        connection = page.get_by_test_id("connection")
        await expect(connection).to_have_attribute("data-state", "live", timeout=30_000)
        price = page.get_by_test_id("price")  # the gateway waits a while for what the page has seen
        await expect(price).to_have_text("\N{EN DASH}", timeout=15_000)
        await stage.put("1m", 1, "68033.30")
        await expect(page.get_by_test_id("price")).to_have_text("68,033.30")


@pytest.mark.soak
async def test_a_symbol_is_found_by_typing_among_hundreds(stage, look):
    await stage.put_past("1m", 3)
    await asyncio.gather(
        *(stage.put("1m", 1, f"{n}.5", symbol=f"COIN{n:03}USDT") for n in range(300))
    )
    await stage.start()
    async with look(stage) as page:
        await page.keyboard.press("/")
        await expect(page.get_by_test_id("picker-note")).to_contain_text("more: type to narrow")
        await page.keyboard.type("coin27")
        await page.keyboard.press("ArrowDown")
        await page.keyboard.press("Enter")
        await expect(page.get_by_test_id("symbol")).to_contain_text("COIN271USDT")
        await expect(page.get_by_test_id("price")).to_have_text("271.5")


async def test_a_mangled_link_still_shows_a_chart(stage, look):
    await stage.put_past("1m", 3)
    await stage.start()
    async with look(stage, "#binance:linear:%:1m") as page:
        await expect(page.get_by_test_id("price")).to_have_text("68,050.20")


async def test_a_browser_that_lets_it_remember_nothing_shows_a_chart(stage, look):
    await stage.put_past("1m", 3)
    await stage.start()
    blocked = """for (const name of ["localStorage", "sessionStorage"])
      Object.defineProperty(window, name, {
        get() { throw new DOMException("blocked", "SecurityError"); } });"""
    async with look(stage) as page:
        await page.add_init_script(blocked)
        await page.goto("about:blank")
        await page.goto(stage.url)
        await expect(page.get_by_test_id("price")).to_have_text("68,050.20")
        before = await page.evaluate("document.documentElement.dataset.theme")
        await page.keyboard.press("t")
        assert await page.evaluate("document.documentElement.dataset.theme") != before
        await page.keyboard.press("2")
        await expect(page.get_by_test_id("price")).to_have_count(2)


async def test_with_no_candles_at_all_the_page_says_what_to_look_at(stage, look):
    await stage.start()
    async with look(stage) as page:
        await expect(page.get_by_test_id("message")).to_contain_text("No candles yet")
        await stage.put("1m", 0, "68012.30")
        await expect(page.get_by_test_id("price")).to_have_text("68,012.30", timeout=15_000)


@pytest.mark.parametrize("scheme", ["dark", pytest.param("light", marks=pytest.mark.soak)])
async def test_it_fits_a_phone_in_both_themes(stage, look, scheme):
    await stage.put_past("1m", 40)
    await stage.start()
    phone = {"viewport": {"width": 390, "height": 780}, "color_scheme": scheme}
    async with look(stage, **phone) as page:
        await expect(page.get_by_test_id("price")).to_have_text("68,050.20")
        size = await page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert size[0] <= size[1]
        dark = json.loads(await page.evaluate(
            "JSON.stringify(getComputedStyle(document.body).backgroundColor.match(/\\d+/g))"
        ))  # fmt: skip
        assert (int(dark[0]) < 128) == (scheme == "dark")
        await page.get_by_test_id("theme").click()
        changed = await page.evaluate("getComputedStyle(document.documentElement).colorScheme")
        assert changed == ("light" if scheme == "dark" else "dark")
        assert (await page.get_by_test_id("chart").bounding_box())["height"] > 300
