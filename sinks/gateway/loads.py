"""The history of one series on its way to one client: what is read, and what came meanwhile."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from math import inf
from typing import Any

from sinks.gateway.candles import Candle
from sinks.gateway.history import Series, is_chain, last, merged
from sinks.gateway.protocol import Wanted

KEPT_MAX = 10_000  # candles that left memory while the history was read


class Load:
    """One snapshot to be; ``client`` is whose it is."""

    def __init__(self, client: Any, wanted: Wanted, series: Series | None) -> None:
        self.client = client
        self.wanted = wanted
        self.is_begun = False
        """False while the interval is not made yet: there is nothing to be read."""
        self.is_over = False
        self.is_lossy = False
        self.series: Series | None = None
        self._kept: dict[int, Candle] = {}
        if series is not None:
            self.attach(series)

    def attach(self, series: Series) -> None:
        """Learn which series it is; from now on nothing that leaves its memory is lost."""
        self.series = series
        series.keepers.append(self._keep)

    def end(self) -> None:
        """Keep nothing any more."""
        self.is_over = True
        if self.series is not None:
            self.series.keepers.remove(self._keep)

    def snapshot(self, stored: Iterable[Candle]) -> list[Candle]:
        """Return the last candles of all that is known, each at its newest revision."""
        memory = list(self.series.candles.values()) if self.series is not None else []
        stored = list(stored)
        self.is_lossy |= self.lacks(stored)
        older = _published(stored, memory)
        every = merged(older, self._kept.values(), memory)
        found = last(reversed(every), self.wanted.initial_candles)
        if self.series is not None and self.series.is_late:
            # Before it was made nobody told its windows but those that a late trade had changed:
            # the warehouse takes what lies between them for empty.
            self.is_lossy |= not is_chain(self.series.key, found)
        return found

    def lacks(self, stored: Iterable[Candle]) -> bool:
        """Say whether windows may be missing that neither will tell: the interval was not made.

        The warehouse lacks its last trades yet where one is still open in it that is over in
        memory, or where its newest and memory's oldest do not follow each other.
        """
        memory = self.series.candles if self.series is not None else {}
        newest = next(reversed(memory), 0)
        before: Candle | None = None
        for candle in stored:
            at = candle.timestamp
            if at in memory or at in self._kept or at >= newest:
                continue
            if not candle.closed:
                return True
            before = candle if before is None or at > before.timestamp else before
        if self.series is None or not self.series.is_late or before is None:
            return False
        told = [candle for at, candle in (self._kept | memory).items() if at > before.timestamp]
        first = min(told, key=lambda candle: candle.timestamp, default=before)
        return first is not before and not is_chain(self.series.key, (before, first))

    def _keep(self, candle: Candle) -> None:
        known = self._kept.get(candle.timestamp)
        if known is not None and known.version >= candle.version:
            return
        if known is None and len(self._kept) >= KEPT_MAX:
            self.is_lossy = True
            return
        self._kept[candle.timestamp] = candle


def _published(stored: Iterable[Candle], memory: Sequence[Candle]) -> Iterator[Candle]:
    """Yield what the warehouse does not know before we are told: else it would come twice.

    It puts together what is not stored yet, and of that the engine will speak itself.
    """
    is_open = {candle.timestamp for candle in memory if not candle.closed}
    end_ms = max(is_open, default=inf)
    for candle in stored:
        is_ours = candle.timestamp in is_open or candle.timestamp > end_ms
        if not is_ours and (candle.closed or not memory):
            yield candle


Begin = Callable[[Load], None]
"""Reads what memory lacks, and ends with ``Hub.finish``."""
