"""Trades per second and latency over the last seconds, as shown to clients.

Trades are counted once: in the shortest interval of each symbol, by what each revision adds.
"""

from collections import deque
from typing import Any

from schemas.intervals import Interval
from sinks.gateway.protocol import Key

WINDOW_S = 5
SAMPLES_PER_S_MAX = 10_000
SOME = 100  # samples of a second in the histogram


class Meter:
    """Counts what happened since the last tick; ticks come once a second."""

    def __init__(self) -> None:
        self._shortest: dict[tuple[str, str, str], Interval] = {}
        self._trades = 0
        self._samples: list[int] = []
        self._trades_of: deque[int] = deque(maxlen=WINDOW_S)
        self._samples_of: deque[list[int]] = deque(maxlen=WINDOW_S)

    @property
    def symbols(self) -> int:
        """Return how many symbols there are, of all exchanges and channels."""
        return len(self._shortest)

    def add_series(self, key: Key) -> None:
        """Note that a series exists."""
        market = key[:3]
        self._shortest[market] = min(key.interval, self._shortest.get(market, key.interval))

    def set_shortest(self, market: tuple[str, str, str], interval: Interval | None) -> None:
        """Note that a series exists no more; None: the symbol has no other."""
        if interval is None:
            self._shortest.pop(market, None)
        else:
            self._shortest[market] = interval

    def add_trades(self, key: Key, trades: int) -> None:
        """Count the trades that a revision added to its candle."""
        if self._shortest[key[:3]] == key.interval:
            self._trades += max(trades, 0)

    def add_latency(self, latency_ms: int) -> None:
        """Note how long ago the newest trade of a live update was received."""
        if len(self._samples) < SAMPLES_PER_S_MAX:
            self._samples.append(latency_ms)

    def some_latencies(self) -> list[int]:
        """Return a few of the latencies of this second, evenly taken."""
        return self._samples[:: max(len(self._samples) // SOME, 1)]

    def tick(self) -> dict[str, Any]:
        """End a second; return the figures of the last ones (latency None where nothing came)."""
        self._trades_of.append(self._trades)
        self._samples_of.append(self._samples)
        self._trades, self._samples = 0, []
        samples = sorted(sample for second in self._samples_of for sample in second)
        return {
            "trades_per_s": round(sum(self._trades_of) / len(self._trades_of), 1),
            "latency_ms": {"p50": _quantile(samples, 50), "p99": _quantile(samples, 99)},
            "symbols": self.symbols,
        }


def _quantile(samples: list[int], percent: int) -> int | None:
    return samples[(len(samples) - 1) * percent // 100] if samples else None
