"""Candles of a recording: the production engine under virtual time, final rows in order.

Virtual time is the time of receipt where it was recorded, else that of the trades. It groups the
trades into records, as the publisher's tick would, and closes quiet candles; it changes no sum.
"""

import heapq
from collections import Counter
from collections.abc import Iterator, Mapping

import msgspec

from ingest.batches import Collector
from ingest.exchanges import EXCHANGES
from ingest.exchanges.base import TradeRow
from processors.engine.engine import Engine
from processors.engine.windows import CORRECTION_MS
from processors.fold import Output
from runtime.settings import Settings
from schemas.intervals import Interval
from schemas.klines import Gap, decode_id_gaps
from schemas.recompute import Recompute, decode_recompute
from schemas.topics import GAPS, KLINES, RECOMPUTE
from schemas.trades import Channel

TICK_NS = 50_000_000  # the publisher's longest
TICK_ROWS_MAX = 20_000
PULSE_NS = 10_000_000_000  # corrections take as long; how often it asks changes no row
NEVER_MS = 2**60  # open candles are asked for once, at the end
HELD_ROWS_MAX = 200_000  # ~700 bytes each

Key = tuple[int, Interval, bytes]  # end of the candle, its kind, its symbol: the order of rows


class _Rows(msgspec.Struct):
    data: list[msgspec.Raw]  # rows as the engine wrote them: no number is read


class _Window(msgspec.Struct):
    interval: int
    timestamp: int
    anchor: str = ""


_decode_rows = msgspec.json.Decoder(_Rows).decode
_decode_window = msgspec.json.Decoder(_Window).decode


class HeldRows:
    """Candles that wait until no trade can change them, and until their turn has come."""

    def __init__(self, rows_max: int = HELD_ROWS_MAX) -> None:
        self.outdated = 0
        """Revisions of candles that had to go before they were final."""
        self._rows_max = rows_max
        self._rows: dict[Key, bytes] = {}
        self._turns: list[Key] = []
        self._gone_early: set[Key] = set()

    def put(self, key: Key, row: bytes) -> None:
        """Take the newest revision of a candle."""
        if key in self._gone_early:
            self.outdated += 1
            return
        if key not in self._rows:
            heapq.heappush(self._turns, key)
        self._rows[key] = row

    def until(self, line_ms: int) -> Iterator[bytes]:
        """Yield the rows of candles that ended at or before ``line_ms``."""
        while self._turns and self._turns[0][0] <= line_ms:
            yield self._rows.pop(heapq.heappop(self._turns))

    def excess(self, final_ms: Mapping[bytes, int]) -> Iterator[bytes]:
        """Yield the first half of the rows when there are too many of them."""
        if len(self._turns) <= self._rows_max:
            return
        self._gone_early = {key for key in self._gone_early if key[0] > final_ms[key[2]]}
        while len(self._turns) > self._rows_max // 2:
            key = heapq.heappop(self._turns)
            if key[0] > final_ms[key[2]]:
                self._gone_early.add(key)
            yield self._rows.pop(key)


