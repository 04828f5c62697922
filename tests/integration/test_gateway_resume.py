"""A client that is killed again and again goes on where it was: every closed candle once.

Real broker, two real gateways side by side, real sockets; the client is cut off at random moments,
connects to either gateway and says from where it wants to go on.
"""

import asyncio
import json
import random
from contextlib import AsyncExitStack

import msgspec
import pytest
from aiokafka import AIOKafkaProducer
from websockets.asyncio.client import connect

from runtime.kafka import TopicSpec, ensure_topics
from runtime.ports import free_port
from runtime.settings import Settings
from schemas.topics import KLINES, KLINES_LIVE, symbol_key
from tests.support.gateways import running

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

MINUTE = 60_000
SYMBOLS = [f"S{number}USDT" for number in range(8)]
PARTITIONS = 3
Candle = tuple[str, int, int]


class Market:
    """Closes candles, and tells of open ones, as fast as a worker might."""

    def __init__(self, settings: Settings, rng: random.Random) -> None:
        self.published: set[Candle] = set()
        self._prefix = settings.kafka_topic_prefix
        self._rng = rng
        self._rev = 0
        self._producer = AIOKafkaProducer(
            bootstrap_servers=settings.kafka_bootstrap, linger_ms=1, enable_idempotence=True
        )

    async def run(self, stop: asyncio.Event, pause_s: float) -> None:
        """Trade until told to stop; then everything is stored."""
        await self._producer.start()
        try:
            while not stop.is_set():
                await self._step()
                await asyncio.sleep(pause_s)
            await self._producer.flush()
        finally:
            await self._producer.stop()

    async def _step(self) -> None:
        self._rev += 1
        symbol = self._rng.choice(SYMBOLS)
        minute = self._rev
        if self._rng.random() < 0.2 and self._rev > 20:
            minute = self._rev - self._rng.randrange(1, 20)  # a correction, or a late candle
        rows = [self._row(symbol, minute, closed=True)]
        self.published.add((symbol, minute, self._rev))
        await self._put(KLINES.name, symbol, rows)
        await self._put(KLINES_LIVE.name, symbol, [self._row(symbol, 10_000_000, closed=False)])

    def _row(self, symbol: str, minute: int, *, closed: bool) -> dict:
        return {
            "symbol": symbol, "interval": MINUTE, "timestamp": minute * MINUTE, "open": 1.5,
            "closed": closed, "rev": self._rev, "trade_count": 1,
        }  # fmt: skip

    async def _put(self, topic: str, symbol: str, rows: list[dict]) -> None:
        envelope = {"exchange": "binance", "channel": "linear", "recv_ms": 1, "data": rows}
        key = symbol_key("binance", "linear", symbol)
        await self._producer.send(self._prefix + topic, msgspec.json.encode(envelope), key)


class Program:
    """A client that knows what it has seen, and its position, and no more."""

    def __init__(self, ports: list[int], rng: random.Random, form: str) -> None:
        self.seen: list[Candle] = []
        self.snapshots = 0
        self.position: dict[str, int] = {}
        self._ports = ports
        self._rng = rng
        self._is_msgpack = form == "msgpack"
        self._compression = "deflate" if form == "deflate" else None

    async def live(self, for_s: float) -> None:
        """Connect, go on, and be cut off after a while, without a word."""
        path = "?stats=false" + ("&format=msgpack" if self._is_msgpack else "")
        url = f"ws://127.0.0.1:{self._rng.choice(self._ports)}/{path}"
        async with connect(url, compression=self._compression, max_size=None) as socket:
            more = {"from_seq": self.position} if self.position else {}
            items = [{"symbol": symbol, "timeframes": ["1m"], **more} for symbol in SYMBOLS]
            await socket.send(json.dumps({"action": "subscribe", "subscriptions": items}))
            try:
                async with asyncio.timeout(for_s):
                    while True:
                        self._take(await socket.recv(decode=False))
            except TimeoutError:
                socket.transport.abort()

    def _take(self, message: bytes) -> None:
        decode = msgspec.msgpack.decode if self._is_msgpack else msgspec.json.decode
        frame = decode(message)
        self.snapshots += bool(frame.get("snapshot"))
        self.seen += [
            (row["symbol"], row["timestamp"] // MINUTE, row["rev"])
            for row in frame.get("data", [])
            if row["closed"]
        ]
        self.position |= frame.get("seq", {})


async def _kill_again_and_again(bootstrap: str, prefix: str, form: str, kills: int, rate: float):
    rng = random.Random(form + str(kills))
    settings = Settings(
        _env_file=None, kafka_bootstrap=bootstrap, kafka_topic_prefix=prefix,
        kline_intervals=("1m",), websocket_compression=form == "deflate",
    )  # fmt: skip
    names = [prefix + topic.name for topic in (KLINES, KLINES_LIVE)]
    await ensure_topics(bootstrap, [TopicSpec(name=n, partitions=PARTITIONS) for n in names])
    market, stop = Market(settings, rng), asyncio.Event()
    async with AsyncExitStack() as stack:
        ports = [free_port(), free_port()]
        for port in ports:
            its = settings.model_copy(update={"websocket_port": port})
            await stack.enter_async_context(running(its))
        program = Program(ports, rng, form)
        await program.live(0.3)  # nothing has closed yet: from here on it has a position
        trading = asyncio.create_task(market.run(stop, 1 / rate))
        for _ in range(kills):
            await program.live(rng.uniform(0.005, 0.25))
        stop.set()
        await trading
        await program.live(3.0)
    newest = {(symbol, minute): 0 for symbol, minute, _ in market.published}
    for symbol, minute, rev in market.published:
        newest[symbol, minute] = max(newest[symbol, minute], rev)
    assert not program.snapshots
    assert len(program.seen) == len(set(program.seen)), "a revision came twice"
    assert set(program.seen) <= market.published
    lost = {(*window, rev) for window, rev in newest.items()} - set(program.seen)
    assert not lost


@pytest.mark.parametrize("form", ["json", "msgpack", "deflate"])
async def test_a_client_killed_at_random_moments_sees_every_closed_candle_once(
    kafka_bootstrap, topic_prefix, form
):
    await _kill_again_and_again(kafka_bootstrap, topic_prefix, form, kills=12, rate=100)


@pytest.mark.soak
async def test_a_client_killed_100_times_sees_every_closed_candle_once(
    kafka_bootstrap, topic_prefix
):
    await _kill_again_and_again(kafka_bootstrap, topic_prefix, "json", kills=100, rate=150)
