"""A broker of one benchmark, and the trades put on it before the clock starts."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from aiokafka import AIOKafkaProducer

from fibstream.bench.load import Record
from fibstream.topics import create_topics
from runtime.kafka import producer_options
from runtime.ports import free_port
from runtime.servers.kafka import EmbeddedKafka
from runtime.settings import Settings
from schemas.topics import TRADES

FREE_MB_MIN = 2_048
LINGER_MS = 20


@asynccontextmanager
async def own_broker(
    settings: Settings, partitions: int, *, free_mb_min: int = FREE_MB_MIN
) -> AsyncIterator[Settings]:
    """Yield the settings for an empty broker that goes with the benchmark."""
    kafka = EmbeddedKafka(None, heap_mb=settings.kafka_heap_mb, min_free_mb=free_mb_min)
    with TemporaryDirectory(prefix="fibstream-bench-") as folder:
        try:
            yield settings.model_copy(
                update={
                    "kafka_bootstrap": await kafka.start(),
                    "kafka_partitions": partitions,
                    "data_dir": Path(folder),
                    "metrics_port": free_port(),
                }
            )
        finally:
            await kafka.stop()


@asynccontextmanager
async def producing(bootstrap: str) -> AsyncIterator[AIOKafkaProducer]:
    """Yield a producer for a load; leaving waits until everything is stored."""
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, **producer_options() | {"linger_ms": LINGER_MS}
    )
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def produce(settings: Settings, records: Iterable[Record], prefixes: Sequence[str]) -> int:
    """Put the records on the trades topic of every prefix; return how many trades each has."""
    for prefix in prefixes:
        await create_topics(settings.model_copy(update={"kafka_topic_prefix": prefix}))
    produced = 0
    async with producing(settings.kafka_bootstrap) as producer:
        for record in records:
            for prefix in prefixes:
                await producer.send(prefix + TRADES.name, record.value, partition=record.partition)
            produced += record.trades
    return produced
