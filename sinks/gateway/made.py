"""Which intervals are made: as the settings, the control topic and the candles themselves say."""

from collections.abc import Iterable
from typing import NamedTuple

from schemas.intervals import Interval
from schemas.wanted import WantedIntervals

LATE_MAX = 10_000  # intervals; the oldest are forgotten


class Changed(NamedTuple):
    """What is made no more, and what is made again."""

    ended: frozenset[Interval]
    again: frozenset[Interval]


class Made:
    """The intervals that are made here."""

    def __init__(self, intervals: Iterable[Interval]) -> None:
        self.removed: frozenset[Interval] = frozenset()
        self._told = frozenset(intervals)
        self._seen: set[Interval] = set()  # others than we may know more
        self._late: dict[Interval, None] = {}

    def __contains__(self, interval: Interval) -> bool:
        return interval in self._told or (interval in self._seen and interval not in self._late)

    def __str__(self) -> str:
        return f"made are {', '.join(interval.text for interval in self.intervals)}"

    @property
    def all(self) -> frozenset[Interval]:
        """Return those, also what somebody wants no more though candles of it were seen."""
        return self._told | (self._seen - self._late.keys())

    @property
    def intervals(self) -> list[Interval]:
        """Return them, shortest first."""
        return sorted(self.all - self.removed)

    def see(self, interval: Interval) -> None:
        """Learn that there are candles of an interval; of one that ended they are but late."""
        self._seen.add(interval)

    def want(self, wanted: WantedIntervals) -> Changed:
        """Learn what is made from now on; return what that changes."""
        before = self._told
        self._told, self.removed = frozenset(wanted.made), wanted.removed
        ended = before - self._told
        again = (self._told - before) & self._late.keys()
        self._late |= dict.fromkeys(before ^ self._told)
        while len(self._late) > LATE_MAX:
            del self._late[next(iter(self._late))]
        return Changed(ended, again)

    def is_late(self, interval: Interval) -> bool:
        """Say whether it was not always made: there is more to know than was told of it."""
        return interval in self._late
