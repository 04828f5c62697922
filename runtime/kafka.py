"""The edge to Kafka that every stage shares: topics, partitions, waiting, producer options.

Topics are made by the program and never changed by it: a topic of another shape is the
operator's to decide on.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog
from aiokafka import AIOKafkaClient, AIOKafkaConsumer
from aiokafka import errors as kafka_errors
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.partitioner import murmur2

from runtime.errors import Misconfigured, PipelineError, Retriable
from runtime.settings import Settings

logger = structlog.get_logger(__name__)

BOOTSTRAP = "STREAMER_KAFKA_BOOTSTRAP"
MESSAGE_BYTES_MAX = 8 << 20
# A broker that has just come back may tell its clients that there are no topics. The leader of a
# group that heard it gives nobody anything, until it hears otherwise: by default in 5 minutes.
METADATA_MAX_AGE_MS = 10_000
PROBE_TIMEOUT_S = 2.0
PROBE_INTERVAL_S = 0.25
REQUEST_TIMEOUT_MS = 30_000
TOPICS_VISIBLE_WITHIN_S = 15.0
RETRY_AFTER_S = 1.0


@dataclass(frozen=True, kw_only=True)
class TopicSpec:
    """A topic as it must be; ``config`` holds Kafka's topic settings (cleanup.policy, ...)."""

    name: str
    partitions: int
    replication: int = 1
    config: Mapping[str, str] = field(default_factory=dict)


def partition_for(key: bytes, partitions: int) -> int:
    """Return the partition that every Kafka client's default partitioner gives to ``key``."""
    return int(murmur2(key) & 0x7FFFFFFF) % partitions


def producer_options() -> dict[str, Any]:
    """Return the options of an idempotent AIOKafkaProducer that batches well."""
    return {
        "acks": "all",
        "enable_idempotence": True,
        # aiokafka packs lz4 at level 9: ten times the time of snappy for a fifth less bytes.
        "compression_type": "snappy",
        "linger_ms": 3,
        "max_batch_size": 512 << 10,
        "max_request_size": MESSAGE_BYTES_MAX,
        "request_timeout_ms": REQUEST_TIMEOUT_MS,
    }


def parse_bootstrap(bootstrap: str) -> list[tuple[str, int]]:
    """Return the brokers' addresses; raise Misconfigured for text that holds none."""
    addresses = []
    for part in bootstrap.split(","):
        host, colon, port = part.strip().rpartition(":")
        if not (host and colon and port.isascii() and port.isdigit() and 0 < int(port) < 65_536):
            raise Misconfigured(
                BOOTSTRAP,
                f"{part.strip()!r} is not the address of a broker",
                remedy="Write host:port, several with commas: kafka-1:9092,kafka-2:9092",
            )
        addresses.append((host.strip("[]"), int(port)))
    return addresses


async def answers(bootstrap: str) -> bool:
    """Say whether a broker answers for metadata at this moment."""
    return await _unanswered(bootstrap) is None


async def wait_for_broker(bootstrap: str, *, timeout_s: float = 30.0) -> None:
    """Return when a broker answers; raise Misconfigured naming the address after ``timeout_s``."""
    addresses = parse_bootstrap(bootstrap)
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + timeout_s
    while reason := await _unanswered(bootstrap):
        if loop.time() >= deadline_s:
            named = ", ".join(f"{host}:{port}" for host, port in addresses)
            raise Misconfigured(
                BOOTSTRAP,
                f"no Kafka broker answered at {named} within {timeout_s:g} s ({reason})",
                remedy="Start the broker, correct the address, or leave it empty for the embedded "
                "broker of `fibstream up`.",
            )
        await asyncio.sleep(PROBE_INTERVAL_S)


async def close_consumer(consumer: AIOKafkaConsumer) -> None:
    """Leave the group, if there is one, and disconnect."""
    # aiokafka cancels its own fetches and, while the broker is away, lets that escape before it
    # has closed its client: a task of its own keeps it from looking like our cancellation.
    stopping = asyncio.ensure_future(consumer.stop())
    await asyncio.wait([stopping])
    await consumer._client.close()  # noqa: SLF001
    with contextlib.suppress(asyncio.CancelledError, kafka_errors.KafkaError):
        stopping.result()


async def _unanswered(bootstrap: str) -> str | None:
    # A bare connection first: aiokafka logs an error for every broker that is not there yet.
    reason = "no address"
    for host, port in parse_bootstrap(bootstrap):
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                _, writer = await asyncio.open_connection(host, port)
            writer.close()
            break
        except TimeoutError:
            reason = f"no connection within {PROBE_TIMEOUT_S:g} s"
        except OSError as e:
            reason = e.strerror or str(e)
    else:
        return reason
    client = AIOKafkaClient(bootstrap_servers=bootstrap, request_timeout_ms=2_000)
    try:
        await client.bootstrap()
    except kafka_errors.KafkaError as e:
        return f"connected, but it does not speak Kafka: {e}"
    finally:
        await client.close()
    return None


