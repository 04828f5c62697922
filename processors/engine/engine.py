"""Engine: the candles of every symbol a worker owns, by partition.

The caller says what time it is and which partitions are caught up; the engine says what to publish.
Nothing it publishes depends on when it was asked, but for how often.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple, TypeVar

from processors.engine import rows
from processors.engine.state import is_slot, load, records
from processors.engine.symbol import SymbolCandles
from processors.engine.windows import CORRECTION_MS
from schemas.topics import GAPS, KLINES, KLINES_LIVE, PRICES, RECOMPUTE, Topic
from schemas.trades import TradeBatch

OUTPUTS = (KLINES, KLINES_LIVE, PRICES, GAPS, RECOMPUTE)
ROWS_MAX = 1_000  # of a record, ~400 bytes each: below Kafka's default limit of 1 MB a record
SKEW_STEP_MS_MAX = 50  # one late record must not move the estimate far
SKEW_MS_MAX = 5_000
HISTORY_MS = 10_000  # venues tell past trades on subscribing: those say nothing about clocks
LAGGING_LIVE_FACTOR = 8  # while catching up an open candle is stale anyway: send fewer


Row = TypeVar("Row")


class Output(NamedTuple):
    """One record to publish; ``key`` tells its partition."""

    topic: Topic
    key: bytes
    value: bytes


class Feed:
    """One exchange and channel on one partition, and how far its clock is from ours."""

    __slots__ = ("skew_ms", "symbols")

    def __init__(self) -> None:
        self.symbols: dict[str, SymbolCandles] = {}
        self.skew_ms: float | None = None  # receive time less trade time, smoothed

    def observe(self, delay_ms: float) -> None:
        """Learn from one live record how long after the trade we received it."""
        if self.skew_ms is None:
            self.skew_ms = max(-SKEW_MS_MAX, min(SKEW_MS_MAX, delay_ms))
            return
        step = max(-SKEW_STEP_MS_MAX, min(SKEW_STEP_MS_MAX, delay_ms - self.skew_ms))
        self.skew_ms += step / 16


class Engine:
    """Folds trade batches; see the module for what it promises."""

    def __init__(
        self, lengths: tuple[int, ...], *, grace_ms: int, live_every_ms: int, closes_quiet: bool
    ) -> None:
        self._lengths = lengths
        self._grace_ms = grace_ms
        self._live_every_ms = live_every_ms
        self._closes_quiet = closes_quiet
        self._feeds: dict[int, dict[tuple[str, str], Feed]] = {}
        self._due: dict[SymbolCandles, None] = {}  # has something to publish
        self._fresh: dict[SymbolCandles, int] = {}  # open candles changed, with the partition
        self._dirty: dict[SymbolCandles, int] = {}  # changed since the last checkpoint
        self.trades = 0

    def apply(self, partition: int, offset: int, batch: TradeBatch) -> None:
        """Fold one record. Symbols that already hold this offset skip it."""
        feeds = self._feeds.setdefault(partition, {})
        feed = feeds.setdefault((batch.exchange, batch.channel), Feed())
        symbols, grace_ms, source = feed.symbols, self._grace_ms, batch.source
        recv_ms = batch.recv_ns // 1_000_000
        for group in batch.symbols:
            candles = symbols.get(group.symbol)
            if candles is None:
                candles = SymbolCandles(
                    batch.exchange, batch.channel, group.symbol, self._lengths, group.ids
                )
                symbols[group.symbol] = candles
            elif offset <= candles.offset:
                continue
            candles.apply(group, offset, source)
            candles.recv_ms = recv_ms
            line_ms = candles.watermark_ms - grace_ms
            if line_ms >= candles.next_close_ms:
                candles.settle(line_ms)
            if candles.touched or candles.gaps or candles.late:
                candles.tell_claims()
                self._due[candles] = None
            self._fresh[candles] = self._dirty[candles] = partition
            self.trades += len(group.id)
        if source == "live":
            delay_ms = recv_ms - batch.symbols[0].ts[-1]
            if delay_ms < HISTORY_MS:
                feed.observe(delay_ms)

    def close_quiet(self, now_ms: int, caught_up: Collection[int]) -> None:
        """Close by the clock what no trade has closed, where nothing waits to be read."""
        if not self._closes_quiet:
            return
        for partition in caught_up:
            for feed in self._feeds.get(partition, {}).values():
                line_ms = now_ms - int(feed.skew_ms or 0) - self._grace_ms
                for candles in feed.symbols.values():
                    if candles.next_close_ms <= line_ms:
                        candles.settle(line_ms)
                        candles.tell_claims()
                        self._due[candles] = None
                        self._dirty[candles] = partition

    def outputs(self, now_ms: int, caught_up: Collection[int]) -> Iterator[Output]:
        """Yield what is due: closed candles and gaps at once, open candles throttled.

        Once it is exhausted nothing waits to be published but throttled open candles.
        """
        slow_ms = self._live_every_ms * LAGGING_LIVE_FACTOR
        sent = []
        for candles, partition in self._fresh.items():
            if candles.live_at_ms <= now_ms:
                every_ms = self._live_every_ms if partition in caught_up else slow_ms
                candles.live_at_ms = now_ms + every_ms
                sent.append(candles)
                yield from _live_outputs(candles)
                # Merging its second may have sealed a candle that the clock had closed.
                if candles.touched or candles.late:
                    self._due[candles] = None
        for candles in sent:
            del self._fresh[candles]
        for candles in self._due:
            yield from _due_outputs(candles)
        self._due.clear()

    def merge(self) -> None:
        """Merge what every symbol has gathered, so that all its corrections are due."""
        for candles in self._all():
            candles.merge_second()
            if candles.touched or candles.late:
                self._due[candles] = None

    def unclosed(self) -> Iterator[Output]:
        """Yield every open candle: at the end of a recording no update of it follows."""
        for candles in self._all():
            candles.merge_second()
            still_open = [
                rows.kline_row(candles, length, bar)
                for length, bars in zip(candles.lengths, candles.bars, strict=True)
                for bar in bars
                if not bar.closed
            ]
            if still_open:
                yield Output(KLINES_LIVE, candles.key, rows.kline_envelope(candles, still_open))

    def final_ms(self) -> dict[bytes, int]:
        """Return by symbol key until when no candle that has ended can change any more."""
        return {
            candles.key: candles.watermark_ms - CORRECTION_MS
            for candles in self._all()
            if candles.watermark_ms  # else it has no candle yet
        }

    def count_duplicates(self) -> int:
        """Return how many trades of the symbols here were dropped by their id."""
        return sum(candles.duplicates for candles in self._all())

    def take_trade_count(self) -> int:
        """Return how many trades were folded since the last call."""
        count, self.trades = self.trades, 0
        return count

    def take_dirty(self) -> list[tuple[int, bytes, bytes]]:
        """Return (partition, key, record) of every symbol changed since the last call.

        They are to be written in this order, all of them before the next call.
        """
        states = [
            (partition, key, value)
            for candles, partition in self._dirty.items()
            for key, value in records(candles)
        ]
        self._dirty.clear()
        return states

    def restore(self, partition: int, states: Mapping[bytes, bytes]) -> None:
        """Take over a partition with the records of its symbols."""
        self.drop(partition)
        feeds = self._feeds.setdefault(partition, {})
        for key, value in states.items():
            if is_slot(key):
                continue
            candles = load(key, value, self._lengths, states)
            feed = feeds.setdefault((candles.exchange, candles.channel), Feed())
            feed.symbols[candles.symbol] = candles

    def drop(self, partition: int) -> None:
        """Forget a partition that another worker owns now."""
        for feed in self._feeds.pop(partition, {}).values():
            for candles in feed.symbols.values():
                self._due.pop(candles, None)
                self._fresh.pop(candles, None)
                self._dirty.pop(candles, None)

    def _all(self) -> Iterator[SymbolCandles]:
        for feeds in self._feeds.values():
            for feed in feeds.values():
                yield from feed.symbols.values()


def _due_outputs(candles: SymbolCandles) -> Iterator[Output]:
    candles.merge_second()
    candles.tell_claims()
    for bars in _parts(candles.touched):
        found = [rows.kline_row(candles, length, bar) for length, bar in bars]
        yield Output(KLINES, candles.key, rows.kline_envelope(candles, found))
        for _, bar in bars:
            bar.is_touched = False
            bar.claim = None
    candles.touched = []
    for changes in _parts(candles.gaps):
        yield Output(GAPS, candles.key, rows.gap_envelope(candles, changes))
    candles.gaps = []
    if candles.late:
        yield Output(RECOMPUTE, candles.key, rows.recompute_envelope(candles, candles.late))
        candles.late = None


def _parts(found: list[Row]) -> Iterator[list[Row]]:
    if len(found) <= ROWS_MAX:
        if found:
            yield found
        return
    for at in range(0, len(found), ROWS_MAX):
        yield found[at : at + ROWS_MAX]


def _live_outputs(candles: SymbolCandles) -> Iterator[Output]:
    candles.merge_second()
    newest = [
        (length, bars[-1])
        for length, bars in zip(candles.lengths, candles.bars, strict=True)
        if bars
    ]
    is_open = [rows.kline_row(candles, length, bar) for length, bar in newest if not bar.closed]
    if is_open:
        yield Output(KLINES_LIVE, candles.key, rows.kline_envelope(candles, is_open))
    if newest:
        yield Output(PRICES, candles.key, rows.price_envelope(candles, newest[0][1]))
