"""Feed: one exchange and channel on one partition, and what its records say about time."""

from processors.engine.symbol import SymbolCandles
from schemas.trades import PackedBatch, TradeBatch

SKEW_STEP_MS_MAX = 50  # one late record must not move the estimate far
SKEW_MS_MAX = 5_000
HISTORY_MS = 10_000  # venues tell past trades on subscribing: those say nothing about clocks
# Of records that were received longer ago more will follow at once: each candle's own trades close
# it, proven, and one that the clock closed before them would be told twice.
RECENT_MS = 1_000

Batch = TradeBatch | PackedBatch


class Feed:
    """The symbols; how far the venue's clock is from ours; when the newest record was received."""

    __slots__ = ("heard_ms", "skew_ms", "symbols")

    def __init__(self) -> None:
        self.symbols: dict[str, SymbolCandles] = {}
        self.skew_ms: float | None = None  # receive time less trade time, smoothed
        self.heard_ms = 0

    def observe(self, batch: Batch, trade_ms: int) -> None:
        """Learn from a record and the time of a trade in it."""
        recv_ms = batch.recv_ns // 1_000_000
        delay_ms = recv_ms - trade_ms
        if batch.source == "live" and delay_ms < HISTORY_MS:
            self.delayed(delay_ms)
            self.heard_ms = max(self.heard_ms, recv_ms)

    def delayed(self, delay_ms: float) -> None:
        """Learn how long after a live trade we received it."""
        if self.skew_ms is None:
            self.skew_ms = max(-SKEW_MS_MAX, min(SKEW_MS_MAX, delay_ms))
            return
        step = max(-SKEW_STEP_MS_MAX, min(SKEW_STEP_MS_MAX, delay_ms - self.skew_ms))
        self.skew_ms += step / 16

    def clock_ms(self, now_ms: int, *, is_caught_up: bool) -> int:
        """Return until when all that was received has been read, as far as that is known.

        An ingestor sends what it has in the order of time: a record received at some time says that
        nothing from before it is still to come. Where nothing waits to be read, the clock says so.
        """
        is_recent = abs(now_ms - self.heard_ms) <= RECENT_MS
        heard_ms = self.heard_ms if is_recent else 0
        return max(now_ms, heard_ms) if is_caught_up else heard_ms
