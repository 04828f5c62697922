"""A gateway that can die and come back on its port, a market to feed it, and a page that looks."""

import asyncio
import shutil
import time
from contextlib import asynccontextmanager
from decimal import Decimal
from itertools import count

import httpx
import msgspec
import pytest
from aiokafka import AIOKafkaProducer
from playwright.async_api import Browser, expect

from runtime.ports import free_port
from runtime.settings import Settings
from schemas.control import StreamStatus
from schemas.intervals import parse_interval
from schemas.klines import Gap, GapEnvelope, Kline, KlineEnvelope
from schemas.snapshots import BookSnapshot, BookSnapshotEnvelope
from schemas.streams import StreamKey
from schemas.topics import (
    BOOK_SNAPSHOTS,
    CONTROL,
    GAPS,
    INSTRUMENTS,
    KLINES,
    KLINES_LIVE,
    MARKET_STATS,
    STREAMS,
    TRADES,
    Topic,
    symbol_key,
)
from schemas.trades import SymbolTrades, TradeBatch, encode_batch
from sinks import topics
from sinks.gateway import app
from tests.support.streaming import LISTED

CHROMIUM = next(
    (
        path
        for name in ("chromium", "chromium-browser", "google-chrome")
        if (path := shutil.which(name))
    ),
    None,
)
MARKS = [
    pytest.mark.browser,
    pytest.mark.integration,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH: `apt-get install chromium`"),
]
"""Of every file with tests of the page."""
ARGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
TOPICS = (
    KLINES, KLINES_LIVE, TRADES, BOOK_SNAPSHOTS, MARKET_STATS, GAPS, CONTROL, STREAMS, INSTRUMENTS,
)  # fmt: skip
MARKET = ("binance", "linear", "BTCUSDT")
# What a browser says of a gateway that is away, or that takes longer than the page waits.
NETWORK = (
    "ERR_CONNECTION_REFUSED", "ERR_CONNECTION_RESET", "ERR_EMPTY_RESPONSE",
    "closed before the connection is established",
)  # fmt: skip
encode = msgspec.json.Encoder(decimal_format="number").encode
PAST = ("68050.20", "67960.30")


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Stage:
    """Put what the processors would, and start and stop the gateway."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        self.settings = Settings(
            _env_file=None, kafka_bootstrap=bootstrap, kafka_topic_prefix=prefix,
            kafka_partitions=2, websocket_port=free_port(), kline_intervals=("1m", "5m", "173m"),
        )  # fmt: skip
        self.producer = AIOKafkaProducer(bootstrap_servers=bootstrap, linger_ms=1)
        self.url = f"http://127.0.0.1:{self.settings.websocket_port}"
        self._stop = asyncio.Event()
        self._running: asyncio.Task | None = None
        self._rev = count(1)
        self._trade = count(1)

    async def make_topics(self) -> None:
        await topics.ensure(self.settings, TOPICS)

    def change(self, **settings) -> None:
        self.settings = self.settings.model_copy(update=settings)

    async def move_to(self, prefix: str) -> None:
        """Go on with another log, in which revisions start anew."""
        self.change(kafka_topic_prefix=prefix)
        self._rev = count(1)
        await self.make_topics()

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

    # -- what the market does

    def name(self, topic: Topic) -> str:
        return self.settings.kafka_topic_prefix + topic.name

    async def send(self, topic: Topic, key: bytes, value: bytes | None) -> None:
        await self.producer.send_and_wait(self.name(topic), value, key)

    async def put(self, interval: str, back: int, close: str, *, symbol="BTCUSDT", **more) -> None:
        """A candle so many intervals ago, closed unless it is the one of now."""
        row = self._candle(interval, back, close, symbol, more)
        await self._put(symbol, [row], KLINES if row.closed else KLINES_LIVE)

    async def put_past(self, interval: str, candles: int, *, symbol="BTCUSDT", **more) -> None:
        rows = [
            self._candle(interval, back, PAST[1 - back % 2], symbol, more)
            for back in range(candles, 0, -1)
        ]
        await self._put(symbol, rows, KLINES)

    async def _put(self, symbol: str, rows: list[Kline], topic: Topic) -> None:
        value = encode(KlineEnvelope("binance", "linear", rows, now_ms()))
        await self.send(topic, symbol_key("binance", "linear", symbol), value)

    def _candle(self, interval: str, back: int, close: str, symbol: str, more: dict) -> Kline:
        kind = parse_interval(interval)
        opened = kind.open_ms(now_ms())
        for _ in range(back):
            opened = kind.open_ms(opened - 1)
        fields = {
            "symbol": symbol, "interval": kind.length_ms, "anchor": kind.anchor,
            "timestamp": opened, "closed": back > 0,
            "open": Decimal("68000.10"), "high": Decimal("68090.00"), "low": Decimal("67950.50"),
            "close": Decimal(close), "volume": Decimal("1.250"), "quote_volume": Decimal(1),
            "taker_buy_volume": Decimal(0), "taker_buy_quote_volume": Decimal(0),
            "trade_count": 42, "first_id": 1, "last_id": 42, "rev": next(self._rev),
            "cause": "live", "quality": "proven", "missing": 0,
        }  # fmt: skip
        return Kline(**{**fields, **more})

    async def trade(self, *trades: tuple[str, int], symbol="BTCUSDT") -> None:
        """Trades of one lot each: (price with two decimals, side)."""
        ids = [next(self._trade) for _ in trades]
        group = SymbolTrades(
            symbol=symbol, price_scale=2, qty_scale=3, id=ids, ts=[now_ms()] * len(ids),
            price=[int(price.replace(".", "")) for price, _ in trades], qty=[250] * len(ids),
            side=[side for _, side in trades],
        )  # fmt: skip
        batch = TradeBatch(
            exchange="binance", channel="linear", source="live", recv_ns=time.time_ns(),
            symbols=[group],
        )  # fmt: skip
        await self.send(TRADES, symbol_key("binance", "linear", symbol), encode_batch(batch))

    async def book(self, bid: str, ask: str, levels: int = 12, symbol="BTCUSDT") -> None:
        """A book of such best prices, a tenth between the levels."""
        step = Decimal("0.1")
        sides = [
            [(best + way * n * step, Decimal("0.250") * (n + 1)) for n in range(levels)]
            for best, way in ((Decimal(bid), -1), (Decimal(ask), 1))
        ]
        bids, asks = sides
        row = BookSnapshot(
            symbol, now_ms(), 1, next(self._rev), bids, asks, *bids[0], *asks[0],
            asks[0][0] - bids[0][0], (asks[0][0] + bids[0][0]) / 2, Decimal("0.250000"),
        )  # fmt: skip
        value = encode(BookSnapshotEnvelope("binance", "linear", [row], now_ms()))
        await self.send(BOOK_SNAPSHOTS, symbol_key("binance", "linear", symbol), value)

    async def gap(self, state: str, missing: int, back_ms: int = 60_000) -> None:
        at_ms = now_ms()
        gap = Gap("BTCUSDT", 100, 109, at_ms - back_ms, at_ms, missing, state, next(self._rev))
        value = encode(GapEnvelope("binance", "linear", [gap]))
        await self.send(GAPS, symbol_key("binance", "linear", "BTCUSDT"), value)

    async def list_symbols(self) -> None:
        for row in LISTED:
            key = symbol_key(row.exchange, row.channel, row.symbol)
            await self.send(INSTRUMENTS, key, encode(row))

    async def tell(self, key: StreamKey, state: str, detail: str = "") -> None:
        """What an ingestor says of a stream."""
        status = StreamStatus(**key._asdict(), state=state, since_ms=now_ms(), detail=detail)
        await self.send(STREAMS, str(key).encode(), encode(status))


@asynccontextmanager
async def opened(browser: Browser, stage: Stage, address: str = "", **context):
    """The page, live; every complaint of the browser fails the test but those named in allowed."""
    allowed = (*NETWORK, *context.pop("allowed", ()))
    is_signed_in = context.pop("is_signed_in", True)
    complaints: list[str] = []
    own = await browser.new_context(**context)
    page = await own.new_page()
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda m: m.type in {"error", "warning"} and complaints.append(m.text))
    page.on("request", lambda r: r.url.startswith(stage.url) or complaints.append(r.url))
    await page.goto(f"{stage.url}/{address}")
    if is_signed_in:
        await expect(page.get_by_test_id("connection")).to_have_attribute("data-state", "live")
    yield page
    await own.close()
    found = [each for each in complaints if not any(word in each for word in allowed)]
    assert not found, found