class ReplayedCandles:
    """Takes the new trades of one exchange and channel, in order; yields rows of candles."""

    def __init__(
        self,
        exchange: str,
        channel: Channel,
        intervals: tuple[Interval, ...],
        settings: Settings,
    ) -> None:
        self.gaps: Counter[str] = Counter()
        """Missing id ranges by what became of them."""
        self.missing_ids = 0
        self.late_trades = 0
        """Trades that came too late for their candles: those lack them."""
        self.unsettled: dict[str, tuple[int, int]] = {}
        """By symbol, the span (ms) whose candles lack late trades, or the latest proof."""
        self.held = HeldRows()
        self._head = f'{{"exchange":"{exchange}","channel":"{channel}",'.encode()
        self._engine = Engine(
            intervals,
            grace_ms=settings.aggregator_waiter_latency_ms,
            live_every_ms=NEVER_MS,
            closes_quiet=settings.aggregator_waiter_mode_enabled,
        )
        ids = EXCHANGES[exchange].markets[channel].ids
        self._collector = Collector(exchange, channel, partition_of=lambda _: 0, ids=ids)
        self._shortest = min(intervals)
        self._marks: dict[str, int] = {}  # the youngest trade of each symbol
        self._offset = 0
        self._tick_ns = 0  # when the record in the making began
        self._pulse_ns = 0  # when the engine was last asked
        self._latest_ns = 0

    def add(self, row: TradeRow, recv_ns: int | None) -> bool:
        """Take one trade; say whether ``rows`` has become worth asking. Raise Unfit."""
        now_ns = recv_ns if recv_ns is not None else max(self._latest_ns, row.ts * 1_000_000)
        collector = self._collector
        rows = collector.rows
        if rows and not (0 <= now_ns - self._tick_ns < TICK_NS and rows < TICK_ROWS_MAX):
            self._fold()
        collector.add(row, now_ns)
        mark_ms = self._marks.get(row.symbol, 0)
        if row.ts > mark_ms:
            self._marks[row.symbol] = row.ts
        elif not row.flags and self._shortest.window(row.ts)[1] + CORRECTION_MS <= mark_ms:
            self.late_trades += 1
        if collector.rows == 1:
            self._tick_ns = now_ns
        self._latest_ns = max(self._latest_ns, now_ns)
        if 0 <= now_ns - self._pulse_ns < PULSE_NS:
            return False
        self._pulse_ns = now_ns
        return True

    def rows(self, *, is_last_file: bool) -> Iterator[bytes]:
        """Yield the rows whose turn has come."""
        final_ms = self._publish(self._pulse_ns // 1_000_000)
        # A file to come may go back in time: until the last one rows are held as long as they can.
        if is_last_file and final_ms:
            yield from self.held.until(min(final_ms.values()))
        yield from self.held.excess(final_ms)

    def rest(self, end_ns: int | None) -> Iterator[bytes]:
        """Yield what is held, and what is open, when the recording ended at ``end_ns``."""
        self._fold()
        self._publish(max(self._latest_ns, end_ns or 0) // 1_000_000)
        for output in self._engine.unclosed():
            self._hold(output)
        yield from self.held.until(NEVER_MS)

    def notes(self) -> dict[str, object]:
        """Return what the summary should say of the candles; empty where all is well."""
        notes: dict[str, object] = {}
        if self.gaps:
            notes["gaps"] = dict(self.gaps)
            notes["missing_ids"] = self.missing_ids
        if self.unsettled:
            notes["late_trades"] = self.late_trades
            notes["unsettled"] = self.unsettled
        if self.held.outdated:
            notes["outdated"] = self.held.outdated
        return notes

    def _publish(self, now_ms: int) -> Mapping[bytes, int]:
        self._engine.merge()
        self._engine.tick(now_ms, (0,))
        for output in self._engine.outputs(now_ms, (0,)):
            if output.topic is KLINES:
                self._hold(output)
            elif output.topic is GAPS:
                for gap in decode_id_gaps(output.value).data:
                    self._note_gap(gap)
            elif output.topic is RECOMPUTE:
                for late in decode_recompute(output.value).data:
                    self._note_unsettled(late)
        return self._engine.final_ms()

    def _fold(self) -> None:
        for _, batch in self._collector.drain():
            self._engine.apply_batch(0, self._offset, batch)
            self._offset += 1

    def _hold(self, output: Output) -> None:
        for row in _decode_rows(output.value).data:
            window = _decode_window(row)
            interval = Interval(window.interval, window.anchor)
            key = (interval.end_ms(window.timestamp), interval, output.key)
            self.held.put(key, self._head + bytes(row)[1:] + b"\n")

    def _note_gap(self, gap: Gap) -> None:
        self.gaps[gap.state] += 1
        if gap.state == "found":
            self.missing_ids += gap.missing

    def _note_unsettled(self, late: Recompute) -> None:
        from_ms, to_ms = self.unsettled.get(late.symbol, (late.from_ms, late.to_ms))
        self.unsettled[late.symbol] = min(from_ms, late.from_ms), max(to_ms, late.to_ms)
