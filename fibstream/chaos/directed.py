"""The self-test: one safeguard is off, and what it is for happens for certain, not by luck.

The control has every safeguard and dies in the same way. It must pass, or the others' failures
would prove nothing.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from fibstream.chaos.arena import Arena
from processors.app import APP_ID
from runtime.settings import Settings
from schemas.topics import TRADES

PLAY_S = 8.0  # of trades before and after
AWAY_S = 5.0
DIES_WITHIN_S = 180.0
POLL_S = 0.2

Play = Callable[[Arena], Awaitable[None]]


def mark_of(folder: Path) -> Path:
    """Return the file that says that the worker has died where it should."""
    return folder / "died"


def sabotaged(without: str, folder: Path) -> Sequence[str]:
    """Return the argv of a worker that lacks a safeguard."""
    mark = str(mark_of(folder))
    return [sys.executable, "-m", "fibstream.chaos.sabotage", "--without", without, "--mark", mark]


async def _until_it_died(arena: Arena) -> None:
    """Let the worker die, be started again, and go on for a while."""
    mark, starts = mark_of(arena.settings.data_dir), arena.crew.starts
    async with asyncio.timeout(DIES_WITHIN_S):
        while not mark.exists() or arena.crew.starts == starts:  # noqa: ASYNC110 - of a child
            await asyncio.sleep(POLL_S)
    await asyncio.sleep(PLAY_S)


async def _commit_ahead(arena: Arena) -> None:
    """While nobody reads, commit for the workers' group what nobody has read."""
    (name,) = arena.crew.proxies.keys() & arena.crew.present
    await asyncio.sleep(PLAY_S)
    await arena.crew.leave(name)
    await asyncio.sleep(AWAY_S)
    await _commit_to_the_end(arena.settings)
    await arena.crew.join(name)
    await asyncio.sleep(PLAY_S)


async def _commit_to_the_end(settings: Settings) -> None:
    prefix = settings.kafka_topic_prefix
    tps = [TopicPartition(prefix + TRADES.name, n) for n in range(settings.kafka_partitions)]
    group = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka_bootstrap,
        group_id=prefix + APP_ID,
        enable_auto_commit=False,
    )
    async with group:
        group.assign(tps)
        await group.commit(await group.end_offsets(tps))


PLAYS: Mapping[str, Play] = {
    "control": _until_it_died,
    "position-guard": _commit_ahead,
    "awaiting": _until_it_died,
    "order": _until_it_died,
}


def summary(reports: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the report of the self-test: the control passes, and each of the others fails."""
    counts = ("ok", "candles", "wrong", "lost", "duplicated")
    return {
        "ok": all(report["ok"] == (name == "control") for name, report in reports.items()),
        **{
            name: {count: report[count] for count in counts}
            | {"first_difference": next(iter(report["differences"]), "")}
            for name, report in reports.items()
        },
    }
