"""Intervals added while the worker runs: filled from the trades topic, then as if always there.

A second engine that makes only the new intervals reads a partition again, from where their windows
opened. Once it stands where the worker stands, its bars are the ones that the worker would have,
and are handed over between two records. Until then the interval says nothing.
"""

import asyncio
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from faust.types import TP

from processors.checkpoint import Checkpoint
from processors.engine.engine import Engine
from processors.intervals import Intervals
from runtime.kafka import close_consumer
from runtime.settings import Settings
from schemas.topics import CONTROL, TRADES
from schemas.trades import UnreadableBatch, decode_batch

logger = structlog.get_logger(__name__)

LOOK_S = 0.2
RETRY_S = 5.0
POLL_MS = 200
RECORDS_MAX = 200  # of a poll
# The record of a trade is written after it happened: by our clock, which may differ, and after
# what came before it. A repeat of a trade is known only if the first one was read as well.
SLACK_MS = 120_000
WORK_S = 0.005  # reading again leaves the worker most of its time
REST_S = 0.01


class History:
    """Fills what ``engine`` lacks of each partition that ``checkpoint`` holds.

    As a context it knows which intervals ``md.control.v1`` wants, and the engine wants them.
    """

    def __init__(self, settings: Settings, checkpoint: Checkpoint, engine: Engine) -> None:
        self._settings = settings
        self._checkpoint = checkpoint
        self._engine = engine
        self._topic = settings.kafka_topic_prefix + TRADES.name
        control = settings.kafka_topic_prefix + CONTROL.name
        self._intervals = Intervals(settings.kafka_bootstrap, control, engine.wanted)

    async def __aenter__(self) -> Self:
        await self._intervals.__aenter__()
        await self._intervals.ready()
        self._engine.want(self._intervals.wanted)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._intervals.__aexit__(kind, error, traceback)

    async def follow(self) -> None:
        """Make the intervals that are wanted, until it is cancelled."""
        async for wanted in self._intervals.changes():
            self._engine.want(wanted)

    async def fill(self) -> None:
        """Fill what is lacking, a partition at a time, until it is cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            for tp in list(self._checkpoint.next_offset):
                if tp.topic == self._topic and self._engine.lacking(tp.partition):
                    try:
                        await self._fill(tp)
                    except (KafkaError, TimeoutError) as e:
                        logger.warning("history_unread", reason=repr(e), retry_after_s=RETRY_S)
                        await asyncio.sleep(RETRY_S)

    async def _fill(self, tp: TP) -> None:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._settings.kafka_bootstrap,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
        try:
            await consumer.start()
            consumer.assign([TopicPartition(*tp)])
            await _Fill(self._checkpoint, self._engine, consumer, tp).run()
        finally:
            await close_consumer(consumer)


class _Fill:
    """One partition, read again for what it lacks now."""

    def __init__(
        self, checkpoint: Checkpoint, engine: Engine, consumer: AIOKafkaConsumer, tp: TP
    ) -> None:
        self._checkpoint, self._engine, self._consumer, self._tp = checkpoint, engine, consumer, tp
        self._tenure = checkpoint.tenure
        self._added = engine.lacking(tp.partition)
        at_ms = engine.event_ms(tp.partition)
        self._since = {interval: interval.open_ms(at_ms) for interval in self._added}
        self._donor = engine.donor(self._added)
        self._next = 0

    async def run(self) -> None:
        """Read, and hand over; return without it when the partition or the wish is gone."""
        from_ms = min(self._since.values())
        known_from_ms = await self._seek(from_ms - SLACK_MS)
        waiting: Sequence[ConsumerRecord] = ()
        while self._is_wanted():
            expected = self._checkpoint.next_offset[self._tp]
            if self._next >= expected:
                self._engine.adopt(self._tp.partition, self._donor, self._since, known_from_ms)
                logger.info(
                    "intervals_filled",
                    partition=self._tp.partition,
                    intervals=[interval.text for interval in self._added],
                    known_from_ms=known_from_ms,
                )
                return
            if not waiting:
                polled = await self._consumer.getmany(timeout_ms=POLL_MS, max_records=RECORDS_MAX)
                waiting = [record for records in polled.values() for record in records]
                continue
            waiting = self._take(waiting, expected)
            await asyncio.sleep(REST_S if waiting else 0)

    def _is_wanted(self) -> bool:
        return (
            self._checkpoint.tenure == self._tenure
            and self._tp in self._checkpoint.next_offset
            and self._engine.lacking(self._tp.partition) == self._added
        )

    async def _seek(self, from_ms: int) -> int:
        """Go to the records from then on; return since when all trades are known."""
        tp = TopicPartition(*self._tp)
        begin = (await self._consumer.beginning_offsets([tp]))[tp]
        found = (await self._consumer.offsets_for_times({tp: max(0, from_ms)}))[tp]
        if found is None:
            self._next = self._checkpoint.next_offset[self._tp]  # nothing came since
            return 0
        self._next = found.offset
        self._consumer.seek(tp, found.offset)
        is_cut = 0 < begin == found.offset and found.timestamp > from_ms
        return found.timestamp if is_cut else 0

    def _take(self, waiting: Sequence[ConsumerRecord], expected: int) -> Sequence[ConsumerRecord]:
        """Fold records below ``expected`` for a while; return the rest."""
        until_s = time.monotonic() + WORK_S
        for at, record in enumerate(waiting):
            if record.offset >= expected or time.monotonic() > until_s:
                return waiting[at:]
            try:
                batch = decode_batch(record.value or b"")
                self._donor.apply_batch(self._tp.partition, record.offset, batch)
            except UnreadableBatch:
                pass  # the worker has set it aside
            self._next = record.offset + 1
        self._donor.discard(self._since)
        return ()