class CataloguedTopic(Protocol):
    """A topic as its catalogue knows it."""

    @property
    def name(self) -> str:
        """Without the configured prefix."""

    @property
    def partitions(self) -> int | None:
        """None: as many as the settings say."""

    def settings(self, replication: int, /) -> dict[str, str]:
        """Return Kafka's configuration of it, for that many copies."""


def topic_specs(settings: Settings, topics: Iterable[CataloguedTopic]) -> list[TopicSpec]:
    """Return how the topics are made under the settings."""
    return [
        TopicSpec(
            name=settings.kafka_topic_prefix + topic.name,
            partitions=topic.partitions or settings.kafka_partitions,
            replication=settings.kafka_replication,
            config=topic.settings(settings.kafka_replication),
        )
        for topic in topics
    ]


async def ensure_topics(bootstrap: str, specs: Iterable[TopicSpec]) -> list[str]:
    """Create the topics that are missing and return their names, once they can be used.

    Raise Misconfigured when one exists with another number of partitions: keys would move.
    """
    wanted = {spec.name: spec for spec in specs}
    async with admin(bootstrap) as client:
        present = _partitions(await client.describe_topics())
        missing = [spec for spec in wanted.values() if spec.name not in present]
        if missing:
            await _create(client, missing)
        present = await _visible(client, wanted.keys())
    for spec in wanted.values():
        if present[spec.name] != spec.partitions:
            raise Misconfigured(
                "STREAMER_KAFKA_PARTITIONS",
                f"topic {spec.name} has {present[spec.name]} partitions, not {spec.partitions}",
                remedy=f"Set it to {present[spec.name]}, or use another "
                "STREAMER_KAFKA_TOPIC_PREFIX; a topic is never changed, because keys would move.",
            )
    created = [spec.name for spec in missing]
    if created:
        logger.info("topics_created", topics=created)
    return created


@asynccontextmanager
async def admin(bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    """Open an admin client; aiokafka's connection errors leave it as Retriable."""
    parse_bootstrap(bootstrap)
    client = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=REQUEST_TIMEOUT_MS)
    try:
        await client.start()
        yield client
    except (kafka_errors.KafkaConnectionError, kafka_errors.RequestTimedOutError) as e:
        raise Retriable(f"Kafka at {bootstrap}: {e}", retry_after_s=RETRY_AFTER_S) from e
    except TimeoutError as e:
        raise Retriable(f"Kafka at {bootstrap}: too slow", retry_after_s=RETRY_AFTER_S) from e
    finally:
        await client.close()


async def _create(client: AIOKafkaAdminClient, specs: list[TopicSpec]) -> None:
    response = await client.create_topics(
        [
            NewTopic(spec.name, spec.partitions, spec.replication, topic_configs=dict(spec.config))
            for spec in specs
        ]
    )
    for topic, code, *message in response.topic_errors:
        # Another process may have been faster; what it made is checked like any other.
        if code not in (0, kafka_errors.TopicAlreadyExistsError.errno):
            raise _refused(topic, kafka_errors.for_code(code), message[0] if message else "")


async def _visible(client: AIOKafkaAdminClient, names: Collection[str]) -> dict[str, int]:
    async with asyncio.timeout(TOPICS_VISIBLE_WITHIN_S):
        while True:
            present = _partitions(await client.describe_topics())
            if present.keys() >= set(names):
                return present
            await asyncio.sleep(PROBE_INTERVAL_S)


def _refused(topic: str, kind: type[kafka_errors.KafkaError], message: str | None) -> PipelineError:
    problem = f"Kafka refuses to create topic {topic}: {message or kind.__name__}"
    if kind is kafka_errors.InvalidReplicationFactorError:
        remedy = "Set it to at most the number of brokers."
        return Misconfigured("STREAMER_KAFKA_REPLICATION", problem, remedy=remedy)
    if kind is kafka_errors.InvalidTopicError:
        remedy = "Use letters, digits, dots, dashes and underscores."
        return Misconfigured("STREAMER_KAFKA_TOPIC_PREFIX", problem, remedy=remedy)
    if kind.retriable:
        return Retriable(problem, retry_after_s=RETRY_AFTER_S)
    remedy = "Let this user create topics, or create them by hand (`fibstream topics` lists them)."
    return Misconfigured(BOOTSTRAP, problem, remedy=remedy)


def _partitions(topics: list[dict[str, Any]]) -> dict[str, int]:
    return {
        topic["topic"]: len(topic["partitions"])
        for topic in topics
        if topic["error_code"] == 0
        and topic["partitions"]
        and all(partition["leader"] >= 0 for partition in topic["partitions"])
    }
