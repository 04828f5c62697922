"""The last candles of every series, in memory, each at its newest revision.

The bound in bytes is over all series: where there are very many, each keeps fewer candles.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from itertools import islice

import structlog

from sinks.gateway.candles import Candle
from sinks.gateway.protocol import Key

logger = structlog.get_logger(__name__)

CANDLES_PER_SERIES = 500
CANDLES_PER_SERIES_MIN = 10
BYTES_MAX = 384 << 20
CANDLE_OVERHEAD_BYTES = 200  # the objects around a row's characters, measured
OLD_VERSIONS_MAX = 50_000


@dataclass(slots=True)
class Series:
    """The candles of one key, oldest first."""

    key: Key
    candles: dict[int, Candle] = field(default_factory=dict)
    recv_ms: int = 0
    """When the newest trade in them was received."""

    def last(self, closed_max: int) -> list[Candle]:
        """Return the last closed candles and, at the end, the open one if there is one."""
        newest = list(islice(reversed(self.candles.values()), closed_max + 1))[::-1]
        if newest and newest[-1].closed:
            return newest[max(len(newest) - closed_max, 0) :]
        return newest


class History:
    """All series; ``put`` takes a revision in, or refuses it as one that is known."""

    def __init__(
        self, candles_per_series: int = CANDLES_PER_SERIES, bytes_max: int = BYTES_MAX
    ) -> None:
        self.series: dict[Key, Series] = {}
        self.candles_per_series = candles_per_series
        self.bytes = 0
        self._bytes_max = bytes_max
        # Versions of candles that have left (or never reached) their series: a replayed
        # correction of an old candle must not reach clients after a newer one.
        self._old: OrderedDict[tuple[Key, int], int] = OrderedDict()

    def put(self, series: Series, candle: Candle) -> bool:
        """Keep a revision unless the same or a newer one is known; say whether it was news."""
        known = series.candles.get(candle.timestamp)
        if known is not None:
            if known.version >= candle.version:
                return False
            self.bytes -= _size(known)
        elif self._is_old(series, candle):
            return self._put_old(series.key, candle)
        is_late = known is None and bool(series.candles) and candle.timestamp < _newest(series)
        series.candles[candle.timestamp] = candle
        self.bytes += _size(candle)
        if is_late:
            series.candles = dict(sorted(series.candles.items()))
        self._trim(series)
        if self.bytes > self._bytes_max:
            self._shorten()
        return True

    def _is_old(self, series: Series, candle: Candle) -> bool:
        return len(series.candles) > self.candles_per_series and candle.timestamp < next(
            iter(series.candles)
        )

    def _put_old(self, key: Key, candle: Candle) -> bool:
        place = (key, candle.timestamp)
        if self._old.get(place, -1) >= candle.version:
            return False
        self._forget(key, candle)
        return True

    def _forget(self, key: Key, candle: Candle) -> None:
        self._old[key, candle.timestamp] = candle.version
        self._old.move_to_end((key, candle.timestamp))
        if len(self._old) > OLD_VERSIONS_MAX:
            self._old.popitem(last=False)

    def _trim(self, series: Series) -> None:
        while len(series.candles) > self.candles_per_series + 1:  # one may be open
            dropped = series.candles.pop(next(iter(series.candles)))
            self.bytes -= _size(dropped)
            self._forget(series.key, dropped)

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


def _newest(series: Series) -> int:
    return next(reversed(series.candles))


def _size(candle: Candle) -> int:
    return len(candle.row) + CANDLE_OVERHEAD_BYTES
