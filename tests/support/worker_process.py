"""``fibstream process`` as a child that dies on demand, or lacks a safeguard.

A short session lets the group forget a killed worker soon. The mutants take one safeguard away and
die at the worst moment, so that a test can show what the safeguard is for.
"""

import argparse
import asyncio
import os
import signal
import sys

from fibstream import stages
from processors import app
from processors.agents import trades
from processors.checkpoint import Checkpoint, position_key
from processors.outbox import Outbox
from processors.worker import Worker


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_at_arrival(number: int) -> None:
    """Die when so many batches of outputs and of states, in turn, were handed over."""
    arrived = Outbox.arrived
    left = number

    async def counted(self: Outbox) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            die()
        await arrived(self)

    Outbox.arrived = counted


def follow_the_group() -> None:
    """Read on where the group's commit says, and take every event that comes."""

    async def is_next(message, worker: Worker) -> bool:
        await worker.restored.wait()
        return message.tp.partition in worker.checkpoint.next_offset

    restore = Worker.restore

    async def restore_only(self: Worker) -> None:
        self._app.consumer.seek = lambda *_: asyncio.sleep(0)
        await restore(self)

    trades._is_next = is_next
    Worker.restore = restore_only


def states_before_outputs() -> None:
    """Write the states first, and die before the outputs."""

    async def save(self: Checkpoint, now_ms: int, may_write) -> None:
        outputs = list(self.engine.outputs(now_ms, ()))
        if not outputs or not self.next_offset:
            return
        for partition, key, value in self.engine.take_dirty():
            self._outbox.put(self._changelog, partition, key, value)
        await positions_written(self)
        die()

    Checkpoint.save = save


def positions_before_states() -> None:
    """Write the positions first, and die before the states."""

    async def save(self: Checkpoint, now_ms: int, may_write) -> None:
        if not any(self.next_offset.values()):
            return
        self.put(self.engine.outputs(now_ms, ()))
        await positions_written(self)
        die()

    Checkpoint.save = save


async def positions_written(checkpoint: Checkpoint) -> None:
    for partition, offset in checkpoint.next_offset.items():
        key = position_key(partition)
        checkpoint._outbox.put(checkpoint._changelog, partition, key, b"%d" % offset)
    await checkpoint._outbox.send()
    await checkpoint._outbox.arrived()


async def nothing(self: Checkpoint, now_ms: int, caught_up) -> None:
    """Publish nothing between checkpoints: what is lost with one then shows."""


MUTANTS = {
    "follow-the-group": follow_the_group,
    "states-before-outputs": states_before_outputs,
    "positions-before-states": positions_before_states,
}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--session-s", type=float, default=1.5)
    parser.add_argument("--die-at-arrival", type=int, default=0)
    parser.add_argument("--mutant", choices=MUTANTS)
    options = parser.parse_args()
    app.SESSION_TIMEOUT_S = options.session_s
    if options.die_at_arrival:
        die_at_arrival(options.die_at_arrival)
    if options.mutant:
        Checkpoint.send = nothing
        MUTANTS[options.mutant]()
    return stages.process()


if __name__ == "__main__":
    sys.exit(main())
