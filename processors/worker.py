"""Worker: the folds of one process, its partitions, and the pulse that publishes and saves."""

import asyncio
import os
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import structlog
from faust.types import TP

from processors import metrics
from processors.agents.measured import Measured
from processors.changelog import position_key, states_by_fold
from processors.checkpoint import EXIT_LOST, Checkpoint
from processors.fencing import NOBODY, FencedStore, Token
from processors.fold import Fold, Partitions, UnknownState
from processors.watchdog import Unfit, Watchdog
from runtime.errors import Misconfigured
from runtime.settings import Settings
from schemas.topics import Topic

logger = structlog.get_logger(__name__)

LAGGING_PULSE_S = 0.02
LAGGING_MS_MIN = 100  # of the record read last: far behind, fewer and larger outputs go faster
PULSE_S_MAX = 0.01
PULSE_S_MIN = 0.004
BEAT_LATE_S = 0.1  # what is folded meanwhile is put together in one go
SAVES_MAX = 8  # of a checkpoint interval: a state of all partitions at once holds up candles
CLOCK_S_MIN = 0.005  # candles close by the clock this punctually, if the pulse is as fast
WATCH_S = 0.1
# Of a partition of which nothing was heard for longer nobody knows whether records wait there.
HEARD_MS_MAX = 1_000


