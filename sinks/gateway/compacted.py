"""Compacted topics that all gateways share: followed from their beginning, and written.

What was written is read back before it is answered, so that two gateways tell the same.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from runtime.errors import Poison, Retriable
from runtime.follow import Follower
from runtime.settings import Settings
from schemas.topics import Topic
from sinks import topics
from sinks.gateway import metrics

logger = structlog.get_logger(__name__)

ACKNOWLEDGED_WITHIN_S = 5.0
READ_BACK_WITHIN_S = 2.0
STOP_WITHIN_S = 3.0
RETRY_AFTER_S = 2.0

Take = Callable[[str, bytes | None, bytes | None], None]
"""Name of the topic in the catalogue, key, value (None: no more); may raise Poison."""


class CompactedLog:
    """``open``, ``follow`` and at last ``close``; ``append`` what is new, and ``read_back``.

    ``follows`` are read into ``take``; ``appends`` are only written. Each has one partition.
    """

    def __init__(
        self,
        settings: Settings,
        follows: Sequence[Topic],
        take: Take,
        *,
        appends: Sequence[Topic] = (),
    ) -> None:
        self._settings = settings
        self._topics = (*follows, *appends)
        self._names = {self._name(topic): topic.name for topic in follows}
        self._take = take
        self._follower = Follower(settings.kafka_bootstrap, list(self._names), self._taken)
        self._producer: AIOKafkaProducer | None = None

    async def open(self) -> None:
        """Read what is there, and get ready to write; raise Retriable while Kafka is away."""
        await topics.ensure(self._settings, self._topics)
        await self._follower.__aenter__()
        await self._follower.ready()
        self._producer = AIOKafkaProducer(
            bootstrap_servers=self._settings.kafka_bootstrap,
            acks="all",
            linger_ms=0,
            request_timeout_ms=int(ACKNOWLEDGED_WITHIN_S * 1_000),
        )
        try:
            await self._producer.start()
        except KafkaError as e:
            raise Retriable(f"Kafka: {e!r}", retry_after_s=RETRY_AFTER_S) from e

    async def close(self) -> None:
        """Disconnect."""
        await self._follower.__aexit__(None, None, None)
        if self._producer is not None:
            stopping = asyncio.ensure_future(self._producer.stop())
            await asyncio.wait([stopping], timeout=STOP_WITHIN_S)
            stopping.cancel()

    async def follow(self) -> None:
        """Keep what was read up to date, for ever."""
        await self._follower.until(lambda: False)

    async def append(self, topic: Topic, records: Iterable[tuple[str | None, bytes | None]]) -> int:
        """Make records durable; return the last offset, or raise Retriable."""
        if self._producer is None:
            raise Retriable("the gateway is starting", retry_after_s=RETRY_AFTER_S)
        name = self._name(topic)
        try:
            async with asyncio.timeout(ACKNOWLEDGED_WITHIN_S):
                sent = [
                    await self._producer.send(name, value, key and key.encode(), partition=0)
                    for key, value in records
                ]
                written = await asyncio.gather(*sent)
        except (KafkaError, TimeoutError) as e:
            reason = f"Kafka did not acknowledge it: {e!r}"
            raise Retriable(reason, retry_after_s=RETRY_AFTER_S) from e
        return max((metadata.offset for metadata in written), default=-1)

    async def read_back(self, topic: Topic, offset: int) -> None:
        """Return when the record at an offset is known here; raise Retriable after a while."""
        await self._follower.reached(self._name(topic), offset, timeout_s=READ_BACK_WITHIN_S)

    def _name(self, topic: Topic) -> str:
        return self._settings.kafka_topic_prefix + topic.name

    def _taken(self, topic: str, key: bytes | None, value: bytes | None) -> None:
        name = self._names[topic]
        try:
            self._take(name, key, value)
        except Poison as e:
            metrics.REFUSED.labels(name).inc()
            logger.warning("record_refused", topic=name, key=repr(key), reason=e.reason)
