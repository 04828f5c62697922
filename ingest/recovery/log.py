"""``md.gaps.v1`` from its beginning and on: every partition, no group, no commits.

What was done is on ``md.recovery.v1``, so reading everything again after a start is harmless.
"""

import asyncio
import contextlib
from collections.abc import Callable
from types import TracebackType
from typing import Self

import msgspec
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka import errors as kafka_errors

from ingest.recovery import metrics
from runtime.errors import Retriable
from runtime.kafka import close_consumer
from schemas.klines import GapEnvelope, StreamGapEnvelope, decode_gaps

logger = structlog.get_logger(__name__)

POLL_MS = 200
RECORDS_MAX = 1_000
PAUSE_S = 1.0

Take = Callable[[GapEnvelope | StreamGapEnvelope, int], None]
"""A record, and when it was written, in ms."""


class GapLog:
    """``async with GapLog(...) as log: await log.caught_up.wait()``."""

    def __init__(self, bootstrap: str, topic: str, take: Take) -> None:
        self.caught_up = asyncio.Event()
        self.news = asyncio.Event()
        """Set after every read that brought something; whoever waits for it clears it."""
        self._topic = topic
        self._take = take
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap, enable_auto_commit=False, auto_offset_reset="earliest"
        )
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        try:
            await self._consumer.start()
            parts = await self._partitions()
            self._consumer.assign(parts)
            await self._consumer.seek_to_beginning()
            ends = await self._consumer.end_offsets(parts)
        except kafka_errors.KafkaError as e:
            await close_consumer(self._consumer)
            raise Retriable(f"{self._topic}: {e!r}", retry_after_s=PAUSE_S) from e
        self._task = asyncio.create_task(self._run(ends))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError, kafka_errors.KafkaError):
                await self._task
        await close_consumer(self._consumer)

    def check(self) -> None:
        """Raise what ended the reading."""
        if self._task is not None and self._task.done():
            self._task.result()

    async def _partitions(self) -> list[TopicPartition]:
        # An assigned consumer learns of topics only when it is asked to.
        await self._consumer._client.add_topic(self._topic)  # noqa: SLF001
        found = self._consumer.partitions_for_topic(self._topic)
        if not found:
            raise Retriable(f"{self._topic} is not there yet", retry_after_s=PAUSE_S)
        return [TopicPartition(self._topic, partition) for partition in sorted(found)]

    async def _run(self, ends: dict[TopicPartition, int]) -> None:
        try:
            while True:
                polled = await self._consumer.getmany(timeout_ms=POLL_MS, max_records=RECORDS_MAX)
                for messages in polled.values():
                    for message in messages:
                        self._read(message.value or b"", message.timestamp)
                if polled:
                    self.news.set()
                if not self.caught_up.is_set():
                    reached = [await self._consumer.position(tp) >= end for tp, end in ends.items()]
                    if all(reached):
                        self.caught_up.set()
                await asyncio.sleep(0)  # buffered records are returned without a wait
        finally:
            self.caught_up.set()
            self.news.set()

    def _read(self, value: bytes, written_ms: int) -> None:
        try:
            self._take(decode_gaps(value), written_ms)
        except msgspec.MsgspecError as e:
            metrics.unreadable.inc()
            logger.warning("gap_unreadable", reason=str(e))
