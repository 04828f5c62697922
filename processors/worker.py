"""Worker: the engine of one process, its partitions, and the pulse that publishes and saves."""

import asyncio
import os
import time
from collections.abc import Mapping
from typing import Any

import structlog
from aiokafka.errors import IllegalStateError
from faust.types import TP

from processors import metrics
from processors.checkpoint import EXIT_LOST, Checkpoint, position_key
from runtime.kafka import partition_for
from runtime.settings import Settings

logger = structlog.get_logger(__name__)

PULSE_S = 0.02
STUCK_S = 15.0  # lag and no progress for so long: end, and let the supervisor restart


class Worker:
    """Owns partitions between ``restore`` and ``forget``; see ``agents.trades`` for the reading."""

    def __init__(
        self, app: Any, checkpoint: Checkpoint, table: Any, settings: Settings, *, topic: str
    ) -> None:
        self.checkpoint = checkpoint
        self.restored = asyncio.Event()
        self.is_sought: set[int] = set()  # partitions with a seek under way
        self._app = app
        self._table = table
        self._topic = topic
        self._partitions = settings.kafka_partitions
        self._every_s = settings.checkpoint_interval_ms / 1_000
        self._records_max = settings.checkpoint_records_max
        self._saved_s = 0.0
        self._progress_s = time.monotonic()
        self._progress: Mapping[int, int] = {}

    async def restore(self) -> None:
        """Take over the assigned partitions: states and positions from the recovered table."""
        tps = {tp for tp in self._app.consumer.assignment() if tp.topic == self._topic}
        earliest = await self._app.consumer.earliest_offsets(*tps)
        stored: Mapping[bytes, bytes] = dict(self._table.data.data)
        states: dict[int, dict[bytes, bytes]] = {tp.partition: {} for tp in tps}
        for key, value in stored.items():
            # Keys of partitions lost earlier stay in the memory store: read only our own.
            if not key.startswith(b"@"):
                mine = states.get(partition_for(key, self._partitions))
                if mine is not None:
                    mine[key] = value
        for tp in tps:
            partition = tp.partition
            self.checkpoint.engine.restore(partition, states[partition])
            saved = int(stored.get(position_key(partition), 0))
            # Retention may have removed what was never read; nothing can be read before it.
            position = max(saved, earliest[tp] or 0)
            if position > saved > 0:
                logger.error(
                    "records_lost_to_retention", partition=partition, first=saved, next=position
                )
            self.checkpoint.next_offset[partition] = position
            await self._app.consumer.seek(tp, position)
        self._progress_s = time.monotonic()
        metrics.symbols.set(sum(map(len, states.values())))
        logger.info(
            "partitions_restored", partitions=sorted(states), symbols=sum(map(len, states.values()))
        )
        self.restored.set()

    def forget(self) -> None:
        """Drop the partitions: a rebalance has begun."""
        self.restored.clear()
        self.is_sought.clear()
        self.checkpoint.forget()

    async def seek_back(self, tp: TP, expected: int, offset: int) -> None:
        """Read again what Faust skipped; the events in between are dropped without ack."""
        if tp.partition in self.is_sought:
            return
        self.is_sought.add(tp.partition)
        metrics.holes.inc()
        logger.warning("hole_found", partition=tp.partition, expected=expected, got=offset)
        await self._app.consumer.seek(tp, expected)

    async def yield_if_full(self) -> None:
        """Save at once when many records wait: the bound of what a crash replays."""
        if len(self.checkpoint.events) >= self._records_max:
            await self.save()

    async def save(self) -> None:
        """Write a checkpoint and remember its states where a rebalance would look for them."""
        self._saved_s = time.monotonic()
        self._table.data.data.update(await self.checkpoint.save(_now_ms()))

    async def finish(self) -> None:
        """Save for the last time and read no more."""
        if self.restored.is_set():
            await self.save()
        self.forget()

    async def pulse(self) -> None:
        """Publish, close by the clock and save, until it is cancelled."""
        while True:
            await asyncio.sleep(PULSE_S)
            if self.restored.is_set():
                await self._beat()

    async def _beat(self) -> None:
        now_ms = _now_ms()
        lags = self._lags()
        caught_up = {partition for partition, lag in lags.items() if lag <= 0}
        self.checkpoint.engine.close_quiet(now_ms, caught_up)
        await self.checkpoint.send(now_ms, caught_up)
        if time.monotonic() - self._saved_s >= self._every_s:
            for partition, lag in lags.items():
                metrics.lag.labels(partition).set(lag)
            metrics.trades.inc(self.checkpoint.engine.take_trade_count())
            await self.save()
            self._watch(lags)

    def _lags(self) -> dict[int, int]:
        lags = {}
        for partition, position in self.checkpoint.next_offset.items():
            try:
                highwater = self._app.consumer.highwater(TP(self._topic, partition))
            except (IllegalStateError, AssertionError):
                highwater = None  # not assigned any more
            # Before the first fetch it is unknown: then we are not known to have caught up.
            lags[partition] = 1 if highwater is None else highwater - position
        return lags

    def _watch(self, lags: Mapping[int, int]) -> None:
        positions = dict(self.checkpoint.next_offset)
        now_s = time.monotonic()
        if positions != self._progress or not any(lag > 0 for lag in lags.values()):
            self._progress, self._progress_s = positions, now_s
        elif now_s - self._progress_s > STUCK_S:
            logger.error("worker_stuck", lags=dict(lags), stuck_s=STUCK_S)
            os._exit(EXIT_LOST)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
