"""The end of a topic, read once, without a group and without committing.

Reading stops at the end offsets of the moment it began; later records are the worker's.
"""

import time
from collections.abc import AsyncIterator

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka import errors as kafka_errors

from runtime.errors import Retriable
from runtime.kafka import close_consumer
from runtime.settings import Settings
from schemas.topics import Topic
from sinks.base import Record

logger = structlog.get_logger(__name__)

FETCH_RECORDS_MAX = 5_000
QUIET_S_MAX = 10.0  # a log whose last records were compacted away never reaches its end offset
RETRY_AFTER_S = 1.0


async def read_tail(
    settings: Settings,
    topic: Topic,
    *,
    age_s_max: float | None = None,
    records_max: int | None = None,
) -> AsyncIterator[list[Record]]:
    """Yield what each partition holds, at most ``age_s_max`` old and ``records_max`` many."""
    name = settings.kafka_topic_prefix + topic.name
    consumer = AIOKafkaConsumer(  # without a group it is assigned every partition
        name,
        bootstrap_servers=settings.kafka_bootstrap,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=4 << 20,
    )
    try:
        await consumer.start()
        ends = await _seek(consumer, list(consumer.assignment()), age_s_max, records_max)
        quiet_since_s = time.monotonic()
        while ends and time.monotonic() - quiet_since_s < QUIET_S_MAX:
            polled = await consumer.getmany(*ends, timeout_ms=200, max_records=FETCH_RECORDS_MAX)
            for tp in list(ends):
                if await consumer.position(tp) >= ends[tp]:
                    del ends[tp]
            if polled:
                quiet_since_s = time.monotonic()
                yield [
                    Record(topic.name, m.partition, m.offset, m.timestamp, m.value)
                    for messages in polled.values()
                    for m in messages
                    if m.value is not None
                ]
        if ends:
            logger.warning("tail_unfinished", topic=name, partitions=len(ends))
    except kafka_errors.KafkaError as e:
        if e.retriable:
            raise Retriable(f"Kafka: {e!r}", retry_after_s=RETRY_AFTER_S) from e
        raise
    finally:
        await close_consumer(consumer)


async def _seek(
    consumer: AIOKafkaConsumer,
    partitions: list[TopicPartition],
    age_s_max: float | None,
    records_max: int | None,
) -> dict[TopicPartition, int]:
    starts: dict[TopicPartition, int] = await consumer.beginning_offsets(partitions)
    ends: dict[TopicPartition, int] = await consumer.end_offsets(partitions)
    if age_s_max is not None:
        since_ms = int((time.time() - age_s_max) * 1_000)
        found = await consumer.offsets_for_times(dict.fromkeys(partitions, since_ms))
        starts = {
            tp: max(at, found[tp].offset if found[tp] else ends[tp]) for tp, at in starts.items()
        }
    if records_max is not None:
        starts = {tp: max(at, ends[tp] - records_max) for tp, at in starts.items()}
    for tp in partitions:
        consumer.seek(tp, starts[tp])
    return {tp: end for tp, end in ends.items() if end > starts[tp]}
