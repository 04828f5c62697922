"""Which trade ids of a symbol have been seen: the duplicate guard and the proof in one.

On a venue with dense ids the seen ids are one span ``first_id..last_id`` less the missing ranges.
An id in a missing range is a recovered trade; any other id inside the span is a duplicate.
"""

from typing import NamedTuple

MISSING_RANGES_MAX = 256


class Missing(NamedTuple):
    """Ids ``first..last`` never came. Their trades happened within ``[from_ms, to_ms]``."""

    first: int
    last: int
    from_ms: int
    to_ms: int

    @property
    def ids(self) -> int:
        """How many ids are missing."""
        return self.last - self.first + 1


class SeenIds:
    """The ids of one symbol. ``first_ms`` and ``last_ms`` are the times of the span's ends.

    ``lost`` counts the ids whose ranges were forgotten: nothing within their times is proven.
    """

    __slots__ = (
        *("first_id", "last_id", "first_ms", "last_ms", "missing"),
        *("lost", "lost_from_ms", "lost_to_ms"),
    )

    def __init__(self) -> None:
        self.first_id = 0
        self.last_id = -1  # empty span
        self.first_ms = 0
        self.last_ms = 0
        self.missing: list[Missing] = []
        self.lost = 0
        self.lost_from_ms = 0
        self.lost_to_ms = 0

    def admit(self, id_: int, ms: int) -> tuple[bool, Missing | None, Missing | None]:
        """Return (is it new, the range it opened, the range it shrank), and remember it."""
        if self.last_id < self.first_id:
            self.first_id = self.last_id = id_
            self.first_ms = self.last_ms = ms
            return True, None, None
        if id_ > self.last_id:
            opened = self._open(self.last_id + 1, id_ - 1, self.last_ms, ms)
            self.last_id, self.last_ms = id_, ms
            return True, opened, None
        if id_ < self.first_id:  # history from before the stream began
            opened = self._open(id_ + 1, self.first_id - 1, ms, self.first_ms)
            self.first_id, self.first_ms = id_, ms
            return True, opened, None
        for at, gap in enumerate(self.missing):
            if gap.first <= id_ <= gap.last:
                self.missing[at : at + 1] = _without(gap, id_, ms)
                return True, None, gap
        return False, None, None

    def forget_oldest(self) -> Missing | None:
        """Give up the oldest range when there are too many: its ids will count as duplicates."""
        if len(self.missing) <= MISSING_RANGES_MAX:
            return None
        gap = self.missing.pop(0)
        self.lost_from_ms = min(self.lost_from_ms, gap.from_ms) if self.lost else gap.from_ms
        self.lost_to_ms = max(self.lost_to_ms, gap.to_ms)
        self.lost += gap.ids
        return gap

    def missing_in(self, from_ms: int, to_ms: int) -> int:
        """Return how many missing ids may belong in ``[from_ms, to_ms)``."""
        missing = sum(
            gap.ids for gap in self.missing if gap.from_ms < to_ms and gap.to_ms >= from_ms
        )
        if self.lost and self.lost_from_ms < to_ms and self.lost_to_ms >= from_ms:
            missing += self.lost
        return missing

    def _open(self, first: int, last: int, ms: int, other_ms: int) -> Missing | None:
        if last < first:
            return None
        gap = Missing(first, last, min(ms, other_ms), max(ms, other_ms))
        self.missing.append(gap)
        self.missing.sort()
        return gap


def _without(gap: Missing, id_: int, ms: int) -> list[Missing]:
    # The neighbours' times bound what is still missing; a venue's times may step back, so the
    # bounds are only ever tightened inside the old ones.
    ms = min(max(ms, gap.from_ms), gap.to_ms)
    parts = (
        Missing(gap.first, id_ - 1, gap.from_ms, ms),
        Missing(id_ + 1, gap.last, ms, gap.to_ms),
    )
    return [part for part in parts if part.first <= part.last]
