"""Candle records from Kafka into the hub, without a consumer group: a gateway reads everything.

First the past, as far back as a bounded number of records reaches, then whatever comes.
"""

import asyncio
import time
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from runtime.errors import Misconfigured, Poison
from runtime.kafka import admin, close_consumer, wait_for_broker
from runtime.settings import Settings
from schemas.topics import KLINES, KLINES_LIVE
from sinks.gateway import candles, metrics
from sinks.gateway.hub import Hub

logger = structlog.get_logger(__name__)

PAST_RECORDS_PER_PARTITION = {KLINES.name: 30_000, KLINES_LIVE.name: 1_000}
POLL_RECORDS_MAX = 1_000  # a few milliseconds of work, then clients get their turn
POLL_MS = 1_000
FETCH_WAIT_MS = 20  # one fetch waits for all partitions of a broker: keep that wait short
TOPICS_WITHIN_S = 30.0
TOPICS_INTERVAL_S = 0.25
SILENT_AFTER_MS = 10_000


class Feed:
    """The gateway's consumer; ``open``, ``load``, ``follow`` and at last ``close``."""

    def __init__(self, settings: Settings, hub: Hub) -> None:
        self._hub = hub
        self._bootstrap = settings.kafka_bootstrap
        self._prefix = settings.kafka_topic_prefix
        self._topics = {self._prefix + topic.name: topic.name for topic in (KLINES, KLINES_LIVE)}
        self._consumer: Any = None
        self._partitions: list[TopicPartition] = []
        self._opened_ms = 0.0

    async def open(self) -> None:
        """Connect and find the partitions; raise Misconfigured when something is not there."""
        await wait_for_broker(self._bootstrap)
        async with admin(self._bootstrap) as client:
            self._partitions = await self._find_partitions(client)
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            enable_auto_commit=False,
            auto_offset_reset="earliest",  # where retention outran us, go on with what is left
            fetch_max_wait_ms=FETCH_WAIT_MS,
        )
        await self._consumer.start()
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
            self._consumer.seek(tp, max(starts[tp], ends[tp] - past))
        behind = [tp for tp in self._partitions if ends[tp] > starts[tp]]
        while behind:
            await self._step()
            behind = [tp for tp in behind if await self._consumer.position(tp) < ends[tp]]

    async def follow(self) -> None:
        """Read what comes, for ever."""
        while True:
            await self._step()

    @property
    def is_silent(self) -> bool:
        """Say whether the broker has not answered for some partition for long."""
        answered_ms = min(
            self._consumer.last_poll_timestamp(tp) or self._opened_ms for tp in self._partitions
        )
        return time.time() * 1_000 - answered_ms > SILENT_AFTER_MS

    async def _find_partitions(self, client: AIOKafkaAdminClient) -> list[TopicPartition]:
        deadline_s = time.monotonic() + TOPICS_WITHIN_S
        while True:
            topics = await client.describe_topics(list(self._topics))
            missing = [each["topic"] for each in topics if not each["partitions"]]
            if not missing:
                return [
                    TopicPartition(each["topic"], partition["partition"])
                    for each in topics
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
            record = candles.read(message.value)
        except Poison as e:
            metrics.REFUSED.labels(topic).inc()
            logger.warning(
                "record_refused",
                topic=topic,
                partition=message.partition,
                offset=message.offset,
                reason=e.reason,
            )
            return
        self._hub.accept(record, now_ms)
