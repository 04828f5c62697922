"""The state is the commit: outputs, then states and positions, then acks, in that order.

A crash anywhere replays and recomputes the same outputs. The changelog's position records say where
reading goes on; Faust's committed offset may lag, or run ahead over a hole.
"""

import asyncio
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import structlog
from faust.types import TP

from processors import metrics
from processors.changelog import fold_prefix, position_key
from processors.fencing import FencedStore, Token
from processors.fold import Fold, Output, Partitions
from processors.outbox import Headers, Outbox
from processors.upkeep import Upkeep
from runtime.kafka import partition_for
from schemas.topics import Topic

logger = structlog.get_logger(__name__)

EXIT_LOST = 70  # the supervisor restarts the worker; replay is always safe

Record = tuple[int, bytes, bytes]
"""Partition, key and value of a record of the changelog."""
CaughtUp = Mapping[str, set[int]]
"""By fold, the partitions where nothing waits to be read."""


class Names(NamedTuple):
    """Where records go."""

    changelog: str
    prefix: str
    partitions: int


@dataclass(slots=True)
class Applied:
    """What the folds hold of a partition and its changelog does not."""

    events: list[Any] = field(default_factory=list)  # not yet acked
    records: int = 0


class Checkpoint:
    """What a worker has read but not yet made durable, and how it becomes durable."""

    def __init__(
        self,
        folds: Sequence[Fold],
        outputs: Outbox,
        states: Outbox,
        store: FencedStore,
        names: Names,
    ) -> None:
        self.folds = folds
        self.next_offset: dict[TP, int] = {}  # of each owned partition, where reading goes on
        self.tenure = 0  # counts rebalances: what began before one must not be finished after it
        self._applied: defaultdict[int, Applied] = defaultdict(Applied)  # by partition
        self._outputs = outputs
        self._states = states  # apart: while states wait for outputs, newer outputs leave
        self._store = store
        self._names = names
        self._prefixes = [(fold, fold_prefix(fold.name)) for fold in folds]
        self._headers: dict[int, Headers] = {}
        self._written: dict[TP, int] = {}  # positions as the changelog has them
        self._upkeep = Upkeep()
        self._partition_of: dict[bytes, int] = {}  # as many as there are symbols
        self._saving = asyncio.Lock()

    def applied(self, event: Any, records: int) -> None:
        """Take an event whose records the folds hold; it is acked when they are durable."""
        applied = self._applied[event.message.tp.partition]
        applied.events.append(event)
        applied.records += records

    @property
    def partitions(self) -> set[int]:
        """Those that are owned."""
        return {tp.partition for tp in self.next_offset}

    @property
    def unsaved(self) -> int:
        """How many records were read and are not durable yet."""
        return sum(applied.records for applied in self._applied.values())

    def put(self, outputs: Iterable[Output]) -> None:
        """Gather outputs for the next send."""
        counts: dict[str, int] = {}
        for topic, key, value in outputs:
            counts[topic.name] = counts.get(topic.name, 0) + 1
            self._outputs.put(
                self._names.prefix + topic.name, self._partition(topic, key), key or None, value
            )
        for name, count in counts.items():
            metrics.outputs.labels(name).inc(count)

    async def send(self, now_ms: int, caught_up: CaughtUp) -> None:
        """Publish what is due."""
        self._put_due(now_ms, caught_up)
        await self._outputs.send()

    async def claim(
        self,
        positions: Mapping[TP, int],
        tokens: Mapping[int, Token],
        check_fit: Callable[[], None],
    ) -> bool:
        """Become the owner of partitions: what earlier owners write from now on is refused.

        False: a rebalance has begun meanwhile.
        """
        tenure, now_s = self.tenure, time.monotonic()
        self._headers = {partition: token.headers() for partition, token in tokens.items()}
        records = [self._position(tp, offset) for tp, offset in positions.items()]
        kept: list[bytes] = []
        for partition in tokens:
            known = self._store.records(partition)
            kept += known
            # What stands behind these in the log counts no more, and compaction would keep it.
            late = self._store.refused.get(partition, set()) & known.keys()
            records += [(partition, key, known[key]) for key in late]
        self._upkeep.begin(kept, now_s)
        await self._write(records, check_fit)
        if tenure != self.tenure:
            return False
        self._remember(records, now_s)
        self._written = dict(positions)
        self.next_offset.update(positions)
        return True

    async def save(
        self,
        now_ms: int,
        caught_up: CaughtUp,
        check_fit: Callable[[], None],
        partitions: Partitions = None,
    ) -> None:
        """Make everything read so far of some partitions durable and ack it.

        ``check_fit`` raises when this worker has no right to write. It is asked at the last moment.
        """
        async with self._saving:
            # Outputs, states, positions and events are taken in one step, before the first await.
            tenure, now_s = self.tenure, time.monotonic()
            self._put_due(now_ms, caught_up)
            mine = self.partitions if partitions is None else set(partitions)
            positions = {tp: at for tp, at in self.next_offset.items() if tp.partition in mine}
            records = self._changed(positions, now_s)
            saved = [self._applied.pop(partition) for partition in mine & self._applied.keys()]
            try:
                await self._outputs.send()
                await self._outputs.arrived()
                if tenure != self.tenure:
                    return
                await self._write(records, check_fit)
            except Exception:  # whatever it was, the next process replays it
                logger.exception("checkpoint_failed")
                os._exit(EXIT_LOST)
            for applied in saved:
                for event in applied.events:
                    event.ack()
            metrics.checkpoints.inc()
            if tenure == self.tenure:
                self._remember(records, now_s)
                self._written.update(positions)

    def forget(self) -> None:
        """Drop everything: the partitions belong to somebody else until they are restored."""
        self.tenure += 1
        for partition in self.partitions:
            for fold in self.folds:
                fold.drop(partition)
        self.next_offset.clear()
        self._applied.clear()
        self._upkeep.begin((), 0.0)
        self._outputs.discard()
        self._states.discard()

    def _put_due(self, now_ms: int, caught_up: CaughtUp) -> None:
        for fold in self.folds:
            self.put(fold.outputs(now_ms, caught_up.get(fold.name, ())))

    def _changed(self, positions: Mapping[TP, int], now_s: float) -> list[Record]:
        """Return what is to be written: states before the positions that they reach up to."""
        partitions = {tp.partition for tp in positions}
        records = [
            (partition, prefix + key, value)
            for fold, prefix in self._prefixes
            for partition, key, value in fold.take_dirty(partitions)
        ]
        due = self._upkeep.due(now_s)
        if due:
            changed = {key for _, key, _ in records}
            records += [self._store.record(key) for key in due if key not in changed]
        moved = [tp for tp, offset in positions.items() if self._written.get(tp) != offset]
        return records + [self._position(tp, positions[tp]) for tp in moved]

    def _position(self, tp: TP, offset: int) -> Record:
        topic = tp.topic.removeprefix(self._names.prefix)
        return tp.partition, position_key(topic, tp.partition), b"%d" % offset

    async def _write(self, records: Iterable[Record], check_fit: Callable[[], None]) -> None:
        for partition, key, value in records:
            headers = self._headers[partition]
            self._states.put(self._names.changelog, partition, key, value, headers)
        check_fit()
        await self._states.send()
        await self._states.arrived()

    def _remember(self, records: Iterable[Record], now_s: float) -> None:
        for partition, key, value in records:
            self._store.remember(partition, key, value)
        self._upkeep.wrote((key for _, key, _ in records), now_s)

    def _partition(self, topic: Topic, key: bytes) -> int:
        if topic.partitions == 1:
            return 0
        partition = self._partition_of.get(key)
        if partition is None:
            partition = self._partition_of[key] = partition_for(key, self._names.partitions)
        return partition
