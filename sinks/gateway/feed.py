"""Candles and gaps from Kafka into the hub, without a consumer group: a gateway reads everything.

First the past, as far back as a bounded number of records reaches, then whatever comes.
"""

import asyncio
import time
from collections.abc import Iterable
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from runtime.errors import Misconfigured, Poison, Retriable
from runtime.fetch_session import use_fetch_sessions
from runtime.kafka import admin, close_consumer, wait_for_broker
from runtime.settings import Settings
from schemas.topics import GAPS, KLINES, KLINES_LIVE, TICKS, Topic
from sinks import topics
from sinks.gateway import candles, metrics
from sinks.gateway.hub import Hub
from sinks.gateway.last import LastTrades
from sinks.gateway.refusals import refuse

logger = structlog.get_logger(__name__)

PAST_RECORDS_PER_PARTITION = {
    KLINES.name: 30_000,
    KLINES_LIVE.name: 1_000,
    GAPS.name: 5_000,
    TICKS.name: 5_000,
}
POLL_RECORDS_MAX = 1_000  # a few milliseconds of work, then clients get their turn
POLL_MS = 1_000
# One fetch waits for all partitions of a broker, and a seek for the fetch: keep that wait short.
FETCH_WAIT_MS = 10
TOPICS_WITHIN_S = 30.0
TOPICS_INTERVAL_S = 0.25
SILENT_AFTER_MS = 10_000
RETRY_AFTER_S = 1.0
READ = (KLINES, KLINES_LIVE, GAPS)
TICKS_AGENT = "ticks"


class Feed:
    """The gateway's consumer; ``open``, ``load``, ``follow`` and at last ``close``."""

    def __init__(self, settings: Settings, hub: Hub) -> None:
        self._hub = hub
        self.last = LastTrades()
        """The last trade of every symbol, where the agent ``ticks`` tells it."""
        self._bootstrap = settings.kafka_bootstrap
        self._prefix = settings.kafka_topic_prefix
        self._settings = settings
        tells_ticks = TICKS_AGENT in settings.process_agents
        self._read = (*READ, TICKS) if tells_ticks else READ
        self._topics = {self._prefix + topic.name: topic.name for topic in self._read}
        self._consumer: Any = None
        self._partitions: list[TopicPartition] = []
        self._opened_ms = 0.0

    async def open(self) -> None:
        """Connect and find the partitions; raise Misconfigured when something is not there."""
        await wait_for_broker(self._bootstrap)
        async with admin(self._bootstrap) as client:
            await self._find_partitions(client, (KLINES, KLINES_LIVE))
            await topics.ensure(self._settings, self._read[2:])
            self._partitions = await self._find_partitions(client, self._read)
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            enable_auto_commit=False,
            auto_offset_reset="earliest",  # where retention outran us, go on with what is left
            fetch_max_wait_ms=FETCH_WAIT_MS,
        )
        await self._consumer.start()
        use_fetch_sessions(self._consumer)
        self._consumer.assign(self._partitions)
        self._opened_ms = time.time() * 1_000

    async def close(self) -> None:
        """Disconnect."""
        if self._consumer is not None:
            await close_consumer(self._consumer)

    async def load(self) -> None:
        """Read the past, up to the ends that the topics have now."""
        ends = await self._consumer.end_offsets(self._partitions)
        starts = await self._consumer.beginning_offsets(self._partitions)
        for tp in self._partitions:
            past = PAST_RECORDS_PER_PARTITION[self._topics[tp.topic]]
            start = max(starts[tp], ends[tp] - past)
            self._consumer.seek(tp, start)
            if self._topics[tp.topic] == KLINES.name:
                self._hub.history.since[tp.partition] = start
        # The last trades come by and by: nobody's snapshot is made of them.
        waited = [tp for tp in self._partitions if self._topics[tp.topic] != TICKS.name]
        behind = [tp for tp in waited if ends[tp] > starts[tp]]
        while behind:
            await self._step()
            behind = [tp for tp in behind if await self._consumer.position(tp) < ends[tp]]

    async def follow(self) -> None:
        """Read what comes, for ever."""
        while True:
            await self._step()

    async def caught_up(self, partition: int) -> None:
        """Return when every candle has been taken that is stored in a partition now."""
        tp = TopicPartition(self._prefix + KLINES.name, partition)
        try:
            end = (await self._consumer.end_offsets([tp]))[tp]
            while await self._consumer.position(tp) < end:  # noqa: ASYNC110 - it is no event
                await asyncio.sleep(FETCH_WAIT_MS / 1_000)
        except KafkaError as e:
            raise Retriable(f"Kafka: {e!r}", retry_after_s=RETRY_AFTER_S) from e

    @property
    def is_silent(self) -> bool:
        """Say whether the broker has not answered for some partition for long."""
        answered_ms = min(
            self._consumer.last_poll_timestamp(tp) or self._opened_ms for tp in self._partitions
        )
        return time.time() * 1_000 - answered_ms > SILENT_AFTER_MS

    async def _find_partitions(
        self, client: AIOKafkaAdminClient, wanted: Iterable[Topic]
    ) -> list[TopicPartition]:
        deadline_s = time.monotonic() + TOPICS_WITHIN_S
        names = [self._prefix + topic.name for topic in wanted]
        while True:
            described = await client.describe_topics(names)
            missing = [each["topic"] for each in described if not each["partitions"]]
            if not missing:
                return [
                    TopicPartition(each["topic"], partition["partition"])
                    for each in described
                    for partition in each["partitions"]
                ]
            if time.monotonic() > deadline_s:
                raise Misconfigured(
                    "STREAMER_KAFKA_TOPIC_PREFIX",
                    f"there is no topic {missing[0]} at {self._bootstrap}",
                    remedy="Correct the prefix or the address, or create it: `fibstream topics`.",
                )
            await asyncio.sleep(TOPICS_INTERVAL_S)

    async def _step(self) -> None:
        polled = await self._consumer.getmany(timeout_ms=POLL_MS, max_records=POLL_RECORDS_MAX)
        now_ms = time.time_ns() // 1_000_000
        for tp, messages in polled.items():
            topic = self._topics[tp.topic]
            metrics.RECORDS.labels(topic).inc(len(messages))
            for message in messages:
                if message.value is not None:
                    self._take(topic, message, now_ms)
        await asyncio.sleep(0)  # buffered records are returned without a wait: let others run

    def _take(self, topic: str, message: Any, now_ms: int) -> None:
        try:
            if topic == GAPS.name:
                self._hub.take_gaps(message.value)
            elif topic == TICKS.name:
                self.last.take(message.value)
            else:
                offset = message.offset if topic == KLINES.name else -1
                record = candles.read(message.value, message.partition, offset)
                self._hub.accept(record, now_ms)
        except Poison as e:
            refuse(topic, message, e)
