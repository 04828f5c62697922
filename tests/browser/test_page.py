"""The page in a real Chromium, on a real gateway and a real broker."""

import asyncio
import json
import re
import shutil
import time
from contextlib import asynccontextmanager
from decimal import Decimal

import httpx
import msgspec
import pytest
from aiokafka import AIOKafkaProducer
from playwright.async_api import async_playwright, expect

from runtime.kafka import TopicSpec, ensure_topics
from runtime.ports import free_port
from runtime.settings import Settings
from schemas.intervals import BadInterval, parse_interval
from schemas.klines import Kline, KlineEnvelope
from schemas.topics import KLINES, KLINES_LIVE, symbol_key
from sinks.gateway import app

CHROMIUM = next(
    (
        path
        for name in ("chromium", "chromium-browser", "google-chrome")
        if (path := shutil.which(name))
    ),
    None,
)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.integration,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH: `apt-get install chromium`"),
]
ARGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
encode = msgspec.json.Encoder(decimal_format="number").encode
# Colours that are neither background nor grid nor text: candles, volume, marks.
COUNT_COLOURED = """() => [...document.querySelectorAll('#chart canvas')].reduce((sum, canvas) => {
  if (!canvas.width) return sum;
  const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  for (let i = 0; i < data.length; i += 4)
    if (data[i + 3] > 200 && Math.abs(data[i] - data[i + 1]) > 60) sum++;
  return sum;
}, 0)"""


