"""Which intervals are made: as the settings, the control topic and the candles themselves say."""

from collections.abc import Iterable

from schemas.intervals import Interval
from schemas.wanted import WantedIntervals


class Made:
    """The intervals that are made here."""

    def __init__(self, intervals: Iterable[Interval]) -> None:
        self.removed: frozenset[Interval] = frozenset()
        self._told = frozenset(intervals)
        self._seen: set[Interval] = set()  # others than we may know more

    def __contains__(self, interval: Interval) -> bool:
        return interval in self._told or interval in self._seen

    def __str__(self) -> str:
        return f"made are {', '.join(interval.text for interval in self.intervals)}"

    @property
    def all(self) -> frozenset[Interval]:
        """Return those, and those that were until they were removed."""
        return self._told | self._seen

    @property
    def intervals(self) -> list[Interval]:
        """Return them, shortest first."""
        return sorted((self._told | self._seen) - self.removed)

    def see(self, interval: Interval) -> None:
        """Learn that there are candles of an interval."""
        self._seen.add(interval)

    def want(self, wanted: WantedIntervals) -> None:
        """Learn what is made from now on."""
        self._told, self.removed = frozenset(wanted.made), wanted.removed
