"""Sets of ids as ranges, and what of a missing range is known already. Pure."""

from bisect import bisect_left
from collections.abc import Iterable
from typing import NamedTuple


class Missing(NamedTuple):
    """Ids ``first_id..last_id`` are not there; ``from_ms`` and ``to_ms`` are their neighbours'."""

    first_id: int
    last_id: int
    from_ms: int
    to_ms: int

    @property
    def ids(self) -> int:
        """How many ids are missing."""
        return self.last_id - self.first_id + 1


class Ranges:
    """A set of ids, kept as disjoint ranges in order."""

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for first, last in sorted(ranges):
            if self._lasts and first <= self._lasts[-1] + 1:
                self._lasts[-1] = max(self._lasts[-1], last)
            else:
                self._firsts.append(first)
                self._lasts.append(last)

    def __len__(self) -> int:
        return len(self._firsts)

    def without(self, gap: Missing) -> list[Missing]:
        """Return the parts of ``gap`` that are not in the set."""
        parts = []
        first = gap.first_id
        for at in range(bisect_left(self._lasts, gap.first_id), len(self._firsts)):
            if self._firsts[at] > gap.last_id:
                break
            if self._firsts[at] > first:
                parts.append(gap._replace(first_id=first, last_id=self._firsts[at] - 1))
            first = max(first, self._lasts[at] + 1)
        if first <= gap.last_id:
            parts.append(gap._replace(first_id=first))
        return parts

    def count(self, gap: Missing) -> int:
        """Return how many ids of ``gap`` are in the set."""
        return gap.ids - sum(part.ids for part in self.without(gap))
