"""The self-test: one safeguard is off, and what it is for happens for certain, not by luck.

The controls have every safeguard, and the same happens to them. They must pass, or the others'
failures would prove nothing.
"""

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

from fibstream.chaos.arena import Arena
from processors.app import APP_ID, SESSION_TIMEOUT_S
from runtime.settings import Settings
from schemas.topics import TRADES

PLAY_S = 8.0  # of trades before and after
AWAY_S = 5.0
DIES_WITHIN_S = 180.0
POLL_S = 0.2

CHECKPOINTS_S = 1.5  # after which the owner has written where it reads on, but few states

GUEST = "guest-1"


class Play(NamedTuple):
    """What happens to a worker that lacks something, and among how many trades."""

    happens: Callable[[Arena], Awaitable[None]]
    passes: bool = False
    trades_per_s: float = 200.0
    symbols: int = 6
    """Of each market. Many quiet ones show which of their states was believed."""
    guests: Sequence[str] = ()


def mark_of(folder: Path) -> Path:
    """Return the file that says that the worker has died where it should."""
    return folder / "died"


def freeze_mark_of(mark: Path) -> Path:
    """Return the file that says that the worker stands still where it should."""
    return mark.with_name("frozen")


def sabotaged(without: str, folder: Path) -> Sequence[str]:
    """Return the argv of a worker that lacks a safeguard."""
    mark = str(mark_of(folder))
    return [sys.executable, "-m", "fibstream.chaos.sabotage", "--without", without, "--mark", mark]


async def _exists(mark: Path) -> None:
    async with asyncio.timeout(DIES_WITHIN_S):
        while not mark.exists():  # noqa: ASYNC110, ASYNC240 - a child makes it
            await asyncio.sleep(POLL_S)


async def _wake_behind_a_successor(arena: Arena) -> None:
    """Let a worker freeze with states in hand, wake up behind its successor, and write them."""
    (name,) = arena.crew.present
    died = mark_of(arena.settings.data_dir)
    await _exists(freeze_mark_of(died))
    await arena.crew.join(GUEST)
    await asyncio.sleep(SESSION_TIMEOUT_S + PLAY_S)
    arena.crew.wake(name)
    await _exists(died)  # its states have arrived
    await asyncio.sleep(CHECKPOINTS_S)
    await arena.crew.strike(GUEST, signal.SIGKILL)
    await asyncio.sleep(PLAY_S)


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


_QUIET: Mapping[str, Any] = {"trades_per_s": 20.0, "symbols": 40, "guests": (GUEST,)}
PLAYS: Mapping[str, Play] = {
    "control": Play(_until_it_died, passes=True),
    "position-guard": Play(_commit_ahead),
    "awaiting": Play(_until_it_died),
    "order": Play(_until_it_died),
    "control-fence": Play(_wake_behind_a_successor, passes=True, **_QUIET),
    "fence": Play(_wake_behind_a_successor, **_QUIET),
}


def summary(reports: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the report of the self-test: the controls pass, and each of the others fails."""
    counts = ("ok", "candles", "wrong", "lost", "duplicated")
    return {
        "ok": all(report["ok"] == PLAYS[name].passes for name, report in reports.items()),
        **{
            name: {count: report[count] for count in counts}
            | {"first_difference": next(iter(report["differences"]), "")}
            for name, report in reports.items()
        },
    }
