"""Which trades of one symbol were seen already, across reconnects and duplicate sockets.

It never drops a trade that may be new: ids that were jumped over stay welcome, and what was
forgotten is passed on. The processor has the last word.
"""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Protocol

from ingest.exchanges.base import TradeRow
from schemas.trades import IdRule

MISSING_RANGES_MAX = 1_000
KEPT_NS = 60_000_000_000  # of receive time
# However old, so many are remembered: the longest list of past trades that a venue sends again
# (Bybit's REST, 1,000 trades; on a quiet symbol they are hours old).
KEPT_MIN = 1_024
KEPT_MAX = 50_000  # ~120 bytes each: 6 MB for a symbol of more than 800 trades/s
GENERATION_IDS = 512  # forgotten together


class Seen(Protocol):
    """What has come of one symbol."""

    def is_new(self, row: TradeRow, recv_ns: int, /) -> bool:
        """Say whether the trade was not seen before, and remember it."""


class RangeIds:
    """Ids without holes: the highest one, and the ranges below it that never came.

    A row is new when none of its ids was seen: half of an aggregate cannot be taken.
    """

    __slots__ = ("_floor", "_last", "_missing")

    def __init__(self) -> None:
        self._last = -1
        self._floor = 0  # below it nothing is known
        self._missing: list[tuple[int, int]] = []  # ascending, both ends included

    def is_new(self, row: TradeRow, _recv_ns: int) -> bool:
        """Say whether no id of the row was seen before, and remember them."""
        return self._take(row.first, row.last)

    def _take(self, first: int, last: int) -> bool:
        if first > self._last:
            if first != self._last + 1 or self._last < 0:
                self._jump(first)
            self._last = last
            return True
        return last < self._floor or self._recovered(first, last)

    def _jump(self, first: int) -> None:
        if self._last < 0:
            self._floor = first
            return
        self._missing.append((self._last + 1, first - 1))
        if len(self._missing) > MISSING_RANGES_MAX:
            self._floor = self._missing.pop(0)[1] + 1

    def _recovered(self, first: int, last: int) -> bool:
        for i in range(len(self._missing) - 1, -1, -1):  # a late trade is most often a recent one
            start, end = self._missing[i]
            if last > end:
                return False
            if first >= start:
                rest = [(start, first - 1), (last + 1, end)]
                self._missing[i : i + 1] = [(a, b) for a, b in rest if a <= b]
                return True
        return False


class DenseIds(RangeIds):
    """Ids that grow by one; ``first`` and ``last`` of a row count something else."""

    __slots__ = ()

    def is_new(self, row: TradeRow, _recv_ns: int) -> bool:
        """Say whether the id was not seen before, and remember it."""
        id_ = row.id
        if id_ == self._last + 1 and id_:
            self._last = id_
            return True
        return self._take(id_, id_)


class RecentIds:
    """Ids that only differ: those of the last 60 s and of at least 1,024 trades, 50,000 at most."""

    __slots__ = ("_generations", "_kept")

    def __init__(self) -> None:
        self._kept: set[int | str] = set()
        self._generations: deque[_Generation] = deque()  # never empty once an id was seen

    def is_new(self, row: TradeRow, recv_ns: int) -> bool:
        """Say whether the id is not among the recent ones, and remember it."""
        key = row.uid or row.id
        if key in self._kept:
            return False
        self._kept.add(key)
        generations = self._generations
        if not generations or len(generations[-1].keys) == GENERATION_IDS:
            self._forget(recv_ns - KEPT_NS)
            generations.append(_Generation())
        generations[-1].keys.append(key)
        generations[-1].last_ns = recv_ns
        return True

    def _forget(self, before_ns: int) -> None:
        generations, kept = self._generations, self._kept
        while generations:
            oldest, rest = generations[0], len(kept) - len(generations[0].keys)
            is_due = rest >= KEPT_MIN and oldest.last_ns < before_ns
            if not is_due and len(kept) <= KEPT_MAX - GENERATION_IDS:
                return
            kept.difference_update(generations.popleft().keys)


class _Generation:
    """Ids that are forgotten together."""

    __slots__ = ("keys", "last_ns")

    def __init__(self) -> None:
        self.keys: list[int | str] = []
        self.last_ns = 0


_CLASSES: Mapping[IdRule, Callable[[], Seen]] = {
    "dense": DenseIds,
    "range": RangeIds,
    "unique": RecentIds,
}


def seen_ids(rule: IdRule) -> Seen:
    """Return an empty memory for ids of that kind."""
    return _CLASSES[rule]()
