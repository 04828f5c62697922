"""The edge to Kafka: the compacted topic of keys in and out, and audit entries out.

What was written is read back before it is answered, so that two gateways tell the same.
"""

import asyncio

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from runtime.errors import Poison, Retriable
from runtime.follow import Follower
from runtime.settings import Settings
from schemas.keys import ApiKey, AuditEntry, encode_audit, encode_key
from schemas.topics import AUDIT, KEYS
from sinks import topics
from sinks.gateway.security import metrics
from sinks.gateway.security.keys import KeyTable

logger = structlog.get_logger(__name__)

ACKNOWLEDGED_WITHIN_S = 5.0
READ_BACK_WITHIN_S = 2.0
STOP_WITHIN_S = 3.0
RETRY_AFTER_S = 2.0
ENTRIES_PENDING_MAX = 1_000


class KeyLog:
    """``open``, ``follow`` and at last ``close``; ``write`` keys, ``append`` audit entries."""

    def __init__(self, settings: Settings, table: KeyTable) -> None:
        self._settings = settings
        self._table = table
        self._keys = settings.kafka_topic_prefix + KEYS.name
        self._audit = settings.kafka_topic_prefix + AUDIT.name
        self._follower = Follower(settings.kafka_bootstrap, [self._keys], self._take)
        self._producer: AIOKafkaProducer | None = None
        self._pending: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Read what is there, and get ready to write; raise Retriable while Kafka is away."""
        await topics.ensure(self._settings, (KEYS, AUDIT))
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
        """Disconnect, after what is pending or a while."""
        await self._follower.__aexit__(None, None, None)
        if self._pending:
            await asyncio.wait(self._pending, timeout=STOP_WITHIN_S)
        if self._producer is not None:
            stopping = asyncio.ensure_future(self._producer.stop())
            await asyncio.wait([stopping], timeout=STOP_WITHIN_S)
            stopping.cancel()

    async def follow(self) -> None:
        """Keep the table up to date, for ever."""
        await self._follower.until(lambda: False)

    async def write(self, key: ApiKey) -> None:
        """Make a key durable and known here; raise Retriable when that is not certain."""
        offset = await self._send(self._keys, encode_key(key), key.id.encode())
        await self._follower.reached(self._keys, offset, timeout_s=READ_BACK_WITHIN_S)

    async def append(self, entry: AuditEntry) -> None:
        """Write an audit entry without a wait for it."""
        if len(self._pending) >= ENTRIES_PENDING_MAX:
            metrics.UNAUDITED.inc()
            return
        task = asyncio.create_task(self._append(entry))
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)

    async def _append(self, entry: AuditEntry) -> None:
        try:
            await self._send(self._audit, encode_audit(entry), None)
        except Retriable as e:
            metrics.UNAUDITED.inc()
            logger.warning("audit_unwritten", reason=e.reason)

    async def _send(self, topic: str, value: bytes, key: bytes | None) -> int:
        if self._producer is None:
            raise Retriable("the gateway is starting", retry_after_s=RETRY_AFTER_S)
        try:
            async with asyncio.timeout(ACKNOWLEDGED_WITHIN_S):
                written = await self._producer.send_and_wait(topic, value, key, partition=0)
        except (KafkaError, TimeoutError) as e:
            reason = f"Kafka did not acknowledge it: {e!r}"
            raise Retriable(reason, retry_after_s=RETRY_AFTER_S) from e
        offset: int = written.offset
        return offset

    def _take(self, _topic: str, key: bytes | None, value: bytes | None) -> None:
        try:
            self._table.take(key, value)
        except Poison as e:
            logger.warning("record_refused", topic=self._keys, reason=e.reason)
