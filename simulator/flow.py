"""The order flow of one market, a pure function of the seed: who takes what, when, at which price.

Time is virtual: milliseconds since the exchange opened, negative in its history. Clusters of taker
orders share a millisecond, an order may walk several price levels, a level may hold several fills.
"""

from collections.abc import Iterator
from itertools import accumulate
from math import exp
from typing import NamedTuple
from zlib import crc32

import numpy as np

from simulator.symbols import Symbol

ORDERS_PER_CLUSTER = 2.0
LEVELS_PER_ORDER = 1.25
FILLS_PER_LEVEL = 4 / 3
SKEW = 1.1  # of the Zipf law that says how much busier the first symbols are
BURST_SIGMA = 0.3  # of the logarithm of the intensity
BURST_MEMORY_PER_S = 0.1
ORDER_NOTIONAL = 200  # median, in quote currency
VOLATILITY = 1.5e-5  # of the price, per cluster


class Match(NamedTuple):
    """One price level taken by one order; ``fills`` are the quantities of its trades."""

    symbol: int  # index
    at_ms: int
    price: int
    side: int  # the taker's: 1 buys, -1 sells
    fills: tuple[int, ...]
    insurance_fund: bool = False


class TradeFlow:
    """Draws one stretch of time after the other; the same calls give the same trades."""

    def __init__(
        self,
        market: str,
        symbols: list[Symbol],
        *,
        seed: int,
        trades_per_s: float,
        insurance_fund_share: float,
        is_by_fill: bool = False,
    ) -> None:
        self._rng = np.random.default_rng([seed, crc32(market.encode())])
        self._symbols = symbols
        self._mid = [s.start_price // s.tick for s in symbols]  # in ticks
        self._step = [max(0.6, VOLATILITY * m) for m in self._mid]
        self._steps_median = [
            max(1.0, ORDER_NOTIONAL * 10.0 ** (s.price_scale + s.qty_scale) / s.start_price / s.lot)
            for s in symbols
        ]
        weights = [1.0 / (rank + 1) ** SKEW for rank in range(len(symbols))]
        self._cumulated = np.array(list(accumulate(weights))) / sum(weights)
        self._cumulated[-1] = 1.0
        self._insurance_fund_share = insurance_fund_share
        self._rows_per_cluster = ORDERS_PER_CLUSTER * LEVELS_PER_ORDER
        if is_by_fill:  # every fill is a row, not every level
            self._rows_per_cluster *= FILLS_PER_LEVEL
        self._heat = 0.0
        self.trades_per_s = trades_per_s

    def bid(self, index: int) -> int:
        """The best bid of a symbol; the best ask is one tick above."""
        return self._mid[index] * self._symbols[index].tick

    def advance(self, from_ms: int, until_ms: int) -> list[Match]:
        """Every match of [from_ms, until_ms), in order of time."""
        span_s = (until_ms - from_ms) / 1000
        memory = BURST_MEMORY_PER_S**span_s
        noise = BURST_SIGMA * (1 - memory**2) ** 0.5
        self._heat = self._heat * memory + noise * float(self._rng.standard_normal())
        intensity = exp(self._heat - BURST_SIGMA**2 / 2)
        expected = self.trades_per_s * span_s * intensity / self._rows_per_cluster
        clusters = int(self._rng.poisson(expected))
        return list(self._matches(clusters, from_ms, until_ms)) if clusters else []

    def _matches(self, clusters: int, from_ms: int, until_ms: int) -> Iterator[Match]:
        rng = self._rng
        times = np.sort(rng.integers(from_ms, until_ms, clusters)).tolist()
        who = np.searchsorted(self._cumulated, rng.random(clusters)).tolist()
        moves = rng.standard_normal(clusters).tolist()
        fund = (rng.random(clusters) < self._insurance_fund_share).tolist()
        orders = rng.geometric(1 / ORDERS_PER_CLUSTER, clusters)
        total = int(orders.sum())
        sides = (rng.integers(0, 2, total) * 2 - 1).tolist()
        levels = np.minimum(rng.geometric(1 / LEVELS_PER_ORDER, total), 8)
        fills = np.minimum(rng.geometric(1 / FILLS_PER_LEVEL, int(levels.sum())), 12)
        sizes = iter(np.exp(rng.normal(0.0, 1.4, int(fills.sum()))).tolist())
        side, level, fill = iter(sides), iter(levels.tolist()), iter(fills.tolist())
        for at_ms, index, move, insured, count in zip(
            times, who, moves, fund, orders.tolist(), strict=True
        ):
            mid = self._walk(index, move)
            tick, lot = self._symbols[index].tick, self._symbols[index].lot
            median = self._steps_median[index]
            if insured:  # 2 % off the market, as the real ones are
                yield Match(index, at_ms, mid * 102 // 100 * tick, -1, (lot,), insurance_fund=True)
            for _ in range(count):
                taker = next(side)
                best = mid + 1 if taker > 0 else mid
                for depth in range(next(level)):
                    taken = tuple(
                        max(1, int(median * next(sizes))) * lot for _ in range(next(fill))
                    )
                    yield Match(index, at_ms, (best + taker * depth) * tick, taker, taken)

    def _walk(self, index: int, move: float) -> int:
        """Move a symbol's bid by a random number of ticks, kept within a quarter and four times."""
        mid = self._mid[index] + round(move * self._step[index])
        start = self._symbols[index].start_price // self._symbols[index].tick
        if not start < mid * 4 < start * 16:
            mid = self._mid[index]
        self._mid[index] = mid
        return mid
