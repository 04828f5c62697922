"""What a symbol traded before the simulator opened: a pure function of the seed and the day.

Nothing is kept: a stretch of five minutes is made when somebody looks at it. Each stretch has the
same number of rows, so ids and times lead to each other by arithmetic.
"""

from collections import OrderedDict
from dataclasses import dataclass
from math import pi, sin
from threading import Lock
from zlib import crc32

import numpy as np
import numpy.typing as npt

from simulator.symbols import Symbol

STRETCH_MS = 300_000
DAY_MS = 86_400_000
KEPT_ROWS_MAX = 500_000
SWAY = 0.1  # of the price, over days
NOISE = 4  # ticks
LOTS_MIN = 4  # a row of a market of levels holds up to three trades
TRADES_OF_LEVELS = np.array([1, 3])
"""Trades in even and odd rows where a row is a level: two on average."""

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Stretch:
    """Columns of some rows; ``first`` and ``last`` are ids of the trades in each."""

    id: Ints
    ts_ms: Ints
    price: Ints
    qty: Ints
    side: Ints
    first: Ints
    last: Ints

    def part(self, low: int, high: int) -> "Stretch":
        """Return the rows at [low, high)."""
        return Stretch(*(getattr(self, name)[low:high] for name in self.__slots__))


class Past:
    """Rows of [``from_ms``, ``until_ms``), ids from ``first_id`` (even) on, without holes.

    The last ``busy_ms`` of it have a rate of their own.
    """

    def __init__(
        self,
        symbol: Symbol,
        seed: str,
        *,
        from_ms: int,
        until_ms: int,
        busy_ms: int,
        rates: tuple[float, float],
        first_id: int,
        is_by_fill: bool,
    ) -> None:
        self.symbol = symbol
        self.from_ms = from_ms
        self.until_ms = until_ms
        self.first_id = first_id
        self.is_by_fill = is_by_fill
        self._seed = crc32(seed.encode())
        self._busy_from_ms = max(from_ms, (until_ms - busy_ms) // STRETCH_MS * STRETCH_MS)
        self._quiet_rows, self._busy_rows = (_even(rate * STRETCH_MS / 1_000) for rate in rates)
        self._quiet = (self._busy_from_ms - from_ms) // STRETCH_MS  # stretches
        busy = -(-(until_ms - self._busy_from_ms) // STRETCH_MS)
        self._stretches = self._quiet + busy
        self.rows = self._quiet * self._quiet_rows + busy * self._busy_rows
        self._kept: OrderedDict[int, Stretch] = OrderedDict()
        self._kept_rows = 0
        self._lock = Lock()  # archive files are made in threads

    @property
    def next_id(self) -> int:
        """The id of the first row that is not of the past."""
        return self.first_id + self.rows

    def id_at(self, ts_ms: int) -> int:
        """Return the id of the first row at that time or later."""
        if ts_ms >= self.until_ms or not self.rows:
            return self.next_id
        at = max(ts_ms - self.from_ms, 0) // STRETCH_MS
        return self._first_of(at) + int(np.searchsorted(self._stretch(at).ts_ms, ts_ms))

    def row_of_trade(self, trade_id: int) -> int:
        """Return the id of the row that holds a trade."""
        if self.is_by_fill:
            return trade_id
        return trade_id // 4 * 2 + (trade_id % 4 > 0)

    def columns(self, from_id: int, until_id: int) -> "list[Stretch]":
        """Return the rows of [from_id, until_id), in stretches."""
        low, high = max(from_id, self.first_id), min(until_id, self.next_id)
        found = []
        while low < high:
            at = self._of_id(low)
            first = self._first_of(at)
            stretch = self._stretch(at)
            found.append(stretch.part(low - first, high - first))
            low = first + len(stretch.id)
        return found

    # -- one stretch

    def _of_id(self, row_id: int) -> int:
        place, quiet = row_id - self.first_id, self._quiet * self._quiet_rows
        if place < quiet:
            return place // self._quiet_rows
        return self._quiet + (place - quiet) // self._busy_rows

    def _first_of(self, at: int) -> int:
        busy = max(at - self._quiet, 0)
        return self.first_id + (at - busy) * self._quiet_rows + busy * self._busy_rows

    def _stretch(self, at: int) -> Stretch:
        with self._lock:
            kept = self._kept.get(at)
            if kept is not None:
                return kept
            made = self._kept[at] = self._make(at)
            self._kept_rows += len(made.id)
            while self._kept_rows > KEPT_ROWS_MAX and len(self._kept) > 1:
                _, gone = self._kept.popitem(last=False)
                self._kept_rows -= len(gone.id)
            return made

    def _make(self, at: int) -> Stretch:
        count = self._quiet_rows if at < self._quiet else self._busy_rows
        start_ms = self.from_ms + at * STRETCH_MS
        end_ms = min(start_ms + STRETCH_MS, self.until_ms)
        # The absolute time is in the seed: another start of the same day tells the same past.
        rng = np.random.default_rng([self._seed, start_ms // STRETCH_MS])
        symbol = self.symbol
        mid = symbol.start_price // symbol.tick
        phase = start_ms / DAY_MS * 2 * pi
        sway = 1 + SWAY * (sin(phase / 3.7) + sin(phase * 1.3 + self._seed % 7)) / 2
        ts = np.sort(rng.integers(start_ms, end_ms, count))
        price = np.maximum(1, int(mid * sway) + rng.integers(-NOISE, NOISE + 1, count))
        side = rng.integers(0, 2, count) * 2 - 1
        if self.is_by_fill:  # two rows make an aggregate
            for column in (ts, price, side):
                column[1::2] = column[::2]
        lots = LOTS_MIN + (np.exp(rng.normal(2.0, 1.2, count))).astype(np.int64)
        id_ = self._first_of(at) + np.arange(count)
        first, last = id_, id_
        if not self.is_by_fill:
            first = 2 * id_ - id_ % 2
            last = first + TRADES_OF_LEVELS[id_ % 2] - 1
        return Stretch(id_, ts, price * symbol.tick, lots * symbol.lot, side, first, last)


def _even(rows: float) -> int:
    return max(2, round(rows / 2) * 2)
