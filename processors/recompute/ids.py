"""Which trades count where ids overlap: the rule of ``processors.engine.ids``, trade by trade."""

from collections.abc import Iterable
from itertools import groupby

from schemas.clickhouse.candles import Taken


def refused(trades: Iterable[Taken]) -> list[tuple[int, int]]:
    """Return the (rev, place) of the trades that do not count.

    In the order in which they came, a trade is taken when none of its ids was. ``trades`` are
    sorted by their first id; those that overlap no other may be left out.
    """
    found: list[tuple[int, int]] = []
    for _, crowd in groupby(trades, _crowds()):
        taken: list[Taken] = []
        for trade in sorted(crowd, key=lambda t: (t.rev, t.place)):
            if any(trade.first <= one.last and one.first <= trade.last for one in taken):
                found.append((trade.rev, trade.place))
            else:
                taken.append(trade)
    return found


class _crowds:  # noqa: N801 - a function with a memory
    """Number the runs of trades that overlap one another."""

    def __init__(self) -> None:
        self._number = 0
        self._last: int | None = None

    def __call__(self, trade: Taken) -> int:
        if self._last is not None and trade.first > self._last:
            self._number += 1
            self._last = trade.last
        else:
            self._last = trade.last if self._last is None else max(self._last, trade.last)
        return self._number
