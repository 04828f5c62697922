"""The truth about one symbol's order book: levels in fixed-point, one change set after the other.

Its best prices are those at which the flow trades. It never crosses, but by a fault that asks for
it. Time comes from outside: a book changes only in ``step``.
"""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp
from random import Random

from simulator.symbols import Symbol

STEP_MS = 100
LEVELS_MAX = 400  # on each side
LEVELS_MIN = 300
CHURN = 6  # levels near the touch that change in a step
CROSSED_TICKS = 5
TOP_DEPTH = 5
TOPS_KEPT = 60  # six seconds
SPACING = 8e-6  # of the price, between levels: a busy symbol runs over a few of them in a step

Levels = list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class BookChange:
    """What one step did; a quantity of 0 takes the price out."""

    symbol: Symbol
    ts_ms: int
    number: int
    """Of the change set: grows by one, begins at 1 after a restart."""
    prev_id: int
    first_id: int
    last_id: int
    """Update ids: ``first_id`` is ``prev_id + 1``, each level that changed takes one."""
    bids: Levels
    """Best first."""
    asks: Levels


class _Side:
    """Prices ascending, and what stands at each; ``sign`` is 1 where the highest is the best."""

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.prices: list[int] = []
        self.qty: dict[int, int] = {}
        self.changed: dict[int, int] = {}

    def put(self, price: int, qty: int) -> None:
        if price not in self.qty:
            insort(self.prices, price)
        self.qty[price] = self.changed[price] = qty

    def take(self, price: int) -> None:
        if self.qty.pop(price, None) is not None:
            del self.prices[bisect_left(self.prices, price)]
            self.changed[price] = 0

    def best(self) -> int:
        return self.prices[-1 if self.sign > 0 else 0]

    def worst(self) -> int:
        return self.prices[0 if self.sign > 0 else -1]

    def near(self, depth: int) -> int:
        """The price ``depth`` levels away from the best one."""
        return self.prices[-1 - depth if self.sign > 0 else depth]

    def top(self, depth: int) -> Levels:
        best = self.prices[-depth:][::-1] if self.sign > 0 else self.prices[:depth]
        return [(price, self.qty[price]) for price in best]

    def changes(self) -> Levels:
        changed, self.changed = self.changed, {}
        return sorted(changed.items(), reverse=self.sign > 0)


