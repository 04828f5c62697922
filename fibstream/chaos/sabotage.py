"""``python -m fibstream.chaos.sabotage``: a worker that lacks one safeguard, for the self-test.

It dies, or freezes, where the safeguard would be needed, once: the run after that lacks it still,
but lives.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from fibstream import stages
from fibstream.chaos.directed import freeze_mark_of
from processors.agents import reading
from processors.changelog import is_position
from processors.checkpoint import CaughtUp, Checkpoint, Record
from processors.fencing import FencedStore
from processors.fold import Partitions
from processors.outbox import Outbox
from processors.transport import records_of
from processors.watchdog import Watchdog
from processors.worker import Worker
from schemas.topics import KLINES

RIPE_AFTER_S = 4.0  # since its first checkpoint: there are candles, and something to lose
LATE_S = 10.0  # how long outputs of the last checkpoint are on their way
LATE_RECORDS_MIN = 20  # whose states are written behind the successor's

Save = Callable[..., Awaitable[None]]


class Death:
    """The end of this process, at its place and once."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark
        self._ripe_s: float | None = None

    def is_due(self) -> bool:
        """Say whether it is time, and it has not been before."""
        now_s = asyncio.get_running_loop().time()
        self._ripe_s = self._ripe_s or now_s + RIPE_AFTER_S
        marks = (self._mark, freeze_mark_of(self._mark))
        return now_s >= self._ripe_s and not any(mark.exists() for mark in marks)

    def freeze(self) -> None:
        """Stand still until somebody lets it go on; nothing in it notices for how long."""
        _replace(Watchdog, wake=lambda *_: None)
        _replace(Worker, _check_fit=lambda _: None)
        freeze_mark_of(self._mark).touch()
        os.kill(os.getpid(), signal.SIGSTOP)
        time.sleep(0.05)  # the signal takes its time

    def come(self) -> None:
        """Die as by the operating system's hand."""
        self._mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)


class SlowOutputs(Outbox):
    """Outputs whose partitions take their time."""

    async def send(self) -> None:
        """Hand over late what ``arrived`` waits for."""
        await asyncio.sleep(LATE_S)
        await super().send()


def order(death: Death) -> None:
    """States and positions first, outputs after."""

    async def save(
        self: Checkpoint,
        now_ms: int,
        caught_up: CaughtUp,
        check_fit: Callable[[], None],
        *scope: Partitions,
    ) -> None:
        due = [output for fold in self.folds for output in fold.outputs(now_ms, ())]
        if death.is_due() and any(output.topic is KLINES for output in due):
            await self._write(self._changed(self.next_offset, 0.0), check_fit)
            death.come()
        self.put(due)
        await saved(self, now_ms, caught_up, check_fit, *scope)

    saved = Checkpoint.save
    _replace(Checkpoint, save=save)


def awaiting(death: Death) -> None:
    """States are written while the outputs before them are still on their way."""

    async def hasty(
        self: Checkpoint,
        now_ms: int,
        caught_up: CaughtUp,
        check_fit: Callable[[], None],
        *_: Partitions,
    ) -> None:
        self._put_due(now_ms, caught_up)
        leaving = asyncio.ensure_future(self._outputs.send())
        await self._write(self._changed(self.next_offset, 0.0), check_fit)
        death.come()
        await leaving

    _die_while_outputs_leave(death, hasty)


def control(death: Death) -> None:
    """All safeguards, and a death while outputs are on their way: this must change nothing."""
    saved = Checkpoint.save

    async def calm(self: Checkpoint, *how: Any) -> None:
        asyncio.get_running_loop().call_later(LATE_S / 10, death.come)
        await saved(self, *how)

    _die_while_outputs_leave(death, calm)


def _die_while_outputs_leave(death: Death, last: Save) -> None:
    async def save(self: Checkpoint, *how: Any) -> None:
        if death.is_due():
            self._outputs = SlowOutputs(self._outputs._producer)  # noqa: SLF001
            await last(self, *how)
        else:
            await saved(self, *how)

    saved = Checkpoint.save
    _replace(Checkpoint, save=save)


def control_fence(death: Death) -> None:
    """All safeguards; after the last check it freezes with states in hand, and dies behind them."""

    async def late(
        self: Checkpoint, records: Iterable[Record], check_fit: Callable[[], None]
    ) -> None:
        records = list(records)
        has_states = any(not is_position(key) for _, key, _ in records)
        if not (has_states and death.is_due()):
            await write(self, records, check_fit)
            return

        def check() -> None:
            check_fit()
            death.freeze()

        await write(self, records, check)
        death.come()

    async def save_all(
        self: Checkpoint,
        now_ms: int,
        caught_up: CaughtUp,
        check_fit: Callable[[], None],
        partitions: Partitions = None,
    ) -> None:
        # With few states in hand, all may be of busy symbols, which the successor has soon written.
        if not death.is_due():
            await save(self, now_ms, caught_up, check_fit, partitions)
        elif partitions is None or self.unsaved >= LATE_RECORDS_MIN:
            await save(self, now_ms, caught_up, check_fit)

    write, save = Checkpoint._write, Checkpoint.save  # noqa: SLF001
    _replace(Checkpoint, _write=late, save=save_all)


def fence(death: Death) -> None:
    """Every record of the changelog is taken for its owner's."""
    _replace(FencedStore, _accepts=lambda *_: True)
    control_fence(death)


def position_guard(_: Death) -> None:
    """Reading goes on where the group's commit says, and takes every event that comes."""

    async def next_records(event: Any, worker: Worker) -> Any:
        await worker.restored.wait()
        is_mine = event.message.tp in worker.checkpoint.next_offset
        return records_of(event) if is_mine else ()

    async def restore_only(self: Worker) -> None:
        async def stay(*_: object) -> None:
            pass

        async def yes(_: Mapping[Any, int]) -> bool:
            return True  # by not asking: the question is a commit

        self._app.consumer.seek = stay
        self._app.is_member = yes
        await restore(self)

    restore = Worker.restore
    _replace(reading, _next_records=next_records)
    _replace(Worker, restore=restore_only)


SABOTAGES: Mapping[str, Callable[[Death], None]] = {
    "control": control,
    "position-guard": position_guard,
    "awaiting": awaiting,
    "order": order,
    "control-fence": control_fence,
    "fence": fence,
}


def _replace(where: Any, **parts: Any) -> None:
    for name, part in parts.items():
        setattr(where, name, part)


async def _nothing(self: Checkpoint, now_ms: int, caught_up: CaughtUp) -> None:
    """Publish nothing between checkpoints: what is lost with one then shows."""


def main() -> int:
    """Run the worker."""
    parser = argparse.ArgumentParser(prog="python -m fibstream.chaos.sabotage", description=__doc__)
    parser.add_argument("--without", choices=SABOTAGES, required=True)
    parser.add_argument("--mark", type=Path, required=True, help="made when it has died")
    options = parser.parse_args()
    _replace(Checkpoint, send=_nothing)
    SABOTAGES[options.without](Death(options.mark))
    return stages.process()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
