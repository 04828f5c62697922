"""Rows without an id that two sockets both tell; pure.

Two equal rows of one socket are two events; the same row of another socket is a repeat.
"""

from collections import OrderedDict
from collections.abc import Hashable

ROWS_MAX = 2_000


class Repeats:
    """Remembers, of the last rows, how often each socket told them."""

    def __init__(self, rows_max: int = ROWS_MAX) -> None:
        self._rows_max = rows_max
        self._told: OrderedDict[Hashable, dict[str, int]] = OrderedDict()

    def is_repeat(self, row: Hashable, source: str) -> bool:
        """Say whether another socket told this one before, and remember it."""
        told = self._told.setdefault(row, {})
        told[source] = told.get(source, 0) + 1
        others = max((n for name, n in told.items() if name != source), default=0)
        if len(self._told) > self._rows_max:
            self._told.popitem(last=False)
        return told[source] <= others
