"""``fibstream process`` as a child that dies on demand, or lacks a safeguard.

A short session lets the group forget a killed worker soon. The mutants take one safeguard away and
die at the worst moment, so that a test can show what the safeguard is for.
"""

import argparse
import asyncio
import os
import signal
import sys
import time

from fibstream import stages
from processors import app
from processors.agents import reading
from processors.changelog import is_position
from processors.checkpoint import Checkpoint
from processors.fencing import FencedStore
from processors.outbox import Outbox
from processors.transport import records_of
from processors.watchdog import Watchdog
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


def freeze() -> None:
    """Stand still until somebody lets it go on; nothing in it notices for how long."""
    Watchdog.wake = lambda *_: None
    Worker._check_fit = lambda _: None
    os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(0.05)  # the signal takes its time


def freeze_before_states(number: int) -> None:
    """Freeze in a checkpoint, between the last check and the producer; die when it has arrived."""
    write, left = Checkpoint._write, number

    async def frozen_write(self: Checkpoint, records, check_fit) -> None:
        nonlocal left
        records = list(records)
        left -= any(not is_position(key) for _, key, _ in records)

        def check() -> None:
            check_fit()
            if not left:
                freeze()

        await write(self, records, check)
        if not left:
            die()

    Checkpoint._write = frozen_write


def freeze_before_outputs(number: int) -> None:
    """Freeze with outputs in hand; die when they have arrived."""
    left = number

    async def frozen_send(self: Checkpoint, now_ms: int, caught_up) -> None:
        nonlocal left
        self._put_due(now_ms, caught_up)
        left -= bool(self._outputs._open)
        if not left:
            freeze()
        await self._outputs.send()
        if not left:
            await self._outputs.arrived()
            die()

    Checkpoint.send = frozen_send


def believe_all() -> None:
    """Take every record of the changelog for the owner's."""
    FencedStore._accepts = lambda *_: True


def follow_the_group() -> None:
    """Read on where the group's commit says, and take every event that comes."""

    async def next_records(event, worker: Worker):
        await worker.restored.wait()
        return records_of(event) if event.message.tp in worker.checkpoint.next_offset else ()

    restore = Worker.restore

    async def restore_only(self: Worker) -> None:
        self._app.consumer.seek = lambda *_: asyncio.sleep(0)
        self._app.is_member = lambda _: asyncio.sleep(0, True)  # it commits
        await restore(self)

    reading._next_records = next_records
    Worker.restore = restore_only


def states_before_outputs() -> None:
    """Write the states first, and die before the outputs."""

    async def save(self: Checkpoint, now_ms: int, caught_up, check_fit) -> None:
        outputs = [output for fold in self.folds for output in fold.outputs(now_ms, ())]
        if not outputs or not self.next_offset:
            return
        await self._write(self._changed(self.next_offset, 0.0), check_fit)
        die()

    Checkpoint.save = save


def positions_before_states() -> None:
    """Write the positions first, and die before the states."""

    async def save(self: Checkpoint, now_ms: int, caught_up, check_fit) -> None:
        if not any(self.next_offset.values()):
            return
        self._put_due(now_ms, caught_up)
        await self._write([self._position(*at) for at in self.next_offset.items()], check_fit)
        die()

    Checkpoint.save = save


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
    parser.add_argument("--freeze-before-states", type=int, default=0)
    parser.add_argument("--freeze-before-outputs", type=int, default=0)
    parser.add_argument("--believe-all", action="store_true")
    parser.add_argument("--mutant", choices=MUTANTS)
    options = parser.parse_args()
    app.SESSION_TIMEOUT_S = options.session_s
    if options.die_at_arrival:
        die_at_arrival(options.die_at_arrival)
    if options.freeze_before_states:
        freeze_before_states(options.freeze_before_states)
    if options.freeze_before_outputs:
        freeze_before_outputs(options.freeze_before_outputs)
    if options.believe_all:
        believe_all()
    if options.mutant:
        Checkpoint.send = nothing
        MUTANTS[options.mutant]()
    return stages.process()


if __name__ == "__main__":
    sys.exit(main())
