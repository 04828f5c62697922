"""The last candles of every series, in memory, each at its newest revision.

The bound in bytes is over all series: where there are very many, each keeps fewer candles.
Memory begins where the topic was first read, and forgets: ``has_all`` says whether it is enough.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import structlog

from sinks.gateway import candles as rows
from sinks.gateway.candles import Candle
from sinks.gateway.protocol import Key

logger = structlog.get_logger(__name__)

CANDLES_PER_SERIES = 500
CANDLES_PER_SERIES_MIN = 10
BYTES_MAX = 384 << 20
CANDLE_OVERHEAD_BYTES = 200  # the objects around a row's characters, measured
OLD_VERSIONS_MAX = 50_000


@dataclass(slots=True, eq=False)
class Series:
    """The candles of one key, oldest first."""

    key: Key
    candles: dict[int, Candle] = field(default_factory=dict)
    recv_ms: int = 0
    """When the newest trade in them was received."""
    partition: int = 0
    beyond: int = 0
    """Candles of records before this offset were known here, and are no more."""
    is_late: bool = False
    """Its interval was not made from the beginning: there is more than was ever told."""
    audience: Any = field(default_factory=set)
    """The clients that get every change: an ``Audience``."""
    keepers: list[Callable[[Candle], None]] = field(default_factory=list)
    """Who wants what leaves memory, or is too old to enter it."""

    def last(self, closed_max: int) -> list[Candle]:
        """Return the last closed candles, and the open ones among and behind them."""
        return last(reversed(self.candles.values()), closed_max)


class History:
    """All series; ``put`` takes a revision in, or refuses it as one that is known."""

    def __init__(
        self, candles_per_series: int = CANDLES_PER_SERIES, bytes_max: int = BYTES_MAX
    ) -> None:
        self.series: dict[Key, Series] = {}
        self.candles_per_series = candles_per_series
        self.bytes = 0
        self.since: dict[int, int] = {}
        """The offset of ``md.klines.v1`` at which reading began, by partition."""
        self.read_to: dict[int, int] = {}
        """The offset up to which it has been read, by partition."""
        self._bytes_max = bytes_max
        # Versions of candles that have left (or never reached) their series: a replayed
        # correction of an old candle must not reach clients after a newer one.
        self._old: OrderedDict[tuple[Series, int], int] = OrderedDict()

    def put(self, series: Series, candle: Candle) -> bool:
        """Keep a revision unless the same or a newer one is known; say whether it was news."""
        known = series.candles.get(candle.timestamp)
        if known is None:
            return self._insert(series, candle)
        if known.version >= candle.version:
            return False
        series.candles[candle.timestamp] = candle
        self.bytes += _size(candle) - _size(known)
        return True

    def drop(self, series: Series) -> None:
        """Forget a series."""
        del self.series[series.key]
        self.bytes -= sum(map(_size, series.candles.values()))
        series.candles = {}  # it may still be named by the versions of what has left it

    def has_all(self, series: Series, closed_max: int) -> bool:
        """Say whether memory proves that it lacks none of the last closed candles."""
        if not (self.since.get(series.partition) or series.beyond or series.is_late):
            return True  # nothing was told before the beginning, and nothing was forgotten
        found = series.last(closed_max)
        if sum(candle.closed for candle in found) < closed_max:
            return False
        return is_chain(series.key, found)

    def position(self, partition: int) -> int:
        """Return the offset of the last record of a partition that is in memory; -1: none."""
        return self.read_to.get(partition, self.since.get(partition, 0)) - 1

    def positions(self) -> dict[int, int]:
        """Return the positions in all partitions."""
        return {partition: self.position(partition) for partition in self.since | self.read_to}

    def after(self, series: Series, position: int) -> list[Candle] | None:
        """Return what was closed or corrected after a position, in order.

        None where memory cannot tell: it began later, forgot some, or has not read so far. Of a
        candle that was told again and again there is the newest revision.
        """
        begun = max(self.since.get(series.partition, 0), series.beyond)
        if not begun <= position + 1 <= self.position(series.partition) + 1:
            return None
        found = [each for each in series.candles.values() if each.offset > position]
        return sorted(found, key=_offset)

    def needs(self, series: Series) -> int:
        """Return up to which offset the warehouse has to hold what is not in memory."""
        return max(self.since.get(series.partition, 0), series.beyond)

    def _insert(self, series: Series, candle: Candle) -> bool:
        kept = series.candles
        if self._is_old(series, candle):
            return self._put_old(series, candle)
        is_late = bool(kept) and candle.timestamp < next(reversed(kept))
        kept[candle.timestamp] = candle
        self.bytes += _size(candle)
        if is_late:
            series.candles = dict(sorted(kept.items()))
        self._trim(series)
        if self.bytes > self._bytes_max:
            self._shorten()
        return True

    def _is_old(self, series: Series, candle: Candle) -> bool:
        return len(series.candles) > self.candles_per_series and candle.timestamp < next(
            iter(series.candles)
        )

    def _put_old(self, series: Series, candle: Candle) -> bool:
        if self._old.get((series, candle.timestamp), -1) >= candle.version:
            return False
        self._forget(series, candle)
        return True

    def _forget(self, series: Series, candle: Candle) -> None:
        place = (series, candle.timestamp)
        self._old[place] = candle.version
        self._old.move_to_end(place)
        if len(self._old) > OLD_VERSIONS_MAX:
            self._old.popitem(last=False)
        series.beyond = max(series.beyond, candle.offset + 1)
        for keep in series.keepers:
            keep(candle)

    def _trim(self, series: Series) -> None:
        while len(series.candles) > self.candles_per_series + 1:  # one may be open
            dropped = series.candles.pop(next(iter(series.candles)))
            self.bytes -= _size(dropped)
            self._forget(series, dropped)

    def _shorten(self) -> None:
        if self.candles_per_series <= CANDLES_PER_SERIES_MIN:
            return
        self.candles_per_series = max(self.candles_per_series * 3 // 4, CANDLES_PER_SERIES_MIN)
        for series in self.series.values():
            self._trim(series)
        logger.warning(
            "history_shortened",
            candles_per_series=self.candles_per_series,
            series=len(self.series),
            bytes_max=self._bytes_max,
        )


def last(newest_first: Iterable[Candle], closed_max: int) -> list[Candle]:
    """Return the last closed candles and the open ones behind the first of them, oldest first."""
    found: list[Candle] = []
    left = closed_max
    for candle in newest_first:
        if candle.closed:
            if not left:
                break
            left -= 1
        elif not left:
            break
        found.append(candle)
    return found[::-1]


def merged(*sources: Iterable[Candle]) -> list[Candle]:
    """Return every window once, at its newest revision, oldest first."""
    newest: dict[int, Candle] = {}
    for source in sources:
        for candle in source:
            known = newest.get(candle.timestamp)
            if known is None or known.version < candle.version:
                newest[candle.timestamp] = candle
    return [newest[timestamp] for timestamp in sorted(newest)]


def is_chain(key: Key, found: Iterable[Candle]) -> bool:
    """Say whether no candle can be missing between these: by their windows, or by their ids."""
    return all(
        key.interval.end_ms(one.timestamp) == other.timestamp
        or rows.ids(one.row).last_id + 1 == rows.ids(other.row).first_id
        for one, other in pairwise(found)
    )


def _offset(candle: Candle) -> int:
    return candle.offset


def _size(candle: Candle) -> int:
    return (candle.size or len(candle.row)) + CANDLE_OVERHEAD_BYTES
