"""``md.control.v1`` on a real broker: read back at start, followed live, through an outage."""

import asyncio
import time
from pathlib import Path

import msgspec
import pytest
from aiokafka import AIOKafkaProducer

from ingest.control import Controls, told_before
from runtime.errors import Retriable
from runtime.kafka import TopicSpec, ensure_topics
from runtime.ports import free_port
from runtime.servers.kafka import EmbeddedKafka
from schemas.control import Control, StreamStatus
from schemas.streams import StreamKey
from schemas.topics import CONTROL, STREAMS

pytestmark = pytest.mark.integration

BTC = StreamKey("binance", "linear", "BTCUSDT", "trades", "ws")
ETH = BTC._replace(symbol="ETHUSDT")
ELSEWHERE = BTC._replace(exchange="kraken", channel="spot", symbol="BTC/USD")
encode = msgspec.json.Encoder().encode


class Writer:
    """Writes controls as the gateway does."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self.topic = topic
        self._producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all")

    async def __aenter__(self):
        await self._producer.start()
        return self

    async def __aexit__(self, *_):
        await self._producer.stop()

    async def put(self, key: StreamKey, **knobs: bool) -> None:
        await self.put_raw(str(key).encode(), encode(Control(**key._asdict(), **knobs)))

    async def put_raw(self, key: bytes | None, value: bytes | None) -> None:
        await self._producer.send_and_wait(self.topic, value, key)


async def make(bootstrap: str, topic: str) -> None:
    config = {"cleanup.policy": "compact"}
    await ensure_topics(bootstrap, [TopicSpec(name=topic, partitions=1, config=config)])


@pytest.fixture
async def writer(kafka_bootstrap, topic_prefix):
    topic = topic_prefix + CONTROL.name
    await make(kafka_bootstrap, topic)
    async with Writer(kafka_bootstrap, topic) as writer:
        yield writer


@pytest.fixture
def controls(kafka_bootstrap, writer):
    return Controls(kafka_bootstrap, writer.topic, "binance")


async def next_change(controls: Controls, within_s: float = 10.0) -> StreamKey:
    async with asyncio.timeout(within_s):
        return await anext(controls.changes())


async def test_the_latest_of_what_was_said_before_is_known_when_ready(controls, writer) -> None:
    await writer.put(BTC, enabled=True)
    await writer.put(BTC, enabled=False)
    await writer.put(ETH, db_writes_enabled=False)
    await writer.put(ELSEWHERE, enabled=False)
    async with controls:
        await controls.ready()
        assert controls.wanted(BTC).enabled is False
        assert controls.wanted(ETH).db_writes_enabled is False
        assert set(controls.keys()) == {BTC, ETH}
        with pytest.raises(TimeoutError):  # nothing has changed since
            await next_change(controls, 0.3)


async def test_an_empty_topic_is_ready(controls) -> None:
    async with controls:
        await controls.ready(timeout_s=10)
        assert controls.wanted(BTC) is None


async def test_a_change_arrives_soon_and_a_tombstone_gives_the_settings_back(
    controls, writer
) -> None:
    delays_s = []
    async with controls:
        await controls.ready()
        for i in range(10):
            await writer.put(BTC, enabled=bool(i % 2))
            written_s = time.monotonic()
            assert await next_change(controls, 2.0) == BTC
            delays_s.append(time.monotonic() - written_s)
            assert controls.wanted(BTC).enabled is bool(i % 2)
        await writer.put_raw(str(BTC).encode(), None)
        assert await next_change(controls, 2.0) == BTC
        assert controls.wanted(BTC) is None
    assert sorted(delays_s)[5] < 0.25


async def test_what_changes_while_nobody_asks_is_told_once(controls, writer) -> None:
    async with controls:
        await controls.ready()
        for i in range(200):
            await writer.put(BTC, enabled=bool(i % 2))
        await writer.put(ETH)
        await asyncio.sleep(0.5)
        assert len(controls._changed) == 2
        assert [await next_change(controls), await next_change(controls)] == [BTC, ETH]


async def test_what_cannot_be_read_or_does_not_concern_us_changes_nothing(controls, writer) -> None:
    async with controls:
        await controls.ready()
        await writer.put_raw(b"nonsense", b"{}")
        await writer.put_raw(str(BTC).encode(), b"{not json")
        await writer.put_raw(str(BTC).encode(), encode(Control(**ETH._asdict())))
        await writer.put_raw(b"\xff\xfe", None)
        await writer.put(ELSEWHERE)
        await writer.put(ETH)
        assert await next_change(controls) == ETH
        assert controls.wanted(BTC) is None


async def test_a_topic_that_is_not_there_is_told_after_a_while(kafka_bootstrap) -> None:
    async with Controls(kafka_bootstrap, "no-such-topic", "binance") as controls:
        with pytest.raises(Retriable, match="no-such-topic"):
            await controls.ready(timeout_s=1)


async def test_what_an_earlier_run_left_running_is_known(kafka_bootstrap, topic_prefix) -> None:
    topic = topic_prefix + STREAMS.name
    await make(kafka_bootstrap, topic)
    states = {BTC: ("live",), ETH: ("live", "stopped"), ELSEWHERE: ("live",)}
    async with Writer(kafka_bootstrap, topic) as writer:
        for key, said in states.items():
            for state in said:
                status = StreamStatus(**key._asdict(), state=state, since_ms=1)
                await writer.put_raw(str(key).encode(), encode(status))
    told = await told_before(kafka_bootstrap, topic, "binance")
    assert (told.running, told.alive_ms) == ({BTC}, {})


async def test_a_broker_that_comes_later_is_waited_for(tmp_path: Path) -> None:
    port = free_port()
    async with Controls(f"127.0.0.1:{port}", CONTROL.name, "binance") as controls:
        with pytest.raises(Retriable, match="not read to its end"):
            await controls.ready(timeout_s=1.5)
        kafka = EmbeddedKafka(tmp_path, port=port, heap_mb=256)
        try:
            await make(await kafka.start(), CONTROL.name)
            async with Writer(f"127.0.0.1:{port}", CONTROL.name) as writer:
                await writer.put(BTC, enabled=False)
            await controls.ready()
            assert controls.wanted(BTC).enabled is False
        finally:
            await kafka.stop()


async def test_reading_goes_on_by_itself_when_kafka_comes_back(tmp_path: Path) -> None:
    port = free_port()
    kafka = EmbeddedKafka(tmp_path, port=port, heap_mb=256)
    bootstrap = await kafka.start()
    topic = CONTROL.name
    await make(bootstrap, topic)
    async with Controls(bootstrap, topic, "binance") as controls:
        async with Writer(bootstrap, topic) as writer:
            await controls.ready()
            await writer.put(BTC, enabled=False)
            assert await next_change(controls) == BTC
        await kafka.stop()
        assert controls.wanted(BTC).enabled is False
        again = EmbeddedKafka(tmp_path, port=port, heap_mb=256)
        await again.start()
        try:
            async with Writer(bootstrap, topic) as writer:
                await writer.put(ETH, enabled=False)
                assert await next_change(controls, 30) == ETH
                assert controls.wanted(BTC).enabled is False
        finally:
            await again.stop()
