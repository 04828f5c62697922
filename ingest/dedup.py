"""Which trade ids of one symbol were seen already, across reconnects and duplicate sockets.

It never drops a trade that may be new: ids that were jumped over stay welcome, and what was
forgotten is passed on. The processor has the last word.
"""

MISSING_RANGES_MAX = 1_000


class SeenIds:
    """Dense ids: the highest one, and the ranges below it that never came."""

    __slots__ = ("_floor", "_last", "_missing")

    def __init__(self) -> None:
        self._last = -1
        self._floor = 0  # below it nothing is known
        self._missing: list[tuple[int, int]] = []  # ascending, both ends included

    def is_new(self, id_: int) -> bool:
        """Say whether the id was not seen before, and remember it."""
        last = self._last
        if id_ == last + 1 and last >= 0:
            self._last = id_
            return True
        if id_ > last:
            self._jump(id_)
            return True
        return id_ < self._floor or self._recovered(id_)

    def _jump(self, id_: int) -> None:
        if self._last < 0:
            self._floor = id_
        else:
            self._missing.append((self._last + 1, id_ - 1))
            if len(self._missing) > MISSING_RANGES_MAX:
                self._floor = self._missing.pop(0)[1] + 1
        self._last = id_

    def _recovered(self, id_: int) -> bool:
        for i in range(len(self._missing) - 1, -1, -1):  # a late trade is most often a recent one
            start, end = self._missing[i]
            if id_ > end:
                return False
            if id_ >= start:
                rest = [(start, id_ - 1), (id_ + 1, end)]
                self._missing[i : i + 1] = [(a, b) for a, b in rest if a <= b]
                return True
        return False
