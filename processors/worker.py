"""Worker: the engine of one process, its partitions, and the pulse that publishes and saves."""

import asyncio
import os
import time
from collections.abc import Iterable, Mapping
from typing import Any

import structlog
from aiokafka.errors import IllegalStateError
from faust.types import TP

from processors import metrics
from processors.checkpoint import EXIT_LOST, Checkpoint, position_key
from processors.engine.state import UnknownState, is_slot, symbol_of
from processors.watchdog import Unfit, Watchdog
from runtime.errors import Misconfigured
from runtime.kafka import partition_for
from runtime.settings import Settings

logger = structlog.get_logger(__name__)

PULSE_S = 0.02
WATCH_S = 0.1
SEEK_AGAIN_S = 0.3


class Worker:
    """Owns partitions between ``restore`` and ``forget``; see ``agents.trades`` for the reading."""

    def __init__(
        self, app: Any, checkpoint: Checkpoint, table: Any, settings: Settings, *, topic: str
    ) -> None:
        self.checkpoint = checkpoint
        self.restored = asyncio.Event()
        self.is_over = False  # what is read from now on is for the next process
        self.sought_s: dict[TP, float] = {}  # partitions with a hole, and when it was last seen
        self._app = app
        self._table = table
        self._topic = topic
        self._partitions = settings.kafka_partitions
        self._every_s = settings.checkpoint_interval_ms / 1_000
        self._records_max = settings.checkpoint_records_max
        self._saved_s = 0.0
        self._tenure = 0  # counts rebalances: what began before one must not be finished after it
        self._watchdog = Watchdog(time.monotonic())

    async def restore(self) -> None:
        """Take over the assigned partitions: states and positions from the recovered table."""
        tenure, consumer = self._tenure, self._app.consumer
        tps = [tp for tp in consumer.assignment() if tp.topic == self._topic]
        earliest = await consumer.earliest_offsets(*tps)
        ends = await consumer.highwaters(*tps)
        if tenure != self._tenure:
            return  # another rebalance began meanwhile; at its end we are here again
        stored: Mapping[bytes, bytes] = dict(self._table.data.data)
        positions = {tp: self._position(tp, stored, earliest[tp] or 0, ends[tp] or 0) for tp in tps}
        states = self._states(stored, (tp.partition for tp in tps))
        for tp, position in positions.items():
            self._load(tp.partition, states[tp.partition])
            self.checkpoint.next_offset[tp.partition] = position
        for tp, position in positions.items():
            await consumer.seek(tp, position)
        if tenure != self._tenure:
            return
        self._watchdog.restored()
        count = sum(not is_slot(key) for mine in states.values() for key in mine)
        metrics.symbols.set(count)
        logger.info("partitions_restored", partitions=sorted(states), symbols=count)
        self.restored.set()

    def _load(self, partition: int, states: Mapping[bytes, bytes]) -> None:
        try:
            self.checkpoint.engine.restore(partition, states)
        except UnknownState as e:
            raise Misconfigured(
                "STREAMER_KAFKA_TOPIC_PREFIX",
                f"the changelog cannot be read: {e}",
                remedy="Run the version that wrote it, or delete the changelog topic: the candles "
                "are then made anew from the trades that Kafka still holds.",
            ) from e

    def _states(
        self, stored: Mapping[bytes, bytes], partitions: Iterable[int]
    ) -> dict[int, dict[bytes, bytes]]:
        states: dict[int, dict[bytes, bytes]] = {partition: {} for partition in partitions}
        for key, value in stored.items():
            # Keys of partitions lost earlier stay in the memory store: read only our own.
            if not key.startswith(b"@"):
                mine = states.get(partition_for(symbol_of(key), self._partitions))
                if mine is not None:
                    mine[key] = value
        return states

    def _position(self, tp: TP, stored: Mapping[bytes, bytes], earliest: int, end: int) -> int:
        saved = int(stored.get(position_key(tp.partition), 0))
        if saved > end:
            raise Misconfigured(
                "STREAMER_KAFKA_TOPIC_PREFIX",
                f"partition {tp.partition} of {tp.topic} ends at {end}, and was read up to {saved}:"
                " it is not the topic that this state was made from",
                remedy="Delete the worker's changelog topic as well, or use another prefix.",
            )
        if earliest > saved > 0:
            # Retention removed what was never read; nothing can be read before it.
            logger.error(
                "records_lost_to_retention", partition=tp.partition, first=saved, next=earliest
            )
        return max(saved, earliest)

    def forget(self) -> None:
        """Drop the partitions: a rebalance has begun."""
        self._tenure += 1
        self.restored.clear()
        self.sought_s.clear()
        self.checkpoint.forget()
        self._watchdog.forgot(time.monotonic())

    async def seek_back(self, tp: TP, offset: int) -> None:
        """Read again what Faust skipped; ``offset`` is what it delivered instead."""
        is_known = tp in self.sought_s
        self.sought_s[tp] = time.monotonic()
        if is_known:
            return
        expected = self.checkpoint.next_offset[tp.partition]
        metrics.holes.inc()
        logger.warning("hole_found", partition=tp.partition, expected=expected, got=offset)
        await self._app.consumer.seek(tp, expected)

    async def _seek_again(self) -> None:
        # Faust goes on to deliver the fetch in its hands, and then takes what the seek brings for
        # read. Once nothing comes any more, a seek counts.
        now_s = time.monotonic()
        for tp, seen_s in list(self.sought_s.items()):
            if now_s - seen_s > SEEK_AGAIN_S:
                self.sought_s[tp] = now_s
                await self._app.consumer.seek(tp, self.checkpoint.next_offset[tp.partition])

    async def save_if_full(self) -> None:
        """Save at once when many records wait: the bound of what a crash replays."""
        if len(self.checkpoint.events) >= self._records_max:
            await self.save()

    async def save(self) -> None:
        """Write a checkpoint and remember its states where a rebalance would look for them."""
        tenure = self._tenure
        self._saved_s = time.monotonic()
        states = await self.checkpoint.save(_now_ms(), lambda: self._may_write(tenure))
        if tenure == self._tenure:
            self._table.data.data.update(states)

    def _may_write(self, tenure: int) -> bool:
        """Say whether the states taken in this tenure are ours to write; raise when we are out."""
        self._watchdog.wake(time.monotonic())
        if self._app.is_expelled():
            raise Unfit("its group went on without it")
        return tenure == self._tenure

    async def finish(self) -> None:
        """Read no more, and save for the last time."""
        self.is_over = True
        if self.restored.is_set():
            await self.save()
        self.forget()
        self.restored.set()  # an agent that waits for its partitions will find none

    async def pulse(self) -> None:
        """Publish, close by the clock and save, until it is cancelled."""
        while True:
            await asyncio.sleep(PULSE_S)
            if self.restored.is_set():
                await self._beat()

    async def watch(self) -> None:
        """End the process when it must not go on, until it is cancelled."""
        while True:
            try:
                self._watchdog.wake(time.monotonic())
            except Unfit as e:
                logger.error("worker_unfit", reason=str(e))  # noqa: TRY400 - no bug to trace
                os._exit(EXIT_LOST)
            await asyncio.sleep(WATCH_S)

    async def _beat(self) -> None:
        now_ms = _now_ms()
        lags = self._lags()
        caught_up = {partition for partition, lag in lags.items() if lag <= 0}
        self.checkpoint.engine.close_quiet(now_ms, caught_up)
        await self.checkpoint.send(now_ms, caught_up)
        await self._seek_again()
        if time.monotonic() - self._saved_s >= self._every_s:
            for partition, lag in lags.items():
                metrics.lag.labels(partition).set(lag)
            metrics.trades.inc(self.checkpoint.engine.take_trade_count())
            metrics.duplicates.set(self.checkpoint.engine.count_duplicates())
            self._watchdog.check_progress(self.checkpoint.next_offset, lags, time.monotonic())
            await self.save()

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


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