class Stage:
    """A gateway that can die and come back on its port, and a market to feed it."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        self.settings = Settings(
            _env_file=None, kafka_bootstrap=bootstrap, kafka_topic_prefix=prefix,
            websocket_port=free_port(), kline_intervals=("1m", "5m", "173m"),
        )  # fmt: skip
        self.producer = AIOKafkaProducer(bootstrap_servers=bootstrap, linger_ms=1)
        self.url = f"http://127.0.0.1:{self.settings.websocket_port}"
        self._stop = asyncio.Event()
        self._running: asyncio.Task | None = None
        self._rev = 0

    async def start(self) -> None:
        self._stop = asyncio.Event()
        self._running = asyncio.create_task(app.run(self.settings, self._stop))
        async with httpx.AsyncClient(base_url=self.url) as http, asyncio.timeout(30):
            while not self._running.done():
                try:
                    if (await http.get("/health/ready")).status_code == 200:
                        return
                except httpx.TransportError:
                    pass
                await asyncio.sleep(0.05)
        await self._running

    async def stop(self) -> None:
        self._stop.set()
        if self._running:
            await self._running

    def move_to(self, prefix: str) -> None:
        self.settings = self.settings.model_copy(update={"kafka_topic_prefix": prefix})
        self._rev = 0

    async def put(self, interval: str, back: int, close: str, *, symbol="BTCUSDT", **more) -> None:
        """A candle so many intervals ago, closed unless it is the one of now."""
        self._rev += 1
        kind = parse_interval(interval)
        opened = kind.open_ms(time.time_ns() // 1_000_000)
        for _ in range(back):
            opened = kind.open_ms(opened - 1)
        fields = {
            "symbol": symbol, "interval": kind.length_ms, "anchor": kind.anchor,
            "timestamp": opened, "closed": back > 0,
            "open": Decimal("68000.10"), "high": Decimal("68090.00"), "low": Decimal("67950.50"),
            "close": Decimal(close), "volume": Decimal("1.250"), "quote_volume": Decimal(1),
            "taker_buy_volume": Decimal(0), "taker_buy_quote_volume": Decimal(0),
            "trade_count": 42, "first_id": 1, "last_id": 42, "rev": self._rev, "cause": "live",
            "quality": "proven", "missing": 0,
        }  # fmt: skip
        row = Kline(**{**fields, **more})
        topic = self.settings.kafka_topic_prefix + (KLINES if row.closed else KLINES_LIVE).name
        key = symbol_key("binance", "linear", symbol)
        value = encode(KlineEnvelope("binance", "linear", [row], time.time_ns() // 1_000_000))
        await self.producer.send_and_wait(topic, value, key)

    async def put_past(self, interval: str, candles: int, **more) -> None:
        for back in range(candles, 0, -1):
            await self.put(interval, back, "68050.20" if back % 2 else "67960.30", **more)


def specs(stage: Stage) -> list[TopicSpec]:
    names = [stage.settings.kafka_topic_prefix + topic.name for topic in (KLINES, KLINES_LIVE)]
    return [TopicSpec(name=name, partitions=2) for name in names]


@pytest.fixture
async def stage(kafka_bootstrap, topic_prefix):
    stage = Stage(kafka_bootstrap, topic_prefix)
    await ensure_topics(kafka_bootstrap, specs(stage))
    await stage.producer.start()
    try:
        yield stage
    finally:
        await stage.stop()
        await stage.producer.stop()


@asynccontextmanager
async def opened(stage: Stage, address: str = "", **context):
    """The page; every complaint of the browser fails the test."""
    complaints: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        page = await (await browser.new_context(**context)).new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda m: m.type == "error" and complaints.append(m.text))
        page.on("request", lambda r: r.url.startswith(stage.url) or complaints.append(r.url))
        await page.goto(f"{stage.url}/{address}")
        await expect(page.get_by_test_id("connection")).to_have_attribute("data-state", "live")
        yield page
        await browser.close()
    assert [c for c in complaints if "ERR_CONNECTION_REFUSED" not in c] == []


async def test_the_page_draws_candles_and_follows_them(stage):
    await stage.put_past("1m", 40)
    await stage.start()
    async with opened(stage) as page:
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


async def test_a_correction_of_a_past_candle_is_drawn_and_marked(stage):
    await stage.put_past("1m", 30)
    await stage.start()
    async with opened(stage) as page:
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


async def test_the_text_box_takes_173m_and_refuses_nonsense_with_words(stage):
    await stage.put_past("1m", 5)
    await stage.put_past("173m", 20)
    await stage.start()
    async with opened(stage) as page:
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
        await expect(page.get_by_test_id("message")).to_contain_text("7m candles are not made here")


async def test_anchored_intervals_are_shown_under_their_text_and_apart_from_their_length(stage):
    for text in ("1M", "1w@sun", "30D"):
        await stage.put_past(text, 3)
    await stage.start()
    async with opened(stage, "#binance:linear:BTCUSDT:1M") as page:
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


async def test_a_month_closes_when_the_gateway_says_and_a_removed_interval_is_told(stage):
    await stage.put_past("1m", 3)
    await stage.start()
    path = f"{stage.url}/api/v1/intervals"
    async with httpx.AsyncClient() as http:
        assert (await http.post(path, json={"interval": "1M"})).status_code == 202
        await stage.put("1M", 0, "68002.20")
        async with opened(stage, "#binance:linear:BTCUSDT:1M") as page:
            await expect(page.get_by_test_id("countdown")).to_contain_text("closes in")
            body = {"interval": "1M"}
            assert (await http.request("DELETE", path, json=body)).status_code == 202
            await expect(page.get_by_test_id("interval-help")).to_contain_text(
                "1M candles are made no more: the interval was removed"
            )


async def test_a_candle_without_a_trade_is_drawn_as_any_other(stage):
    await stage.put_past("1m", 3)
    await stage.start()
    async with opened(stage) as page:
        close = Decimal("68050.20")
        flat = dict.fromkeys(("open", "high", "low"), close) | {"volume": Decimal(0)}
        none = dict.fromkeys(("trade_count", "first_id", "last_id"), 0)
        await stage.put("1m", 0, "68050.20", **flat, **none)
        await expect(page.get_by_test_id("legend")).to_contain_text("Trades")
        await expect(page.get_by_test_id("legend")).to_contain_text(re.compile(r"Vol\s*0"))
        await expect(page.get_by_test_id("change")).to_have_text("0.00%")


async def test_the_page_and_the_gateway_understand_the_same_intervals(stage):
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
    async with opened(stage) as page:
        read = """async (texts) => {
          const { parseInterval } = await import("/static/format.js");
          return texts.map((text) => {
            const found = parseInterval(text);
            return found && [found.ms, found.anchor, found.text];
          });
        }"""
        assert await page.evaluate(read, texts) == meant
    assert len([each for each in meant if each]) > 100


async def test_the_page_says_that_it_reconnects_and_misses_nothing(stage):
    await stage.put_past("1m", 10)
    await stage.start()
    async with opened(stage) as page:
        await expect(page.get_by_test_id("price")).to_have_text("68,050.20")
        await stage.stop()
        connection = page.get_by_test_id("connection")
        await expect(connection).to_have_attribute("data-state", "reconnecting")
        await expect(connection).to_contain_text("Reconnecting")
        await stage.put("1m", 0, "68012.30")
        await stage.start()
        await expect(connection).to_have_attribute("data-state", "live", timeout=30_000)
        await expect(page.get_by_test_id("price")).to_have_text("68,012.30")


async def test_after_a_reconnect_the_page_shows_what_the_gateway_has_now(stage):
    await stage.put_past("1m", 10)
    await stage.start()
    async with opened(stage) as page:
        await expect(page.get_by_test_id("price")).to_have_text("68,050.20")
        await stage.stop()
        stage.move_to(f"{stage.settings.kafka_topic_prefix}new.")  # a log in which revs start anew
        await ensure_topics(stage.settings.kafka_bootstrap, specs(stage))
        await stage.start()
        connection = page.get_by_test_id("connection")
        await expect(connection).to_have_attribute("data-state", "live", timeout=30_000)
        await expect(page.get_by_test_id("price")).to_have_text("\N{EN DASH}")
        await stage.put("1m", 1, "68033.30")
        await expect(page.get_by_test_id("price")).to_have_text("68,033.30")


async def test_a_symbol_is_found_by_typing_among_hundreds(stage):
    await stage.put_past("1m", 3)
    await asyncio.gather(
        *(stage.put("1m", 1, f"{n}.5", symbol=f"COIN{n:03}USDT") for n in range(300))
    )
    await stage.start()
    async with opened(stage) as page:
        await page.keyboard.press("/")
        await expect(page.get_by_test_id("picker-note")).to_contain_text("more: type to narrow")
        await page.keyboard.type("coin27")
        await page.keyboard.press("ArrowDown")
        await page.keyboard.press("Enter")
        await expect(page.get_by_test_id("symbol")).to_contain_text("COIN271USDT")
        await expect(page.get_by_test_id("price")).to_have_text("271.5")


async def test_a_mangled_link_still_shows_a_chart(stage):
    await stage.put_past("1m", 3)
    await stage.start()
    async with opened(stage, "#binance:linear:%:1m") as page:
        await expect(page.get_by_test_id("price")).to_have_text("68,050.20")


async def test_with_no_candles_at_all_the_page_says_what_to_look_at(stage):
    await stage.start()
    async with opened(stage) as page:
        await expect(page.get_by_test_id("message")).to_contain_text("No candles yet")
        await stage.put("1m", 0, "68012.30")
        await expect(page.get_by_test_id("price")).to_have_text("68,012.30", timeout=15_000)


@pytest.mark.parametrize("scheme", ["dark", "light"])
async def test_it_fits_a_phone_in_both_themes(stage, scheme):
    await stage.put_past("1m", 40)
    await stage.start()
    phone = {"viewport": {"width": 390, "height": 780}, "color_scheme": scheme}
    async with opened(stage, **phone) as page:
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
