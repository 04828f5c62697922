"""The state is the commit: outputs, then states and positions, then acks, in that order.

A crash anywhere replays and recomputes the same outputs. The changelog record ``@<partition>``
says where reading goes on; Faust's committed offset may lag, or run ahead over a hole.
"""

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import structlog

from processors import metrics
from processors.engine.engine import Engine, Output
from processors.outbox import Outbox
from runtime.kafka import partition_for

logger = structlog.get_logger(__name__)

EXIT_LOST = 70  # the supervisor restarts the worker; replay is always safe


class Checkpoint:
    """What a worker has read but not yet made durable, and how it becomes durable."""

    def __init__(
        self, engine: Engine, outbox: Outbox, *, changelog: str, prefix: str, partitions: int
    ) -> None:
        self.engine = engine
        self.next_offset: dict[int, int] = {}  # of each owned partition, where reading goes on
        self.events: list[Any] = []  # applied, not yet acked
        self._outbox = outbox
        self._changelog = changelog
        self._prefix = prefix
        self._partitions = partitions
        self._partition_of: dict[bytes, int] = {}  # as many as there are symbols
        self._lock = asyncio.Lock()

    def put(self, outputs: Iterable[Output]) -> None:
        """Gather outputs for the next send."""
        counts: dict[str, int] = {}
        for topic, key, value in outputs:
            counts[topic.name] = counts.get(topic.name, 0) + 1
            self._outbox.put(self._prefix + topic.name, self._partition(key), key or None, value)
        for name, count in counts.items():
            metrics.outputs.labels(name).inc(count)

    async def send(self, now_ms: int, caught_up: Iterable[int]) -> None:
        """Publish what is due."""
        async with self._lock:
            self.put(self.engine.outputs(now_ms, set(caught_up)))
            await self._outbox.send()

    async def save(self, now_ms: int, may_write: Callable[[], bool]) -> Mapping[bytes, bytes]:
        """Make everything read so far durable and ack it; return the states written.

        ``may_write`` is asked at the last moment: a state written late, by a process that stood
        still, would undo what the partition's new owner has written meanwhile.
        """
        async with self._lock:
            # Outputs, states, positions and events are taken in one step, before the first await.
            self.put(self.engine.outputs(now_ms, ()))
            states = self.engine.take_dirty()
            positions = dict(self.next_offset)
            events, self.events = self.events, []
            try:
                await self._outbox.send()
                await self._outbox.arrived()
                if not may_write():
                    return {}
                for partition, key, value in states:
                    self._outbox.put(self._changelog, partition, key, value)
                for partition, offset in positions.items():
                    self._outbox.put(
                        self._changelog, partition, position_key(partition), b"%d" % offset
                    )
                await self._outbox.send()
                await self._outbox.arrived()
            except Exception:  # whatever it was, the next process replays it
                logger.exception("checkpoint_failed")
                os._exit(EXIT_LOST)
            for event in events:
                event.ack()
            metrics.checkpoints.inc()
            return {key: value for _, key, value in states} | {
                position_key(partition): b"%d" % offset for partition, offset in positions.items()
            }

    def _partition(self, key: bytes) -> int:
        if not key:
            return 0  # a dead letter has no key, and its topic one partition
        partition = self._partition_of.get(key)
        if partition is None:
            partition = self._partition_of[key] = partition_for(key, self._partitions)
        return partition

    def forget(self) -> None:
        """Drop everything: the partitions belong to somebody else until they are restored."""
        for partition in list(self.next_offset):
            self.engine.drop(partition)
        self.next_offset.clear()
        self.events.clear()
        self._outbox.discard()


def position_key(partition: int) -> bytes:
    """Return the changelog key under which a partition's next offset is kept."""
    return b"@%d" % partition
