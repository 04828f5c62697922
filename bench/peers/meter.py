"""What every Python peer shares: its arguments, the clock over its warm half, and its last word.

``PEER.py BOOTSTRAP TOPIC FORM TRADES OUT``: the candles go to the file OUT, one a line, and the
last line on stdout is a JSON object. CPU is user and system of the process, all threads together.
"""

import json
import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path

BOOTSTRAP, TOPIC, FORM = sys.argv[1:4]
TRADES = int(sys.argv[4])
OUT = Path(sys.argv[5])
MINUTE_MS = 60_000

Candle = tuple[str, int, float, float, float, float, float, int]
"""Symbol, open time in ms, open, high, low, close, volume, trades."""


class Meter:
    """Counts trades; the clock runs over the second half, when caches and compilers are warm."""

    def __init__(self, trades: int = TRADES) -> None:
        self.trades = 0
        self.is_done = False
        self._all = trades
        self._half: tuple[int, float, float] | None = None
        self._end: tuple[int, float, float] | None = None

    def count(self, trades: int = 1) -> None:
        """Note that so many more are folded."""
        self.trades += trades
        if self._half is None and self.trades >= self._all // 2:
            self._half = self._now()
        if self.trades >= self._all and not self.is_done:
            self._end = self._now()
            self.is_done = True

    def report(self, candles: Iterable[Candle]) -> None:
        """Write the candles and the figures."""
        with OUT.open("w") as file:
            for candle in candles:
                file.write("\t".join(map(str, candle)) + "\n")
        if self._half is None or self._end is None:
            raise RuntimeError("the clock never ran")
        trades, wall_s, cpu_s = (b - a for a, b in zip(self._half, self._end, strict=True))
        figures = {
            "trades": self.trades,
            "trades_per_s": round(trades / wall_s),
            "cpu_s_per_million": round(cpu_s / trades * 1e6, 3),
            "peak_rss_mb": round(_peak_rss_mb()),
        }
        print(json.dumps(figures), flush=True)

    def _now(self) -> tuple[int, float, float]:
        used = os.times()
        return self.trades, time.perf_counter(), used.user + used.system


def candles_of(bars: dict[tuple[str, int], list[float]]) -> Iterable[Candle]:
    """Return what a plain dictionary of (symbol, minute) holds."""
    for (symbol, minute), (opened, high, low, close, volume, trades) in bars.items():
        yield symbol, minute * MINUTE_MS, opened, high, low, close, volume, int(trades)


def _peak_rss_mb() -> float:
    # Not getrusage: that remembers the process that this one was forked from.
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1_024
