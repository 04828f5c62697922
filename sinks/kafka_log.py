"""The log of a sink on Kafka: a consumer group, manual commits, and the dead-letter producer.

Partitions are held by pausing them and polling on: a consumer that does not poll is expelled
(``max.poll.interval.ms``), and its successor would hit the same closed door.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka import errors as kafka_errors

from runtime.errors import Retriable
from runtime.fetch_session import use_fetch_sessions
from runtime.kafka import METADATA_MAX_AGE_MS, close_consumer, producer_options
from runtime.settings import Settings
from schemas.dead_letters import DeadLetter, encode_dead_letter
from schemas.topics import DEAD_LETTERS
from sinks import metrics
from sinks.base import Batch, Record, Refused, Sink

logger = structlog.get_logger(__name__)

POLL_MS = 200  # how long a quiet log keeps the loop from noticing the stop event
# A broker keeps an idle fetch open for this long, and partitions drained meanwhile wait for it.
FETCH_WAIT_MS_MIN = 20
FETCH_WAIT_MS_MAX = 100
# Who gathers for a while anyway need not be woken for every record: each fetch costs this process,
# and more the broker, whatever it brings.
GATHERED_BYTES_MIN = 64 << 10
PARTITION_FETCH_BYTES_MAX = 2 << 20
SESSION_TIMEOUT_MS = 6_000  # the least a broker allows: after kill -9 the group waits this long
LAG_INTERVAL_S = 1.0
ANSWER_WITHIN_S = 2.0
RETRY_AFTER_S = 1.0
# A dead letter in base64 must pass any broker's default of 1 MB; the whole record is at its source.
LETTER_BYTES_MAX = 600 << 10
REASON_CHARS_MAX = 1_000


class KafkaLog:
    """Batches of one consumer group."""

    def __init__(self, sink: Sink, settings: Settings) -> None:
        self._name = sink.name
        self._sink = sink
        self._prefix = settings.kafka_topic_prefix
        self._topics = {self._prefix + topic.name: topic.name for topic in sink.topics}
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=settings.kafka_bootstrap,
            group_id=f"{self._prefix}fibstream.sink.{sink.name}",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            metadata_max_age_ms=METADATA_MAX_AGE_MS,
            fetch_max_wait_ms=min(max(sink.limits.linger_ms, FETCH_WAIT_MS_MIN), FETCH_WAIT_MS_MAX),
            fetch_min_bytes=GATHERED_BYTES_MIN if sink.limits.linger_ms else 1,
            max_partition_fetch_bytes=PARTITION_FETCH_BYTES_MAX,
            session_timeout_ms=SESSION_TIMEOUT_MS,
            heartbeat_interval_ms=SESSION_TIMEOUT_MS // 3,
        )
        self._producer = AIOKafkaProducer(
            bootstrap_servers=settings.kafka_bootstrap, **producer_options()
        )
        self._committed: dict[TopicPartition, int] = {}
        self._done: dict[TopicPartition, int] = {}  # and not committed yet
        self._commit_at_s = 0.0
        self._lag_shown_s = 0.0

    async def open(self) -> None:
        """Join the group and return once partitions are assigned (none is an assignment too)."""
        await self._producer.start()
        await self._consumer.start()
        use_fetch_sessions(self._consumer)
        listener = _Listener(self._on_assigned)
        self._consumer.subscribe(list(self._topics), listener=listener)
        await listener.assigned.wait()

    async def close(self) -> None:
        """Commit what is done, and leave the group: others need not wait for a timeout."""
        with suppress(kafka_errors.KafkaError):
            await self._try_commit()
        await close_consumer(self._consumer)
        await self._producer.stop()

    async def next_batch(self) -> Batch | None:
        """Return what came until a limit was reached, or None after a quiet moment."""
        limits = self._sink.limits
        records: list[Record] = []
        next_offsets: dict[tuple[str, int], int] = {}
        wait_ms, room_bytes, room_records = POLL_MS, limits.bytes_max, limits.records_max
        deadline_s = 0.0
        while room_bytes > 0 and room_records > 0 and wait_ms >= 0:
            polled = await self._consumer.getmany(timeout_ms=wait_ms, max_records=room_records)
            if not next_offsets:
                if not polled:
                    await self._try_commit()
                    await self._show_lag()
                    return None
                deadline_s = time.monotonic() + limits.linger_ms / 1_000
            for tp, messages in polled.items():
                topic = self._topics[tp.topic]
                self._committed.setdefault(tp, messages[0].offset)
                next_offsets[topic, tp.partition] = messages[-1].offset + 1
                room_records -= len(messages)
                for m in messages:
                    if m.value is not None:  # a tombstone tells compaction, and nobody else
                        room_bytes -= len(m.value)
                        records.append(Record(topic, m.partition, m.offset, m.timestamp, m.value))
            wait_ms = int((deadline_s - time.monotonic()) * 1_000) if limits.linger_ms else -1
        return Batch(records, next_offsets)

    async def commit(self, batch: Batch) -> None:
        """Take note that a batch is done; commit if it is time."""
        for (topic, partition), offset in batch.next_offsets.items():
            self._done[TopicPartition(self._prefix + topic, partition)] = offset
        if time.monotonic() >= self._commit_at_s:
            await self._commit()
        self._count(batch)
        await self._show_lag()

    async def _commit(self) -> None:
        """Commit what still is ours; partitions lost meanwhile are another's to repeat."""
        mine = self._consumer.assignment()
        offsets = {tp: offset for tp, offset in self._done.items() if tp in mine}
        try:
            if offsets:
                await self._consumer.commit(offsets)
                self._committed.update(offsets)
        except (kafka_errors.CommitFailedError, kafka_errors.IllegalStateError) as e:
            # The group moved on between the line above and the broker: the records are stored,
            # will be delivered again, and storing twice looks like storing once.
            logger.warning("commit_outrun", sink=self._name, ends=offsets, reason=str(e))
        except kafka_errors.KafkaError as e:
            raise _sorted(e) from e
        self._done.clear()
        self._commit_at_s = time.monotonic() + self._sink.limits.commit_ms / 1_000

    async def _try_commit(self) -> None:
        """Commit what waits for it; a broker that does not answer gets it repeated later."""
        if not self._done:
            return
        with suppress(Retriable, TimeoutError):
            async with asyncio.timeout(ANSWER_WITHIN_S):
                await self._commit()

    async def set_aside(self, refused: Sequence[Refused]) -> None:
        """Write the refused records to the dead letters and wait until they are durable."""
        topic = self._prefix + DEAD_LETTERS.name
        letters = [self._letter(each) for each in refused]
        try:
            sent = [await self._producer.send(topic, encode_dead_letter(one)) for one in letters]
            await asyncio.gather(*sent)
        except kafka_errors.KafkaError as e:
            raise _sorted(e) from e

    async def hold(self, seconds: float) -> None:
        """Wait with every partition paused, polling on, so that the group keeps us."""
        deadline_s = time.monotonic() + seconds
        self._consumer.pause(*self._consumer.assignment())
        while (left_s := deadline_s - time.monotonic()) > 0:
            polled = await self._consumer.getmany(timeout_ms=min(POLL_MS, int(left_s * 1_000) + 1))
            # A rebalance assigned partitions that were not paused: put back what they brought.
            for tp, messages in polled.items():
                with suppress(kafka_errors.IllegalStateError):  # lost again meanwhile
                    self._consumer.seek(tp, messages[0].offset)
                    self._consumer.pause(tp)
            await self._show_lag(paused=True)
        self._consumer.resume(*self._consumer.paused())

    def _on_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        gone = self._committed.keys() - set(assigned)
        for tp in gone:
            with suppress(KeyError):
                metrics.LAG.remove(self._name, self._topics[tp.topic], str(tp.partition))
        self._committed.clear()
        self._done.clear()

    def _letter(self, each: Refused) -> DeadLetter:
        r = each.record
        reason = f"sink {self._name}: {each.reason}"[:REASON_CHARS_MAX]
        if len(r.value) > LETTER_BYTES_MAX:
            reason += f" (the first {LETTER_BYTES_MAX} of {len(r.value)} bytes)"
        return DeadLetter(
            reason=reason,
            source=f"{self._prefix}{r.topic}/{r.partition}/{r.offset}",
            payload=r.value[:LETTER_BYTES_MAX],
            recv_ns=time.time_ns(),
        )

    def _count(self, batch: Batch) -> None:
        for record in batch.records:
            metrics.RECORDS.labels(self._name, record.topic).inc()
        if batch.records:
            oldest_ms = min(record.timestamp_ms for record in batch.records)
            metrics.DELAY.labels(self._name).observe(max(0.0, time.time() - oldest_ms / 1_000))

    async def _show_lag(self, *, paused: bool = False) -> None:
        now_s = time.monotonic()
        if now_s - self._lag_shown_s < LAG_INTERVAL_S:
            return
        self._lag_shown_s = now_s
        assigned = self._consumer.assignment()
        ends: dict[TopicPartition, int] = {}
        # A partition that is not fetched has a high watermark that stands still: ask for its end.
        with suppress(kafka_errors.KafkaError, TimeoutError):
            async with asyncio.timeout(ANSWER_WITHIN_S):
                if paused:
                    ends = await self._consumer.end_offsets(list(assigned))
                for tp in assigned - self._committed.keys():
                    self._committed.setdefault(tp, await self._consumer.position(tp))
        for tp in assigned:
            end = ends.get(tp) or self._consumer.highwater(tp)
            done = self._committed.get(tp)
            if end is not None and done is not None:
                gauge = metrics.LAG.labels(self._name, self._topics[tp.topic], str(tp.partition))
                gauge.set(max(0, end - done))


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(self, on_assigned: Callable[[Iterable[TopicPartition]], None]) -> None:
        self.assigned = asyncio.Event()
        self._on_assigned = on_assigned

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        logger.info("partitions_revoked", partitions=len(list(revoked)))

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        logger.info("partitions_assigned", partitions=len(list(assigned)))
        self._on_assigned(assigned)
        self.assigned.set()


def _sorted(e: Exception) -> Exception:
    if getattr(e, "retriable", False):
        return Retriable(f"Kafka: {e!r}", retry_after_s=RETRY_AFTER_S)
    return e
