"""Which trade ids of a symbol have been seen: the duplicate guard and the proof in one.

Where ids have no holes (``dense`` and ``range``) the seen ids are one span ``first_id..last_id``
less the missing ranges. Ids in a missing range are a recovered trade; any other id inside the span
is a duplicate. A trade of several ids is taken only when none of them was seen: its quantity cannot
be divided, so what only it would have told stays missing, and named.
"""

from typing import NamedTuple

from processors.engine.bars import ASSUMED, BEGAN_INSIDE, PROVEN, Claim
from schemas.trades import SymbolTrades

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


class Admission(NamedTuple):
    """What became of the ids of a trade: the range they opened, the range they shrank."""

    is_new: bool
    opened: Missing | None = None
    shrunk: Missing | None = None


NEW = Admission(is_new=True)
SEEN = Admission(is_new=False)


def spans(group: SymbolTrades) -> tuple[list[int], list[int]]:
    """Return the first and the last id of every trade, as the rule of the group's ids reads it."""
    if group.ids == "range" and group.first is not None and group.last is not None:
        return group.first, group.last
    return group.id, group.id


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

    def admit(self, first: int, last: int, ms: int) -> Admission:
        """Take the ids of one trade, all or none, and remember them."""
        if self.last_id < self.first_id:
            self.first_id, self.last_id = first, last
            self.first_ms = self.last_ms = ms
            return NEW
        if first > self.last_id:
            opened = self._open(self.last_id + 1, first - 1, self.last_ms, ms)
            self.last_id, self.last_ms = last, ms
            return Admission(True, opened, None)
        if last < self.first_id:  # history from before the stream began
            opened = self._open(last + 1, self.first_id - 1, ms, self.first_ms)
            self.first_id, self.first_ms = first, ms
            return Admission(True, opened, None)
        for at, gap in enumerate(self.missing):
            if gap.first <= first and last <= gap.last:
                self.missing[at : at + 1] = _without(gap, first, last, ms)
                return Admission(True, None, gap)
        return SEEN

    def claim(self, open_ms: int, end_ms: int, *, is_sealed: bool) -> Claim:
        """Return what is proven about a window; sealed: a trade beyond its end has come."""
        if self.missing or self.lost:
            missing = self.missing_in(open_ms, end_ms)
            if missing:
                return Claim("gap", missing)
        if open_ms <= self.first_ms and self.first_id > 1:
            return BEGAN_INSIDE
        return PROVEN if is_sealed else ASSUMED

    def forget_oldest(self) -> Missing | None:
        """Forget the oldest range when there are too many: its ids will count as repeats."""
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

    def may_have_lost(self, ms: int) -> bool:
        """Say whether a trade then that counts as a repeat may be of a range that was forgotten."""
        return self.lost > 0 and self.lost_from_ms <= ms <= self.lost_to_ms

    def _open(self, first: int, last: int, ms: int, other_ms: int) -> Missing | None:
        if last < first:
            return None
        gap = Missing(first, last, min(ms, other_ms), max(ms, other_ms))
        self.missing.append(gap)
        self.missing.sort()
        return gap


def _without(gap: Missing, first: int, last: int, ms: int) -> list[Missing]:
    # The neighbours' times bound what is still missing; a venue's times may step back, so the
    # bounds are only ever tightened inside the old ones.
    ms = min(max(ms, gap.from_ms), gap.to_ms)
    parts = (
        Missing(gap.first, first - 1, gap.from_ms, ms),
        Missing(last + 1, gap.last, ms, gap.to_ms),
    )
    return [part for part in parts if part.first <= part.last]
