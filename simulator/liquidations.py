"""Forced orders now and then: those of a linear market, drawn from the seed."""

from collections.abc import Iterator
from math import exp
from random import Random
from typing import TYPE_CHECKING

from simulator.feeds import Forced
from simulator.options import SimulatorOptions

if TYPE_CHECKING:
    from simulator.exchange import Exchange

NOTIONAL = 5_000  # median, in quote currency


class Liquidations:
    """A Poisson process in virtual time; spot knows none."""

    def __init__(self, exchange: "Exchange", options: SimulatorOptions) -> None:
        self._exchange = exchange
        self._rng = Random(f"{exchange.seed}:liquidations")
        is_linear = exchange.market == "linear"
        self._per_ms = options.liquidations_per_s / 1_000 if is_linear else 0.0
        self._next_ms = self._wait_ms()

    def advance(self, from_ms: int, until_ms: int, opened_ms: int) -> Iterator[Forced]:
        """Yield the liquidations of [from_ms, until_ms)."""
        while self._next_ms < until_ms:
            at_ms = max(int(self._next_ms), from_ms)
            self._next_ms += self._wait_ms()
            yield self._one(opened_ms + at_ms)

    def _wait_ms(self) -> float:
        return self._rng.expovariate(self._per_ms) if self._per_ms else float("inf")

    def _one(self, ts_ms: int) -> Forced:
        rng, symbols = self._rng, self._exchange.symbols
        at = min(int(rng.expovariate(0.5)), len(symbols) - 1)
        symbol, bid, side = symbols[at], self._exchange.flow.bid(at), rng.choice((1, -1))
        price = bid + side * rng.randrange(1, 50) * symbol.tick
        scale = 10.0 ** (symbol.price_scale + symbol.qty_scale)
        lots = max(1, int(NOTIONAL * scale / bid / symbol.lot * exp(rng.gauss(0, 1.2))))
        return Forced(symbol, ts_ms, side, max(price, symbol.tick), lots * symbol.lot)
