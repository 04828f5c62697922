"""The edge to Kafka of rules and states: both read at the start, rules followed, states written."""

import asyncio
from collections.abc import Callable, Iterable, Mapping

import msgspec
import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from runtime.errors import Retriable
from runtime.follow import Follower
from runtime.kafka import producer_options
from runtime.settings import Settings
from schemas.alerts import AlertState, Rule, decode_alert_state, decode_rule, encode_alert
from schemas.control import decode_stream_status
from schemas.dead_letters import DeadLetter, encode_dead_letter
from schemas.streams import stream_key
from schemas.topics import ALERT_STATES, ALERTS, DEAD_LETTERS, STREAMS
from sinks import topics
from sinks.alerts import metrics
from sinks.alerts.machine import Key, Machine

logger = structlog.get_logger(__name__)

TOPICS = (ALERTS, ALERT_STATES, STREAMS)
STOP_WITHIN_S = 3.0
RETRY_AFTER_S = 1.0


class Journal:
    """``open``, then ``store`` and ``bury``; rules and streams reach the machine by themselves."""

    def __init__(self, settings: Settings, machine: Machine, changed: Callable[[], None]) -> None:
        self._settings = settings
        self._machine = machine
        self._changed = changed
        self._is_loaded = False
        self._rules: dict[str, Rule] = {}
        self._states: dict[str, AlertState] = {}
        self._names = {settings.kafka_topic_prefix + topic.name: topic.name for topic in TOPICS}
        self._follower = Follower(settings.kafka_bootstrap, list(self._names), self._take)
        self._producer = AIOKafkaProducer(
            bootstrap_servers=settings.kafka_bootstrap, **producer_options()
        )

    async def open(self) -> None:
        """Load what is stored; raise Retriable while Kafka is away."""
        await topics.ensure(self._settings, (*TOPICS, DEAD_LETTERS))
        await self._follower.__aenter__()
        await self._follower.ready()
        self._machine.load(self._rules.values(), self._states.values())
        self._is_loaded = True
        self._changed()
        try:
            await self._producer.start()
        except KafkaError as e:
            raise Retriable(f"Kafka: {e!r}", retry_after_s=RETRY_AFTER_S) from e

    async def close(self) -> None:
        """Disconnect."""
        await self._follower.__aexit__(None, None, None)
        stopping = asyncio.ensure_future(self._producer.stop())
        await asyncio.wait([stopping], timeout=STOP_WITHIN_S)
        stopping.cancel()

    def check(self) -> None:
        """Raise what ended the reading."""
        self._follower.check()

    async def store(self, changes: Mapping[Key, AlertState | None]) -> None:
        """Make states durable; raise Retriable while Kafka is away, then store them again."""
        name = self._settings.kafka_topic_prefix + ALERT_STATES.name
        await self._send(
            (name, None if state is None else encode_alert(state), f"{rule}|{subject}".encode())
            for (rule, subject), state in changes.items()
        )

    async def bury(self, letters: list[DeadLetter]) -> None:
        """Make dead letters durable; raise Retriable while Kafka is away."""
        name = self._settings.kafka_topic_prefix + DEAD_LETTERS.name
        await self._send((name, encode_dead_letter(letter), None) for letter in letters)

    async def _send(self, records: Iterable[tuple[str, bytes | None, bytes | None]]) -> None:
        try:
            sent = [
                await self._producer.send(name, value, key, partition=0)
                for name, value, key in records
            ]
            await asyncio.gather(*sent)
        except KafkaError as e:
            raise Retriable(f"Kafka: {e!r}", retry_after_s=RETRY_AFTER_S) from e

    def _take(self, topic: str, key: bytes | None, value: bytes | None) -> None:
        name, text = self._names[topic], (key or b"").decode(errors="replace")
        try:
            if name == ALERTS.name:
                self._take_rule(text, value)
            elif name == STREAMS.name:
                status = None if value is None else decode_stream_status(value)
                self._machine.streams.take(stream_key(text), status)
            elif not self._is_loaded:  # later ones are what was written here
                self._states.pop(text, None)
                if value is not None:
                    self._states[text] = decode_alert_state(value)
        except (msgspec.MsgspecError, ValueError) as e:
            metrics.REFUSED.labels(name).inc()
            logger.warning("record_refused", topic=name, key=text, reason=str(e))

    def _take_rule(self, rule_id: str, value: bytes | None) -> None:
        rule = None if value is None else decode_rule(value)
        if not self._is_loaded:
            self._rules.pop(rule_id, None)
            if rule is not None:
                self._rules[rule_id] = rule
            return
        if rule is None:
            self._machine.drop(rule_id)
        else:
            self._machine.put(rule)
        self._changed()
