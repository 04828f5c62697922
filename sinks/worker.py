"""Batches from the log to a store: write, then commit, so a crash repeats and never skips.

A store that is away is waited for with the batch in hand. The consumer stops fetching, lag grows
where it can be seen, and no queue grows where it cannot.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

import structlog

from runtime.errors import Retriable
from sinks import metrics
from sinks.base import Batch, Refused, Sink

logger = structlog.get_logger(__name__)

T = TypeVar("T")


class Log(Protocol):
    """Where batches come from and where their end is noted."""

    async def next_batch(self) -> Batch | None:
        """Return the next batch, or None when nothing came for a moment."""

    async def set_aside(self, refused: Sequence[Refused]) -> None:
        """Make the refused records durable among the dead letters."""

    async def commit(self, batch: Batch) -> None:
        """Note that everything up to the end of ``batch`` is done."""

    async def hold(self, seconds: float) -> None:
        """Wait without reading on, and without being taken for dead."""


class Stopped(Exception):  # noqa: N818 - reads as what happened
    """The process ends while a batch still waits for its store; it will be read again."""


class SinkWorker:
    """The one delivery loop."""

    def __init__(self, sink: Sink, log: Log, stop: asyncio.Event) -> None:
        self._sink = sink
        self._log = log
        self._stop = stop

    async def run(self) -> None:
        """Deliver until the stop event is set."""
        try:
            while not self._stop.is_set():
                await self.step()
        except Stopped:
            logger.warning("sink_stopped_holding", sink=self._sink.name)

    async def step(self) -> None:
        """Deliver one batch, if there is one."""
        batch = await self._log.next_batch()
        if batch is None:
            return
        started_s = time.perf_counter()
        refused = await self._insist(batch, lambda: self._sink.write(batch))
        metrics.WRITE.labels(self._sink.name).observe(time.perf_counter() - started_s)
        if refused:
            self._count_refused(refused)
            await self._insist(batch, lambda: self._log.set_aside(refused))
        await self._insist(batch, lambda: self._log.commit(batch))

    async def _insist(self, batch: Batch, work: Callable[[], Awaitable[T]]) -> T:
        try:
            while True:
                try:
                    return await work()
                except Retriable as e:
                    await self._wait(batch, e)
        finally:
            metrics.HELD.labels(self._sink.name).set(0)

    async def _wait(self, batch: Batch, away: Retriable) -> None:
        if self._stop.is_set():
            raise Stopped
        metrics.HELD.labels(self._sink.name).set(1)
        metrics.RETRIES.labels(self._sink.name).inc()
        logger.warning(
            "store_away",
            sink=self._sink.name,
            batch=batch.token,
            reason=away.reason,
            retry_after_s=away.retry_after_s,
        )
        await self._log.hold(away.retry_after_s)
        if self._stop.is_set():
            raise Stopped

    def _count_refused(self, refused: Sequence[Refused]) -> None:
        for each in refused:
            metrics.REFUSED.labels(self._sink.name, each.record.topic).inc()
        logger.error(
            "records_refused",
            sink=self._sink.name,
            records=len(refused),
            first=refused[0].reason,
            topic=refused[0].record.topic,
            offset=refused[0].record.offset,
        )