class Book:
    """The book of one symbol, deterministic from its seed and its steps."""

    def __init__(self, symbol: Symbol, bid: int, seed: str) -> None:
        self.symbol = symbol
        self.ts_ms = 0
        self.number = 0
        self.last_id = 0
        self.crossed_until_ms = 0
        self.tops: deque[tuple[int, Levels, Levels]] = deque(maxlen=TOPS_KEPT)
        """Time and best levels, bids first, after each of the last changes."""
        self._rng = Random(seed)
        self._bids, self._asks = _Side(1), _Side(-1)
        self._median = max(1.0, 5_000 * 10.0 ** (symbol.price_scale + symbol.qty_scale) / bid)
        self._gap = max(1, round(bid * SPACING / symbol.tick)) * symbol.tick
        self._odd: int | None = None  # the bid above the asks, while it is to stand
        self._deep: list[tuple[int, int]] = []  # levels to add, and when to take them out
        self._deep_until_ms: int | None = None
        self._follow(bid)
        self._fill()
        self._bids.changed, self._asks.changed = {}, {}
        self.last_id = self._rng.randrange(1_000_000, 2_000_000)

    def top(self, depth: int) -> tuple[Levels, Levels]:
        """Bids and asks, best first, at most so many."""
        return self._bids.top(depth), self._asks.top(depth)

    def best(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """The best bid and the best ask, each with its quantity."""
        bid, ask = self._bids.best(), self._asks.best()
        return (bid, self._bids.qty[bid]), (ask, self._asks.qty[ask])

    def step(self, bid: int, ts_ms: int) -> BookChange:
        """Move to the flow's best bid, and change a little."""
        self._cross(None)
        if self._deep_until_ms is not None and ts_ms >= self._deep_until_ms:
            for price, _ in self._deep:
                self._asks.take(price)
            self._deep, self._deep_until_ms = [], None
        self._follow(bid)
        self._churn()
        self._fill()
        if ts_ms < self.crossed_until_ms:
            self._cross(self._asks.best() + CROSSED_TICKS * self.symbol.tick)
        return self._change(ts_ms)

    def deepen(self, levels: int, until_ms: int) -> None:
        """Have so many asks more, far from the touch, from the next change until then."""
        if self._deep:
            return
        first = self._asks.worst() + 1_000_000 * self.symbol.tick
        self._deep = [(first + i * self.symbol.tick, self._qty()) for i in range(levels)]
        self._deep_until_ms = until_ms
        for price, qty in self._deep:
            self._asks.put(price, qty)

    def restart(self, last_id: int) -> None:
        """Begin the sequence anew, as a venue does that was restarted."""
        self.number, self.last_id = 0, last_id

    # -- one step

    def _change(self, ts_ms: int) -> BookChange:
        bids, asks = self._bids.changes(), self._asks.changes()
        prev_id = self.last_id
        self.ts_ms = ts_ms
        self.tops.append((ts_ms, *self.top(TOP_DEPTH)))
        self.number += 1
        self.last_id += max(len(bids) + len(asks), 1)
        return BookChange(
            self.symbol, ts_ms, self.number, prev_id, prev_id + 1, self.last_id, bids, asks
        )

    def _qty(self) -> int:
        return max(1, int(self._median * exp(self._rng.gauss(0, 1)))) * self.symbol.lot

    def _follow(self, bid: int) -> None:
        """Take out what the market ran over, and stand at its best prices."""
        bids, asks, ask = self._bids, self._asks, bid + self.symbol.tick
        while bids.prices and bids.best() > bid:
            bids.take(bids.best())
        while asks.prices and asks.best() < ask:
            asks.take(asks.best())
        for side, price in ((bids, bid), (asks, ask)):
            if price not in side.qty or self._rng.random() < 0.5:
                side.put(price, self._qty())

    def _churn(self) -> None:
        """Change or take out some levels near the touch, never the best one."""
        for _ in range(CHURN):
            side = self._bids if self._rng.random() < 0.5 else self._asks
            depth = min(1 + int(self._rng.expovariate(0.15)), len(side.prices) - 1)
            if depth > 0:
                price = side.near(depth)
                if self._rng.random() < 0.35:
                    side.take(price)
                else:
                    side.put(price, self._qty())

    def _fill(self) -> None:
        """Keep both sides as long as they should be; no price falls to zero."""
        for side in (self._bids, self._asks):
            while len(side.prices) > LEVELS_MAX + len(self._deep if side is self._asks else ()):
                side.take(side.near(LEVELS_MAX))
            while len(side.prices) < LEVELS_MIN:
                price = side.worst() - side.sign * self._rng.choice((1, 1, 1, 2, 3)) * self._gap
                if price <= 0:
                    break
                side.put(price, self._qty())

    def _cross(self, price: int | None) -> None:
        """Let one bid stand above the asks, or none."""
        if self._odd is not None:
            self._bids.take(self._odd)
        self._odd = price
        if price is not None:
            self._bids.put(price, self._qty())


class DepthView:
    """The best ``depth`` levels as a stream tells them: what enters, changes and leaves."""

    def __init__(self, book: Book, depth: int) -> None:
        self._book = book
        self._depth = depth
        self._told = book.top(depth)

    def now(self) -> tuple[Levels, Levels]:
        """Bids and asks as of the last ``changes``."""
        return self._told

    def changes(self) -> tuple[Levels, Levels]:
        """What changed since the last call, best first; quantity 0: gone from the view."""
        before, self._told = self._told, self._book.top(self._depth)
        bids, asks = (_difference(old, new) for old, new in zip(before, self._told, strict=True))
        return sorted(bids, reverse=True), sorted(asks)


def _difference(old: Sequence[tuple[int, int]], new: Sequence[tuple[int, int]]) -> Levels:
    stands = dict(new)
    fresh = [*(set(new) - set(old))]
    return fresh + [(price, 0) for price, _ in old if price not in stands]
