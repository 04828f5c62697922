"""The schedule: what is done to whom and when, drawn from a seed. Pure.

A round of acts fills a minute and holds every kind of harm, so that no seed is a lucky one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal, get_args

Down = Literal["kill-broker", "stop-broker"]
Sick = Literal["delay", "hold", "half-open", "cut"]
"""Of a connection. delay: each piece waits; hold: nothing passes until it is over, then everything;
half-open: it stands and swallows what it is given, then breaks; cut: none stands."""
Kind = Literal["kill", "freeze", "terminate", "leave", "join"] | Down | Sick
DOWN: tuple[Down, ...] = get_args(Down)
SICK: tuple[Sick, ...] = get_args(Sick)
KILLS = ("kill", "freeze", "terminate", "leave", "kill-broker", "stop-broker")
"""Acts that end or stop a process."""
BROKER = "broker"
EVERYBODY = "all"
ROUND_S = 60.0
LASTS_SESSIONS_MAX = 1.8  # longer than a session: the group has gone on without the worker
DELAYS_S = (0.05, 0.2, 0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """``for_s`` is how long it lasts: frozen, away, or with a sick connection."""

    at_s: float
    kind: Kind
    target: str
    for_s: float = 0.0
    delay_s: float = 0.0

    def __str__(self) -> str:
        lasts = f" for {self.for_s:.1f} s" if self.for_s else ""
        return f"{self.at_s:6.1f} s  {self.kind} {self.target}{lasts}"


def draw(
    seed: int, *, minutes: float, workers: Sequence[str], guests: Sequence[str], session_s: float
) -> list[Act]:
    """Return the acts of so many minutes (from 0.5), by time; ``guests`` are workers that join."""
    pick = Random(seed)  # noqa: S311 - drawn again from the same seed
    acts: list[Act] = []
    busy_until_s = dict.fromkeys((*workers, *guests, EVERYBODY, BROKER), 0.0)
    kinds = _kinds(pick)
    count = round(minutes * len(_round(pick)))
    gap_s = (minutes * ROUND_S - LASTS_SESSIONS_MAX * session_s) / count  # the last one ends, too
    for n in range(count):
        at_s = round(n * gap_s + pick.uniform(0.1, 0.9) * gap_s, 1)
        kind = next(kinds)
        target = _target(pick, kind, at_s, busy_until_s, workers, guests)
        for_s = round(_lasts_s(pick, kind, session_s), 1)
        busy_until_s[target] = at_s + for_s
        delay_s = pick.choice(DELAYS_S) if kind == "delay" else 0.0
        acts.append(Act(at_s=at_s, kind=kind, target=target, for_s=for_s, delay_s=delay_s))
    return acts


def _kinds(pick: Random) -> Iterator[Kind]:
    while True:
        yield from _round(pick)


def _round(pick: Random) -> list[Kind]:
    kinds: list[Kind] = ["kill", "kill", "freeze", "terminate", "leave", "join"]
    kinds += [pick.choice(DOWN), *pick.sample(SICK, 2)]
    pick.shuffle(kinds)
    return kinds


def _target(
    pick: Random,
    kind: Kind,
    at_s: float,
    busy_until_s: dict[str, float],
    workers: Sequence[str],
    guests: Sequence[str],
) -> str:
    """Return whom it concerns: somebody to whom nothing happens at that time, if there is one."""
    if kind in DOWN:
        return BROKER
    if kind == "join":
        return min(guests, key=lambda name: busy_until_s[name])
    if kind in SICK and pick.random() < 1 / 3:
        return EVERYBODY
    idle = [name for name in workers if busy_until_s[name] <= at_s]
    return pick.choice(idle or list(workers))


def _lasts_s(pick: Random, kind: Kind, session_s: float) -> float:
    match kind:
        case "kill" | "terminate":
            return 0.0  # it is restarted at once
        case "kill-broker" | "stop-broker":
            return pick.uniform(0.5, 4.0)
        case "freeze":
            return session_s * pick.uniform(1.2, LASTS_SESSIONS_MAX)
        case "leave" | "join":
            return session_s * pick.uniform(0.5, LASTS_SESSIONS_MAX)
        case _:  # a sick connection, for less than a session or for more
            return session_s * pick.uniform(0.2, LASTS_SESSIONS_MAX)
