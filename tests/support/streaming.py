"""What the ingestors tell of streams and symbols, and gateways that serve it."""

import asyncio
from contextlib import asynccontextmanager

import httpx
import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from runtime.kafka import TopicSpec, ensure_topics
from runtime.ports import free_port
from runtime.settings import Settings
from schemas.control import InstrumentRow, StreamStatus, decode_control
from schemas.streams import StreamKey
from schemas.topics import CONTROL, INSTRUMENTS, KLINES, KLINES_LIVE, STREAMS, symbol_key
from sinks.gateway import app

encode = msgspec.json.Encoder().encode


def instrument(exchange, channel, symbol, unified, **changes) -> InstrumentRow:
    fields = {"status": "TRADING", "is_streamed": True, "tick": "0.10", "step": "0.001"}
    names = {"exchange": exchange, "channel": channel, "symbol": symbol, "unified": unified}
    return InstrumentRow(**{**names, **fields, **changes})


LISTED = (
    instrument("binance", "linear", "BTCUSDT", "BTC/USDT:USDT"),
    instrument("binance", "linear", "ETHUSDT", "ETH/USDT:USDT"),
    instrument("binance", "linear", "LUNAUSDT", "LUNA/USDT:USDT", status="SETTLING",
               is_streamed=False),
    instrument("binance", "spot", "BTCUSDT", "BTC/USDT"),
    instrument("kraken", "spot", "BTC/USD", "BTC/USD", status="online"),
    instrument("hyperliquid", "linear", "BTC", "BTC/USDC:USDC"),
)  # fmt: skip


class World:
    """A broker with what the ingestors have told, and gateways beside it."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        self.settings = Settings(
            _env_file=None, kafka_bootstrap=bootstrap, kafka_topic_prefix=prefix
        )
        self._producer: AIOKafkaProducer

    async def __aenter__(self):
        bootstrap = self.settings.kafka_bootstrap
        self._producer = AIOKafkaProducer(bootstrap_servers=bootstrap, linger_ms=1)
        specs = [
            TopicSpec(name=self.name(topic), partitions=topic.partitions or 1,
                      config=topic.settings())
            for topic in (KLINES, KLINES_LIVE, CONTROL, STREAMS, INSTRUMENTS)
        ]  # fmt: skip
        await ensure_topics(self.settings.kafka_bootstrap, specs)
        await self._producer.start()
        for row in LISTED:
            key = symbol_key(row.exchange, row.channel, row.symbol)
            await self.put(INSTRUMENTS, key, encode(row))
        return self

    async def __aexit__(self, *_):
        await self._producer.stop()

    def name(self, topic) -> str:
        return self.settings.kafka_topic_prefix + topic.name

    async def put(self, topic, key: bytes, value: bytes | None) -> None:
        await self._producer.send_and_wait(self.name(topic), value, key)

    async def tell(self, key: StreamKey, state: str, detail: str = "") -> None:
        status = StreamStatus(**key._asdict(), state=state, since_ms=7, detail=detail)
        await self.put(STREAMS, str(key).encode(), encode(status))

    async def controls(self) -> list[tuple[str, object]]:
        consumer = AIOKafkaConsumer(bootstrap_servers=self.settings.kafka_bootstrap)
        await consumer.start()
        try:
            tp = TopicPartition(self.name(CONTROL), 0)
            consumer.assign([tp])
            await consumer.seek_to_beginning(tp)
            end = (await consumer.end_offsets([tp]))[tp]
            found = []
            while await consumer.position(tp) < end:
                for message in (await consumer.getmany(timeout_ms=500)).get(tp, []):
                    value = message.value and decode_control(message.value)
                    found.append((message.key.decode(), value))
            return found
        finally:
            await consumer.stop()

    @asynccontextmanager
    async def gateway(self):
        port = free_port()
        stop = asyncio.Event()
        settings = self.settings.model_copy(update={"websocket_port": port})
        running = asyncio.create_task(app.run(settings, stop))
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=15) as client:
            try:
                await ready(client, running)
                yield client
            finally:
                stop.set()
                async with asyncio.timeout(20):
                    await running


async def ready(client: httpx.AsyncClient, running: asyncio.Task) -> None:
    async with asyncio.timeout(30):
        while not running.done():
            try:
                if (await client.get("/health/ready")).status_code == 200:
                    return
            except httpx.ConnectError:
                pass
            await asyncio.sleep(0.05)
    running.result()
