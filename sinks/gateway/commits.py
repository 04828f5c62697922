"""How far the warehouse is: what its sink has committed of ``md.klines.v1``, asked when needed."""

import asyncio

from aiokafka import TopicPartition
from aiokafka import errors as kafka_errors
from aiokafka.admin import AIOKafkaAdminClient

from runtime.errors import Retriable
from runtime.kafka import partition_for
from runtime.settings import Settings
from schemas.topics import KLINES, symbol_key
from sinks.gateway.protocol import Key

SINK_GROUP = "fibstream.sink.clickhouse"
ASK_INTERVAL_S = 0.1
RETRY_AFTER_S = 1.0
REQUEST_TIMEOUT_MS = 3_000


class Commits:
    """``open``, then ``reached`` as often as one likes, at last ``close``."""

    def __init__(self, settings: Settings) -> None:
        self._group = settings.kafka_topic_prefix + SINK_GROUP
        self._topic = settings.kafka_topic_prefix + KLINES.name
        self._client = AIOKafkaAdminClient(
            bootstrap_servers=settings.kafka_bootstrap, request_timeout_ms=REQUEST_TIMEOUT_MS
        )
        self._done: dict[int, int] = {}
        self._asked_s = 0.0
        self._turn = asyncio.Lock()

    async def open(self) -> None:
        """Connect; raise Retriable while Kafka is away."""
        try:
            await self._client.start()
        except kafka_errors.KafkaError as e:
            raise Retriable(f"Kafka: {e!r}", retry_after_s=RETRY_AFTER_S) from e

    async def close(self) -> None:
        """Disconnect."""
        await self._client.close()

    def partition_of(self, key: Key, partitions: int) -> int:
        """Return the partition of a series that was never read here."""
        return partition_for(symbol_key(*key[:3]), partitions)

    async def reached(self, partition: int, offset: int) -> None:
        """Return when all records before ``offset`` are in the warehouse; raise Retriable."""
        while self._done.get(partition, 0) < offset:
            async with self._turn:  # one question answers all who wait
                wait_s = self._asked_s + ASK_INTERVAL_S - asyncio.get_running_loop().time()
                if wait_s > 0:
                    await asyncio.sleep(wait_s)
                if self._done.get(partition, 0) < offset:
                    await self._ask()

    async def _ask(self) -> None:
        try:
            found = await self._client.list_consumer_group_offsets(self._group)
        except (kafka_errors.KafkaError, TimeoutError) as e:
            raise Retriable(f"Kafka: {e!r}", retry_after_s=RETRY_AFTER_S) from e
        finally:
            self._asked_s = asyncio.get_running_loop().time()
        self._done = {
            tp.partition: committed.offset
            for tp, committed in found.items()
            if isinstance(tp, TopicPartition) and tp.topic == self._topic
        }