class Worker:
    """Owns partitions between ``restore`` and ``forget``; ``agents.reading`` reads for it."""

    def __init__(
        self, app: Any, checkpoint: Checkpoint, store: FencedStore, settings: Settings
    ) -> None:
        self.checkpoint = checkpoint
        self.restored = asyncio.Event()
        self.is_over = False  # what is read from now on is for the next process
        self.sought: set[TP] = set()  # partitions with a hole that is being read again
        self._app = app
        self._store = store
        self.topics = {
            settings.kafka_topic_prefix + topic.name: topic
            for fold in checkpoint.folds
            for topic in fold.reads
        }
        """What is read, by its name on the broker."""
        self._every_s = settings.checkpoint_interval_ms / 1_000
        self._records_max = settings.checkpoint_records_max
        # Open candles come no more often than they are throttled; a pulse that finds none costs.
        wanted_s = settings.live_update_interval_ms / 25_000
        self._pulse_s = min(PULSE_S_MAX, max(PULSE_S_MIN, wanted_s))
        self._generation = -1
        self._applied = asyncio.Event()
        self._beaten_s = 0.0  # when was last published
        self._has_news = False  # records were applied since
        self._news_s = 0.0  # when what such records made due was last published
        self._read_to_ms = 0  # the time of the record applied last
        self._ends: Mapping[TP, Any] = {}
        self._watchdog = Watchdog(time.monotonic())

    # -- partitions

    async def restore(self) -> None:
        """Take over the assigned partitions: states and positions from the recovered table."""
        tenure, consumer = self.checkpoint.tenure, self._app.consumer
        self._generation = self._app.generation()
        tps = [tp for tp in consumer.assignment() if tp.topic in self.topics]
        partitions = self._copartitioned(tps)
        earliest = await consumer.earliest_offsets(*tps)
        ends = await consumer.highwaters(*tps)
        positions = {tp: self._position(tp, earliest[tp] or 0, ends[tp] or 0) for tp in tps}
        # The broker's word, after everything was read: whoever came later has not written yet.
        if not await self._app.is_member(positions) or tenure != self.checkpoint.tenure:
            return  # another rebalance has begun; at its end we are here again
        for partition in partitions:
            self._load(partition)
        held = self._store.tokens
        tokens = {
            partition: Token(held.get(partition, NOBODY).term + 1, self._generation)
            for partition in partitions
        }
        if not await self.checkpoint.claim(positions, tokens, self._check_fit):
            return
        for tp, position in positions.items():
            await consumer.seek(tp, position)
        if tenure != self.checkpoint.tenure:
            return
        self._ends = self._app.ends(tps)
        self._watchdog.restored()
        logger.info("partitions_restored", partitions=sorted(partitions))
        self.restored.set()

    def _copartitioned(self, tps: Iterable[TP]) -> set[int]:
        """Return the partitions, the same of each topic; raise where they differ."""
        found: dict[str, set[int]] = {name: set() for name in self.topics}
        for tp in tps:
            found[tp.topic].add(tp.partition)
        first, *others = found.values()
        if any(other != first for other in others):
            raise Misconfigured(
                "STREAMER_PROCESS_AGENTS",
                f"this worker was given other partitions of one topic than of another: {found}",
                remedy="All workers of one topic prefix must have the same agents.",
            )
        return first

    def _load(self, partition: int) -> None:
        states = states_by_fold(self._store.records(partition))
        try:
            for fold in self.checkpoint.folds:
                fold.restore(partition, states.get(fold.name, {}))
        except UnknownState as e:
            raise Misconfigured(
                "STREAMER_KAFKA_TOPIC_PREFIX",
                f"the changelog cannot be read: {e}",
                remedy="Run the version that wrote it, or delete the changelog topic: the candles "
                "are then made anew from the trades that Kafka still holds.",
            ) from e

    def _position(self, tp: TP, earliest: int, end: int) -> int:
        key = position_key(self.topics[tp.topic].name, tp.partition)
        saved = int(self._store.data.get(key, 0))
        if saved > end:
            raise Misconfigured(
                "STREAMER_KAFKA_TOPIC_PREFIX",
                f"partition {tp.partition} of {tp.topic} ends at {end}, and was read up to {saved}:"
                " it is not the topic that this state was made from",
                remedy="Delete the worker's changelog topic as well, or use another prefix.",
            )
        if earliest > saved > 0:
            # Retention removed what was never read; nothing can be read before it.
            logger.error("records_lost_to_retention", tp=tp, first=saved, next=earliest)
        return max(saved, earliest)

    def forget(self) -> None:
        """Drop the partitions: a rebalance has begun."""
        self.restored.clear()
        self.sought.clear()
        self._ends = {}
        self.checkpoint.forget()
        self._watchdog.forgot(time.monotonic())

    # -- reading

    def readers(self, topic: Topic) -> Sequence[Fold]:
        """Return the folds that read a topic."""
        return [fold for fold in self.checkpoint.folds if topic in fold.reads]

    def notice(self, timestamp_ms: int) -> None:
        """Take note that records up to this time were applied: what they make due leaves soon."""
        self._read_to_ms = timestamp_ms
        self._has_news = True
        self._applied.set()

    async def give_way(self) -> None:
        """Let others have their turn; where outputs leave slowly, wait until they have left."""
        if time.monotonic() - self._beaten_s > BEAT_LATE_S:
            self._stop_unfit()  # as in the pulse
            await self._beat()
        else:
            await asyncio.sleep(0)

    async def seek_back(self, tp: TP, offset: int) -> None:
        """Read again what Faust skipped; ``offset`` is what it delivered instead."""
        if tp in self.sought:
            return
        self.sought.add(tp)
        expected = self.checkpoint.next_offset[tp]
        metrics.holes.inc()
        logger.warning("hole_found", tp=tp, expected=expected, got=offset)
        await self._app.consumer.seek(tp, expected)

    # -- saving

    async def save_if_full(self) -> None:
        """Save at once when many records wait: the bound of what a crash replays."""
        if self.checkpoint.unsaved >= self._records_max:
            await self.save()

    async def save(self, partitions: Partitions = None) -> None:
        """Write a checkpoint."""
        now_ms = _now_ms()
        caught_up = self._caught_up(self._heard(self._lags(), now_ms))
        await self.checkpoint.save(now_ms, caught_up, self._check_fit, partitions)

    def _check_fit(self) -> None:
        """Raise when the group may have gone on without this worker."""
        self._watchdog.wake(time.monotonic())
        if self._app.generation() != self._generation:
            raise Unfit("its group went on without it")

    async def finish(self) -> None:
        """Read no more, and save for the last time."""
        self.is_over = True
        if self.restored.is_set():
            await self.save()
        self.forget()
        self.restored.set()  # an agent that waits for its partitions will find none

    # -- until they are cancelled

    async def pulse(self) -> None:
        """Publish what is due: soon after records, and by the clock."""
        loop = asyncio.get_running_loop()
        is_behind = False
        while True:
            alarm = loop.call_later(max(CLOCK_S_MIN, self._pulse_s), self._applied.set)
            await self._applied.wait()
            alarm.cancel()
            rest_s = self._news_s + (LAGGING_PULSE_S if is_behind else self._pulse_s)
            rest_s -= time.monotonic()
            if rest_s > 0:
                await asyncio.sleep(rest_s)
            await self._gather()
            if self.restored.is_set():
                self._stop_unfit()  # woken from a long sleep it must not publish first
                is_behind = await self._beat()

    async def keep(self) -> None:
        """Save each partition in time, some at once, and see to it that reading goes on."""
        turn, due_s = 0, time.monotonic()
        while True:
            saves = min(SAVES_MAX, max(1, len(self.checkpoint.partitions)))
            due_s += self._every_s / saves
            await asyncio.sleep(due_s - time.monotonic())
            if self.is_over or not self.restored.is_set():
                due_s = time.monotonic()
                continue
            turn = (turn + 1) % saves
            if turn == 0:
                self._measure()
            is_late = time.monotonic() - due_s > self._every_s / saves
            if is_late or self._app.rebalancing:  # which waits for the acks of everything
                await self.save()
                due_s = time.monotonic()
            else:
                await self.save(sorted(self.checkpoint.partitions)[turn::saves])

    def _measure(self) -> None:
        lags = self._lags()
        for tp, lag in lags.items():
            metrics.lag.labels(self.topics[tp.topic].name, tp.partition).set(lag)
        for fold in self.checkpoint.folds:
            if isinstance(fold, Measured):
                fold.measure()
        self._watchdog.check_progress(self.checkpoint.next_offset, lags, time.monotonic())

    async def watch(self) -> None:
        """End the process when it must not go on."""
        while True:
            self._stop_unfit()
            await asyncio.sleep(WATCH_S)

    def _stop_unfit(self) -> None:
        try:
            if self.restored.is_set() and not self.is_over:  # in the end it leaves the group itself
                self._check_fit()
            else:
                self._watchdog.wake(time.monotonic())
        except Unfit as e:
            logger.error("worker_unfit", reason=str(e))  # noqa: TRY400 - no bug to trace
            os._exit(EXIT_LOST)

    async def _gather(self) -> None:
        """Let what one fetch brought be applied as a whole, for no longer than a pulse."""
        until_s = time.monotonic() + self._pulse_s
        while self._applied.is_set():
            self._applied.clear()
            if time.monotonic() < until_s:
                await asyncio.sleep(0)  # the reader's turn,
                await asyncio.sleep(0)  # and that of who hands over the next event

    async def _beat(self) -> bool:
        """Publish; say whether records wait to be read for long."""
        self._beaten_s = time.monotonic()
        if self._has_news:
            self._news_s, self._has_news = self._beaten_s, False
        now_ms, lags = _now_ms(), self._lags()
        heard = self._heard(lags, now_ms)
        caught_up = self._caught_up(heard)
        # The clock goes as far as the broker's word: who is cut off closes nothing, or candles
        # would leave without trades that a successor has.
        clock_ms = min(heard.values(), default=now_ms)
        for fold in self.checkpoint.folds:
            fold.tick(clock_ms, caught_up[fold.name])
        await self.checkpoint.send(now_ms, caught_up)
        return now_ms - self._read_to_ms > LAGGING_MS_MIN and max(lags.values(), default=0) > 0

    def _heard(self, lags: Mapping[TP, int], now_ms: int) -> dict[TP, int]:
        """Return the partitions that are read to their end, and when the broker last said so."""
        heard = {tp: int(self._ends[tp].timestamp) for tp, lag in lags.items() if lag <= 0}
        return {tp: at_ms for tp, at_ms in heard.items() if now_ms - at_ms <= HEARD_MS_MAX}

    def _caught_up(self, heard: Mapping[TP, int]) -> dict[str, set[int]]:
        behind: defaultdict[str, set[int]] = defaultdict(set)
        mine = self.checkpoint.partitions
        for tp in self.checkpoint.next_offset:
            if tp not in heard:
                behind[self.topics[tp.topic].name].add(tp.partition)
        return {
            fold.name: mine.difference(*(behind[topic.name] for topic in fold.reads))
            for fold in self.checkpoint.folds
        }

    def _lags(self) -> dict[TP, int]:
        lags = {}
        for tp, position in self.checkpoint.next_offset.items():
            end = self._ends.get(tp)
            # Before the first fetch it is unknown: then we are not known to have caught up.
            lags[tp] = 1 if end is None or end.highwater is None else end.highwater - position
        return lags


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
