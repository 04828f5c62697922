"""Thirty holes of all kinds, placed so that each has to be healed in its own way.

Days are counted from the first one of the past; the last whole one is ``DAYS - 1``. USD-M REST
reaches so far back that the missing day is in reach, and the day of the one that nobody has is not.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal, NamedTuple

import numpy as np

from fibstream.bench.history_truth import Mask, Series
from schemas.intervals import DAY_MS, HOUR_MS
from schemas.trades import Channel

DAYS = 6
LOST_DAY = 1  # of the hole that nobody can fill
MISSING_DAY = 3  # no archive has it, but REST does
HORIZON_H = 84  # of REST, before today's midnight: into the day before the missing one
CROWD = 300  # more holes of one symbol than the engine remembers

Kind = Literal[
    "page", "single", "pages", "midnight", "missing_day", "newest", "burst", "unrecoverable"
]
KINDS: Mapping[Kind, int] = {
    "page": 8,
    "single": 3,
    "pages": 3,
    "midnight": 4,
    "missing_day": 3,
    "newest": 4,
    "burst": 4,
    "unrecoverable": 1,
}
ROWS_MAX: Mapping[Kind, int] = {"page": 300, "pages": 2_500, "newest": 50, "unrecoverable": 40}
BURST_ROWS_MAX = 2_000
AROUND_MIDNIGHT = 60  # rows on each side
TRIES_MAX = 100  # to find a place for one hole
RECENT_MS = 20 * HOUR_MS  # REST of both markets tells it


class Hole(NamedTuple):
    """Rows ``low`` to ``high`` (not included) of a series never came."""

    kind: Kind
    series: Series
    low: int
    high: int

    @property
    def ids(self) -> tuple[int, int]:
        """Return the first and the last id."""
        ids = self.series.trades.id
        return int(ids[self.low]), int(ids[self.high - 1])


class Fault(NamedTuple):
    """A file that the archive does not have."""

    channel: Channel
    symbol: str
    name: str


def punch(every: Sequence[Series], seed: int) -> list[Hole]:
    """Return the holes; none touches another one of its symbol."""
    chance = random.Random(seed)  # noqa: S311 - seeded, not secret
    markets = [[s for s in every if s.channel == c] for c in ("linear", "spot")]
    holes: list[Hole] = []
    for kind, count in KINDS.items():
        for number in range(count):
            market = markets[0 if kind == "unrecoverable" else number % 2]
            # The last symbol has no archive of the lost day: other holes of that day avoid it.
            usable = market[-1:] if kind == "unrecoverable" else market[:-1]
            holes.append(_placed(kind, usable, holes, chance))
    return holes


def _placed(
    kind: Kind, usable: Sequence[Series], holes: Sequence[Hole], chance: random.Random
) -> Hole:
    for _ in range(TRIES_MAX):
        series = chance.choice(usable)
        hole = Hole(kind, series, *_PLACES[kind](series, chance))
        if not any(_touch(hole, other) for other in holes):
            return hole
    raise RuntimeError(f"no room for another hole of kind {kind}: more symbols or trades")


def crowd(every: Sequence[Series]) -> tuple[Series, Mask]:
    """Return a symbol of USD-M and which of its rows are a crowd of single holes."""
    series = [s for s in every if s.channel == "linear"][-1]
    gone = np.zeros(len(series.trades.id), np.bool_)
    at = _row(series, 4.2)
    gone[at : at + 3 * CROWD : 3] = True
    return series, gone


def faults(holes: Sequence[Hole]) -> Iterator[Fault]:
    """Yield what the archive must lack: the days, and the months that would serve instead."""
    for hole in holes:
        day = {"unrecoverable": LOST_DAY, "missing_day": MISSING_DAY}.get(hole.kind)
        if day is not None and hole.series.channel == "linear":
            at_s = (hole.series.from_ms + day * DAY_MS) // 1_000
            name = datetime.fromtimestamp(at_s, UTC).date().isoformat()
            yield Fault(*hole.series.name, name)
            yield Fault(*hole.series.name, name[:7])


def masks(every: Sequence[Series], holes: Sequence[Hole]) -> dict[tuple[Channel, str], Mask]:
    """Return which rows of every series never came."""
    gone = {series.name: np.zeros(len(series.trades.id), np.bool_) for series in every}
    for hole in holes:
        gone[hole.series.name][hole.low : hole.high] = True
    return gone


def by_kind(holes: Sequence[Hole]) -> dict[str, int]:
    """Return how many ids the holes of each kind have."""
    ids: Counter[str] = Counter()
    for hole in holes:
        ids[hole.kind] += hole.high - hole.low
    return dict(ids)


def _touch(one: Hole, other: Hole) -> bool:
    return one.series.name == other.series.name and one.low <= other.high and other.low <= one.high


# -- places


def _row(series: Series, day: float) -> int:
    """Return the first row of a moment, in days from the beginning."""
    return int(np.searchsorted(series.trades.ts, series.from_ms + int(day * DAY_MS)))


def _some(kind: Kind, low: int, high: int, chance: random.Random) -> int:
    """Return how many rows a hole between these has."""
    return max(1, min(ROWS_MAX[kind], (high - low) // 4) - chance.randrange(8))


def _inside(kind: Kind) -> Callable[[Series, random.Random], tuple[int, int]]:
    def place(series: Series, chance: random.Random) -> tuple[int, int]:
        if kind == "page" and series.channel == "linear":
            low = int(np.searchsorted(series.trades.ts, series.history_ms - RECENT_MS))
            high = int(np.searchsorted(series.trades.ts, series.history_ms - HOUR_MS))
        else:
            day = {"pages": 2.1, "single": 0.1, "unrecoverable": LOST_DAY + 0.2}.get(kind, 4.1)
            low, high = _row(series, day), _row(series, day + 0.7)
        rows = 1 if kind == "single" else _some(kind, low, high, chance)
        at = chance.randrange(low, max(low + 1, high - rows))
        return at, at + rows

    return place


def _midnight(series: Series, chance: random.Random) -> tuple[int, int]:
    at = _row(series, 1)
    return at - chance.randrange(1, AROUND_MIDNIGHT), at + chance.randrange(1, AROUND_MIDNIGHT)


def _missing_day(series: Series, chance: random.Random) -> tuple[int, int]:
    low, high = _row(series, MISSING_DAY), _row(series, MISSING_DAY + 1)
    return low - chance.randrange(1, AROUND_MIDNIGHT), high + chance.randrange(1, AROUND_MIDNIGHT)


def _newest(series: Series, chance: random.Random) -> tuple[int, int]:
    rows = len(series.trades.id)
    return rows - 1 - chance.randrange(1, ROWS_MAX["newest"]), rows - 1


def _burst(series: Series, chance: random.Random) -> tuple[int, int]:
    """Return the densest rows but the newest ones."""
    ts = series.trades.ts
    low = int(np.searchsorted(ts, series.history_ms))
    high = len(ts) - 2 * ROWS_MAX["newest"]
    if high <= low:
        return low - 2, low - 1
    rows = max(1, min(BURST_ROWS_MAX - chance.randrange(50), (high - low) // 3))
    took_ms = ts[low + rows : high] - ts[low : high - rows]
    at = low + int(np.argmin(took_ms))
    return at, at + rows


_PLACES: Mapping[Kind, Callable[[Series, random.Random], tuple[int, int]]] = {
    "page": _inside("page"),
    "single": _inside("single"),
    "pages": _inside("pages"),
    "midnight": _midnight,
    "missing_day": _missing_day,
    "newest": _newest,
    "burst": _burst,
    "unrecoverable": _inside("unrecoverable"),
}
