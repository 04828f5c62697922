"""The edge to Kafka of what is wanted: three compacted topics in, control records out.

What was written is read back before it is answered, so that two gateways tell the same.
"""

import asyncio
from collections.abc import Mapping

import msgspec
import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from runtime.errors import Poison, Retriable
from runtime.follow import Follower
from runtime.settings import Settings
from schemas.control import Control, IntervalControl, is_interval_key
from schemas.streams import StreamKey
from schemas.topics import CONTROL, INSTRUMENTS, STREAMS
from sinks import topics
from sinks.gateway import metrics
from sinks.gateway.control import StreamTable
from sinks.gateway.intervals import IntervalTable

logger = structlog.get_logger(__name__)

TOPICS = (CONTROL, STREAMS, INSTRUMENTS)
ACKNOWLEDGED_WITHIN_S = 5.0
READ_BACK_WITHIN_S = 2.0
STOP_WITHIN_S = 3.0
RETRY_AFTER_S = 2.0

_encode = msgspec.json.Encoder().encode


class ControlLog:
    """``open``, ``follow`` and at last ``close``; ``write`` what is wanted."""

    def __init__(self, settings: Settings, table: StreamTable, intervals: IntervalTable) -> None:
        self._settings = settings
        self._table = table
        self._intervals = intervals
        self._names = {settings.kafka_topic_prefix + topic.name: topic.name for topic in TOPICS}
        self._control = settings.kafka_topic_prefix + CONTROL.name
        self._follower = Follower(settings.kafka_bootstrap, list(self._names), self._take)
        self._producer: AIOKafkaProducer | None = None

    async def open(self) -> None:
        """Read what is there, and get ready to write; raise Retriable while Kafka is away."""
        await topics.ensure(self._settings, TOPICS)
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
        """Keep the table up to date, for ever."""
        await self._follower.until(lambda: False)

    async def write(
        self, changes: Mapping[StreamKey, Control | None] | Mapping[str, IntervalControl | None]
    ) -> None:
        """Make the changes durable and visible here; raise Retriable when that is not certain."""
        if self._producer is None:
            raise Retriable("the gateway is starting", retry_after_s=RETRY_AFTER_S)
        try:
            async with asyncio.timeout(ACKNOWLEDGED_WITHIN_S):
                sent = [
                    await self._producer.send(
                        self._control, control and _encode(control), str(key).encode(), partition=0
                    )
                    for key, control in changes.items()
                ]
                written = await asyncio.gather(*sent)
        except (KafkaError, TimeoutError) as e:
            metrics.CONTROLS.labels("unacknowledged").inc(len(changes))
            reason = f"Kafka did not acknowledge it: {e!r}"
            raise Retriable(reason, retry_after_s=RETRY_AFTER_S) from e
        metrics.CONTROLS.labels("acknowledged").inc(len(changes))
        last = max(metadata.offset for metadata in written)
        await self._follower.reached(self._control, last, timeout_s=READ_BACK_WITHIN_S)

    def _take(self, topic: str, key: bytes | None, value: bytes | None) -> None:
        name = self._names[topic]
        try:
            if name == CONTROL.name and is_interval_key(key):
                self._intervals.take(key, value)
            else:
                self._table.take(name, key, value)
        except Poison as e:
            metrics.REFUSED.labels(name).inc()
            logger.warning("record_refused", topic=name, key=repr(key), reason=e.reason)
