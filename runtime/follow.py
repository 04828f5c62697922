"""Read compacted topics from their beginning and then live: a table that is kept up to date.

Without a group and without commits: every reader sees everything, after every start. Each topic
has one partition, so its records have one order.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka import errors as kafka_errors

from runtime.errors import Retriable
from runtime.kafka import close_consumer

logger = structlog.get_logger(__name__)

POLL_MS = 500
POLL_RECORDS_MAX = 1_000  # a few milliseconds of work, then others get their turn
FETCH_WAIT_MS = 100
PAUSE_S = 1.0  # between two attempts to reach Kafka
READY_WITHIN_S = 30.0

# A topic that does not exist yet is waited for, too.
TIMED_OUT = (kafka_errors.KafkaTimeoutError,)

Take = Callable[[str, bytes | None, bytes | None], None]
"""Topic, key, value (None: forget the key); it must not raise."""


class Follower:
    """``async with Follower(bootstrap, topics, take) as f: await f.ready()``.

    While Kafka is away what was read stays as it was, and reading goes on by itself after.
    """

    def __init__(self, bootstrap: str, topics: Sequence[str], take: Take) -> None:
        self._bootstrap = bootstrap
        self._partitions = [TopicPartition(topic, 0) for topic in topics]
        self._take = take
        self._next = dict.fromkeys(topics, 0)
        self._ends: dict[str, int] = {}
        self._advanced = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    @property
    def is_caught_up(self) -> bool:
        """Say whether everything was read that was there when reading began."""
        return bool(self._ends) and all(self._next[t] >= end for t, end in self._ends.items())

    async def ready(self, *, timeout_s: float = READY_WITHIN_S) -> None:
        """Return when caught up; raise Retriable after ``timeout_s``."""
        await self._within(timeout_s, lambda: self.is_caught_up, "not read to its end")

    async def reached(self, topic: str, offset: int, *, timeout_s: float) -> None:
        """Return when the record at ``offset`` has been taken; raise Retriable after a while."""
        await self._within(timeout_s, lambda: self._next[topic] > offset, f"{offset} not read back")

    async def until(self, done: Callable[[], bool]) -> None:
        """Return when ``done``, which is asked after every read; raise what ended the reading."""
        while not done():
            self.check()
            self._advanced.clear()
            await self._advanced.wait()

    def check(self) -> None:
        """Raise what ended the reading, for whoever waits for nothing."""
        if self._task is not None and self._task.done():
            self._task.result()

    async def _within(self, timeout_s: float, done: Callable[[], bool], problem: str) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self.until(done)
        except TimeoutError as e:
            names = ", ".join(tp.topic for tp in self._partitions)
            raise Retriable(f"{names}: {problem} in {timeout_s:g} s", retry_after_s=PAUSE_S) from e

    async def _run(self) -> None:
        try:
            consumer = await self._consumer()
            try:
                await self._read(consumer)
            finally:
                await close_consumer(consumer)
        finally:
            self._advanced.set()

    async def _consumer(self) -> AIOKafkaConsumer:
        while True:
            consumer = AIOKafkaConsumer(
                bootstrap_servers=self._bootstrap,
                enable_auto_commit=False,
                auto_offset_reset="earliest",  # a topic that was made anew is read anew
                fetch_max_wait_ms=FETCH_WAIT_MS,
            )
            try:
                await consumer.start()
                consumer.assign(self._partitions)
                await consumer.seek_to_beginning()
                ends = await consumer.end_offsets(self._partitions)
            except (kafka_errors.KafkaError, TimeoutError) as e:
                await close_consumer(consumer)
                if not isinstance(e, (TimeoutError, *TIMED_OUT)) and not e.retriable:
                    raise
                logger.warning("topics_unread", reason=repr(e), retry_after_s=PAUSE_S)
                await asyncio.sleep(PAUSE_S)
            else:
                self._ends = {tp.topic: end for tp, end in ends.items()}
                return consumer

    async def _read(self, consumer: AIOKafkaConsumer) -> None:
        self._advanced.set()  # nothing to read is caught up, too
        while True:
            try:
                polled = await consumer.getmany(timeout_ms=POLL_MS, max_records=POLL_RECORDS_MAX)
                for tp, messages in polled.items():
                    self._take_all(tp.topic, messages)
                if not self.is_caught_up:  # what was compacted away at the end has no record
                    for tp in self._partitions:
                        position = await consumer.position(tp)
                        self._next[tp.topic] = max(self._next[tp.topic], position)
            except kafka_errors.KafkaError as e:
                if not e.retriable:
                    raise
                logger.warning("topics_unread", reason=repr(e), retry_after_s=PAUSE_S)
                await asyncio.sleep(PAUSE_S)
                continue
            self._advanced.set()
            await asyncio.sleep(0)  # buffered records are returned without a wait

    def _take_all(self, topic: str, messages: Sequence[Any]) -> None:
        for message in messages:
            self._take(topic, message.key, message.value)
        self._next[topic] = messages[-1].offset + 1
