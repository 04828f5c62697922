"""The truth about one symbol beside its trades: mark, index, funding, open interest, statistics.

It moves when it is read, in steps of ``STEP_MS``; what nobody reads costs nothing.
"""

from collections.abc import Callable
from random import Random

import numpy as np

from simulator.ledger import Ledger

STEP_MS = 100
HOUR_MS = 3_600_000
FUNDING_STEP = 2_000  # of 1e-8, at most in one step
FUNDING_MAX = 75_000


class MarketState:
    """Prices and quantities are integers of the symbol's scales, rates are units of 1e-8."""

    def __init__(
        self, ledger: Ledger, bid: Callable[[], int], *, seed: str, funding_hours: int
    ) -> None:
        self.symbol = ledger.symbol
        self.funding_hours = funding_hours
        self.ts_ms = 0
        self.mark = self.index = bid()
        self.funding_rate = 10_000
        self.next_funding_ms = 0
        self.last = self.last_qty = 0  # 0: nothing was traded yet
        self.last_ts_ms = 0
        self.open = self.high = self.low = 0
        self.volume = self.turnover = 0
        self.trades = 0
        self.first_trade_id = self.last_trade_id = -1
        self._rng = Random(seed)
        self._ledger = ledger
        self._bid = bid
        self._next_id = ledger.first_kept_id
        whole = 10**self.symbol.qty_scale
        self.open_interest = self._rng.randrange(5_000, 50_000) * whole // self.symbol.lot
        self.open_interest *= self.symbol.lot

    def read(self, now_ms: int) -> "MarketState":
        """Bring it up to ``now_ms`` (to the step that holds it) and return it."""
        if now_ms // STEP_MS != self.ts_ms // STEP_MS:
            self.ts_ms = now_ms
            self._move()
            self._count()
        return self

    @property
    def change(self) -> int:
        """By how much the price moved since the statistics begin."""
        return self.last - self.open

    @property
    def change_e5(self) -> int:
        """The same as units of 0.001 percent of the first price."""
        return self.change * 100_000 // self.open if self.open else 0

    def _move(self) -> None:
        rng, bid = self._rng, self._bid()
        self.mark = max(1, bid + round(rng.gauss(0, bid * 2e-5)))
        self.index = max(1, bid + round(rng.gauss(0, bid * 4e-5)))
        rate = self.funding_rate + rng.randrange(-FUNDING_STEP, FUNDING_STEP + 1)
        self.funding_rate = max(-FUNDING_MAX, min(FUNDING_MAX, rate))
        lots = self.open_interest // self.symbol.lot
        lots = max(1, lots + round(rng.gauss(0, 1 + lots * 1e-5)))
        self.open_interest = lots * self.symbol.lot
        every_ms = self.funding_hours * HOUR_MS
        self.next_funding_ms = self.ts_ms - self.ts_ms % every_ms + every_ms

    def _count(self) -> None:
        """Take the rows made since the last time into the statistics."""
        ledger = self._ledger
        new = slice(max(self._next_id - ledger.first_kept_id, 0), None)
        self._next_id = ledger.next_id
        price = np.array(ledger.price[new], np.int64)
        if not len(price):
            return
        qty = np.array(ledger.qty[new], np.int64)
        if not self.open:
            self.open = self.high = self.low = int(price[0])
            self.first_trade_id = ledger.first[new.start]
        self.high, self.low = max(self.high, int(price.max())), min(self.low, int(price.min()))
        self.last, self.last_qty = int(price[-1]), int(qty[-1])
        self.last_ts_ms = ledger.ts_ms[-1]
        self.volume += int(qty.sum())
        self.turnover += int((price * qty).sum())
        self.trades += int(np.array(ledger.trades[new], np.int32).sum())
        self.last_trade_id = ledger.next_trade_id - 1
