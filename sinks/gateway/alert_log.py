"""The edge to Kafka of alerts: rules and states in, rules out, read back before it is answered."""

import asyncio
from collections.abc import Mapping

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from runtime.errors import Poison, Retriable
from runtime.follow import Follower
from runtime.settings import Settings
from schemas.alerts import Rule, encode_alert
from schemas.topics import ALERT_STATES, ALERTS
from sinks import topics
from sinks.gateway import metrics
from sinks.gateway.alert_rules import AlertTable

logger = structlog.get_logger(__name__)

TOPICS = (ALERTS, ALERT_STATES)
ACKNOWLEDGED_WITHIN_S = 5.0
READ_BACK_WITHIN_S = 2.0
STOP_WITHIN_S = 3.0
RETRY_AFTER_S = 2.0


class AlertLog:
    """``open``, ``follow`` and at last ``close``; ``write`` rules (None: no more)."""

    def __init__(self, settings: Settings, table: AlertTable) -> None:
        self._settings = settings
        self._table = table
        self._names = {settings.kafka_topic_prefix + topic.name: topic.name for topic in TOPICS}
        self._rules = settings.kafka_topic_prefix + ALERTS.name
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

    async def write(self, changes: Mapping[str, Rule | None]) -> None:
        """Make rules durable and visible here; raise Retriable when that is not certain."""
        if self._producer is None:
            raise Retriable("the gateway is starting", retry_after_s=RETRY_AFTER_S)
        last = -1
        try:
            async with asyncio.timeout(ACKNOWLEDGED_WITHIN_S):
                for rule_id, rule in changes.items():
                    value = None if rule is None else encode_alert(rule)
                    written = await self._producer.send_and_wait(
                        self._rules, value, rule_id.encode(), partition=0
                    )
                    last = written.offset
        except (KafkaError, TimeoutError) as e:
            reason = f"Kafka did not acknowledge it: {e!r}"
            raise Retriable(reason, retry_after_s=RETRY_AFTER_S) from e
        await self._follower.reached(self._rules, last, timeout_s=READ_BACK_WITHIN_S)

    def _take(self, topic: str, key: bytes | None, value: bytes | None) -> None:
        name = self._names[topic]
        try:
            self._table.take(name, key, value)
        except Poison as e:
            metrics.REFUSED.labels(name).inc()
            logger.warning("record_refused", topic=name, key=repr(key), reason=e.reason)
