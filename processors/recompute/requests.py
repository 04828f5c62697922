"""The requests: a consumer group of its own, and how far the warehouse's sink has come.

Offsets are committed once the candles are acknowledged: a crash asks again, and what is published
twice is the same.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka import errors as kafka_errors

from processors.recompute import metrics
from processors.recompute.plan import Asked
from runtime.errors import Poison, Retriable
from runtime.kafka import METADATA_MAX_AGE_MS, close_consumer
from runtime.settings import Settings
from schemas.recompute import decode_recompute
from schemas.topics import RECOMPUTE, TRADES

logger = structlog.get_logger(__name__)

GROUP = "fibstream.recompute"
SINK_GROUP = "fibstream.sink.clickhouse"  # it commits after it has written
POLL_MS = 200
RECORDS_MAX = 1_000  # of a batch: overlapping spans among them are read once
SESSION_TIMEOUT_MS = 6_000
# Heartbeats tell that the process lives; a long span is computed between two polls.
POLL_INTERVAL_MS_MAX = 3_600_000
RETRY_AFTER_S = 1.0


class Batch(NamedTuple):
    """What was read at once, what could not be read, and where reading goes on."""

    asked: Mapping[int, Sequence[Asked]]
    """By partition, which is that of the trades too."""
    poison: Sequence[Poison]
    next_offsets: Mapping[TopicPartition, int]

    @property
    def needs(self) -> dict[int, int]:
        """Return by partition of the trades which record must be in the warehouse."""
        return {at: max(one.rev for one in asked) for at, asked in self.asked.items() if asked}


class Requests:
    """Reads ``md.recompute.v1``."""

    def __init__(self, settings: Settings) -> None:
        self._topic = settings.kafka_topic_prefix + RECOMPUTE.name
        self._trades = settings.kafka_topic_prefix + TRADES.name
        options: dict[str, Any] = {
            "bootstrap_servers": settings.kafka_bootstrap,
            "enable_auto_commit": False,
            "auto_offset_reset": "earliest",
            "metadata_max_age_ms": METADATA_MAX_AGE_MS,
        }
        self._consumer = AIOKafkaConsumer(
            self._topic,
            group_id=settings.kafka_topic_prefix + GROUP,
            session_timeout_ms=SESSION_TIMEOUT_MS,
            heartbeat_interval_ms=SESSION_TIMEOUT_MS // 3,
            max_poll_interval_ms=POLL_INTERVAL_MS_MAX,
            **options,
        )
        # Never subscribed: it asks for the commits of that group, and is no member of it.
        self._sink = AIOKafkaConsumer(group_id=settings.kafka_topic_prefix + SINK_GROUP, **options)

    async def open(self) -> None:
        """Join the group."""
        await self._consumer.start()
        await self._sink.start()

    async def close(self) -> None:
        """Leave the group at once."""
        await close_consumer(self._consumer)
        await close_consumer(self._sink)

    async def next_batch(self) -> Batch | None:
        """Return what waits, or None after a quiet moment."""
        polled = await self._consumer.getmany(timeout_ms=POLL_MS, max_records=RECORDS_MAX)
        if not polled:
            return None
        asked: dict[int, list[Asked]] = {}
        poison: list[Poison] = []
        ends: dict[TopicPartition, int] = {}
        for tp, messages in polled.items():
            ends[tp] = messages[-1].offset + 1
            metrics.lag.labels(tp.partition).set(
                max(0, (self._consumer.highwater(tp) or 0) - messages[0].offset)
            )
            for message in messages:
                try:
                    asked.setdefault(tp.partition, []).extend(read(message.value or b""))
                except Poison as e:
                    logger.warning("request_unreadable", offset=message.offset, reason=e.reason)
                    poison.append(e)
        return Batch(asked, poison, ends)

    async def commit(self, batch: Batch) -> None:
        """Note that a batch is done; what was lost to another meanwhile is its to repeat."""
        mine = self._consumer.assignment()
        offsets = {tp: end for tp, end in batch.next_offsets.items() if tp in mine}
        try:
            if offsets:
                await self._consumer.commit(offsets)
        except (kafka_errors.CommitFailedError, kafka_errors.IllegalStateError) as e:
            logger.warning("commit_outrun", reason=str(e))
        except kafka_errors.KafkaError as e:
            raise sorted_error(e) from e
        for tp, end in batch.next_offsets.items():
            metrics.lag.labels(tp.partition).set(max(0, (self._consumer.highwater(tp) or 0) - end))

    async def unwritten(self, needs: Mapping[int, int]) -> dict[int, int]:
        """Return which of these records of the trades topic are not in the warehouse yet."""
        try:
            return {
                partition: offset
                for partition, offset in needs.items()
                if (await self._sink.committed(TopicPartition(self._trades, partition)) or 0)
                <= offset
            }
        except kafka_errors.KafkaError as e:
            raise sorted_error(e) from e


def read(value: bytes) -> Iterable[Asked]:
    """Return what one record asks for; raise Poison."""
    try:
        envelope = decode_recompute(value)
    except msgspec.MsgspecError as e:
        raise Poison(f"recompute: {e}", payload=value) from e
    return [
        Asked(
            envelope.exchange,
            envelope.channel,
            row.symbol,
            row.ids,
            min(row.from_ms, row.to_ms),
            max(row.from_ms, row.to_ms),
            row.rev,
        )
        for row in envelope.data
    ]


def sorted_error(e: Exception) -> Exception:
    """Return Retriable for what Kafka lets try again, else the error itself."""
    if getattr(e, "retriable", False):
        return Retriable(f"Kafka: {e!r}", retry_after_s=RETRY_AFTER_S)
    return e
