"""SymbolCandles: every candle of one symbol, folded from its trade groups.

The cost of a trade does not grow with the number of intervals: trades gather in one bar of a second
(``second``), which is merged into the intervals' bars only when the second ends or something is
due. When it is merged changes no number: late or not is told by the watermark of the trades alone.
"""

from collections.abc import Sequence
from itertools import chain
from math import gcd
from typing import Literal, NamedTuple

import orjson

from processors.engine.bars import Bar, Claim
from processors.engine.columns import at_scales, is_dense_run, sum_columns
from processors.engine.ids import Missing, SeenIds
from schemas.intervals import SECOND_MS
from schemas.topics import symbol_key
from schemas.trades import Flag, Source, SymbolTrades

CORRECTION_MS = 10_000  # a bar closed less than this before the watermark is corrected here
COLUMNS_PAY_FROM = 8  # trades of one second from which column sums beat a loop
NEVER_MS = 2**62

PROVEN = Claim("proven", 0)
ASSUMED = Claim("assumed", 0)
BEGAN_INSIDE = Claim("gap", 0)  # what came before the stream's first trade is not known

GapState = Literal["found", "recovering", "recovered", "unrecoverable"]


class GapChange(NamedTuple):
    """What became of a missing range: ``left`` of its ids are still missing."""

    state: GapState
    gap: Missing
    left: int
    offset: int


class SymbolCandles:
    """State of one symbol: one record of the changelog, hence atomic.

    After ``apply`` the lists ``touched`` (closed bars to send), ``gaps`` (ranges that opened or
    changed) and ``late`` (a span of time to recompute elsewhere) hold what the caller must publish.
    """

    __slots__ = (
        "bars",
        "began_ms",
        "channel",
        "duplicates",
        "exchange",
        "gaps",
        "ids",
        "key",
        "late",
        "lengths",
        "live_at_ms",
        "name",
        "next_close_ms",
        "offset",
        "price_scale",
        "qty_scale",
        "recv_ms",
        "second",
        "step_ms",
        "symbol",
        "touched",
        "watermark_ms",
    )

    def __init__(self, exchange: str, channel: str, symbol: str, lengths: Sequence[int]) -> None:
        self.exchange = exchange
        self.channel = channel
        self.symbol = symbol
        self.key = symbol_key(exchange, channel, symbol)
        self.name = orjson.dumps(symbol).decode()  # as it stands in a row
        self.live_at_ms = 0  # when the open candles may be published next
        self.lengths = tuple(lengths)
        self.step_ms = gcd(*self.lengths)  # every window ends on a multiple of it
        self.bars: list[list[Bar]] = [[] for _ in self.lengths]  # oldest first, as in ``lengths``
        self.began_ms: dict[int, int] = {}  # by length: where an interval was added later
        self.ids = SeenIds()
        self.offset = -1  # of the last record applied
        self.watermark_ms = 0  # the youngest trade
        self.recv_ms = 0
        self.price_scale = 0
        self.qty_scale = 0
        self.next_close_ms = NEVER_MS  # the earliest end of a bar that is not closed
        self.touched: list[tuple[int, Bar]] = []
        self.gaps: list[GapChange] = []
        self.late: tuple[int, int] | None = None
        self.duplicates = 0
        self.second: Bar | None = None

    def apply(self, group: SymbolTrades, offset: int, source: Source) -> None:
        """Fold one group; ``offset`` is its record's, and records come in order of offsets."""
        self.offset = offset
        if group.price_scale != self.price_scale or group.qty_scale != self.qty_scale:
            group = self._aligned(group)
        ids, times, seen = group.id, group.ts, self.ids
        n = len(ids)
        if (
            ids[0] != seen.last_id + 1
            or ids[-1] - ids[0] != n - 1
            or group.flags
            or (n > 1 and not is_dense_run(ids, times))
            or seen.last_id < seen.first_id
        ):
            self._apply_each(group, offset, source)
            return
        seen.last_id = ids[-1]
        seen.last_ms = times[-1]
        if n < COLUMNS_PAY_FROM:
            second = self.second
            if (
                second is not None
                and second.last_ms <= times[0]
                and times[-1] < second.open_ms + SECOND_MS
                and second.source == source
            ):
                second.take_in_order(group, offset)
                if times[-1] > self.watermark_ms:
                    self.watermark_ms = times[-1]
            else:
                self._take_each(group, offset, source)
        else:
            self._take_columns(group, offset, source)

    def settle(self, line_ms: int) -> None:
        """Close what ended at or before ``line_ms`` and drop what no trade can correct here."""
        self.merge_second()
        next_close_ms = NEVER_MS
        oldest_ms = self.watermark_ms - CORRECTION_MS
        for i, length in enumerate(self.lengths):
            bars = self.bars[i]
            for bar in bars:
                end_ms = bar.open_ms + length
                if not bar.closed:
                    if end_ms <= line_ms:
                        bar.closed = True
                        self._touch(i, bar)
                    elif end_ms < next_close_ms:
                        next_close_ms = end_ms
            while len(bars) > 1 and bars[0].open_ms + length <= oldest_ms and bars[0].closed:
                del bars[0]
        self.next_close_ms = next_close_ms

    def find_next_close(self) -> None:
        """Work out ``next_close_ms`` of a state that was loaded."""
        ends_ms = [
            bar.open_ms + length
            for length, bars in zip(self.lengths, self.bars, strict=True)
            for bar in bars
            if not bar.closed
        ]
        if self.second is not None:
            ends_ms.append(self._next_end_ms(self.second.open_ms))
        self.next_close_ms = min(ends_ms, default=NEVER_MS)

    def tell_claims(self) -> None:
        """Fix what is proven about the touched bars, as of this record.

        A bar too old for corrections may lose or gain proof without a new revision; sent later, it
        would otherwise tell more than its revision knew.
        """
        for length, bar in self.touched:
            if bar.claim is None:
                bar.claim = self.claim(bar, length)

    def claim(self, bar: Bar, length: int) -> Claim:
        """Return what is proven about a bar now."""
        ids = self.ids
        if ids.missing or ids.lost:
            missing = ids.missing_in(bar.open_ms, bar.open_ms + length)
            if missing:
                return Claim("gap", missing)
        if bar.open_ms <= ids.first_ms and ids.first_id > 1:
            return BEGAN_INSIDE
        if self.began_ms and bar.open_ms <= self.began_ms.get(length, -1):
            return BEGAN_INSIDE
        return PROVEN if bar.sealed else ASSUMED

    def merge_second(self) -> None:
        """Merge the gathered second into the bars of every interval."""
        second = self.second
        if second is None:
            return
        self.second = None
        at_ms = second.open_ms
        for i, length in enumerate(self.lengths):
            open_ms = at_ms - at_ms % length
            bars = self.bars[i]
            if bars and bars[-1].open_ms == open_ms:
                bar = bars[-1]
            else:
                found = self._bar_at(i, length, open_ms, second)
                if found is None:
                    self._ask_recompute(second.first_ms, second.last_ms)
                    continue
                bar = found
            if bar is second:
                continue
            bar.merge(second)
            bar.source = second.source
            bar.was_late = bar.sealed
            if bar.closed:
                self._touch(i, bar)

    # -- gathering

    def _gather(self, at_ms: int, source: Source, offset: int) -> Bar:
        """Return the bar of the second that holds ``at_ms``, the one before it merged."""
        second = self.second
        open_ms = at_ms - at_ms % SECOND_MS
        if second is not None:
            if second.open_ms == open_ms and second.source == source:
                return second
            self.merge_second()
        self.second = second = Bar(open_ms, source, offset)
        end_ms = self._next_end_ms(open_ms)
        if end_ms < self.next_close_ms:
            self.next_close_ms = end_ms
        return second

    def _next_end_ms(self, at_ms: int) -> int:
        """Return before which time no window that holds ``at_ms`` ends."""
        return at_ms - at_ms % self.step_ms + self.step_ms

    def _take_each(self, group: SymbolTrades, offset: int, source: Source) -> None:
        sides = group.side
        first, last = group.first, group.last
        for at, ms in enumerate(group.ts):
            side = sides if isinstance(sides, int) else sides[at]
            count = 1 if first is None or last is None else last[at] - first[at] + 1
            bar = self._gather(ms, source, offset)
            bar.take(ms, group.id[at], group.price[at], group.qty[at], side, count, offset)
            if ms > self.watermark_ms:
                self.watermark_ms = ms

    def _take_columns(self, group: SymbolTrades, offset: int, source: Source) -> None:
        """Fold trades that are in order, a second at a time, by sums over columns."""
        times = group.ts
        n = len(times)
        start = 0
        while start < n:
            bar = self._gather(times[start], source, offset)
            end_ms = bar.open_ms + SECOND_MS
            stop = n
            if times[-1] >= end_ms:
                stop = start + 1
                while times[stop] < end_ms:
                    stop += 1
            part = Bar(bar.open_ms, source, offset)
            sum_columns(part, group, start, stop)
            bar.merge(part)
            if times[stop - 1] > self.watermark_ms:
                self.watermark_ms = times[stop - 1]
            start = stop

    def _apply_each(self, group: SymbolTrades, offset: int, source: Source) -> None:
        """Fold a group that holds duplicates, holes, recovered trades or steps back in time."""
        self.merge_second()
        self.tell_claims()
        seen = self.ids
        sides, flags = group.sides(), group.flag_list()
        first, last = group.first or group.id, group.last or group.id
        filled: list[Missing] = []
        began_id, began_ms = seen.first_id, seen.first_ms
        # It moves at the end: what is too late for a correction must not turn on the order here.
        watermark_ms = self.watermark_ms
        for at, id_ in enumerate(group.id):
            ms = group.ts[at]
            is_new, opened, shrunk = seen.admit(id_, ms)
            if not is_new:
                self.duplicates += 1
                continue
            if opened is not None:
                self._open_gap(opened, offset)
            if shrunk is not None:
                filled.append(shrunk)
            if flags[at] & Flag.NON_MARKET:
                continue  # it consumes an id, and belongs to no candle
            bar = self._gather(ms, source, offset)
            count = last[at] - first[at] + 1 if group.first else 1
            bar.take(ms, id_, group.price[at], group.qty[at], sides[at], count, offset)
            if ms > watermark_ms:
                watermark_ms = ms
        self.merge_second()
        if filled:
            self._fill_gaps(filled, offset)
        if seen.first_id < began_id:  # history: the span now begins earlier
            from_ms, to_ms = sorted((seen.first_ms, began_ms))
            self._change_proof(0, to_ms, offset)
            self._change_past_proof(from_ms, to_ms, offset)
        self.watermark_ms = watermark_ms

    # -- gaps

    def _open_gap(self, gap: Missing, offset: int) -> None:
        self.gaps.append(GapChange("found", gap, gap.ids, offset))
        self.merge_second()
        self._change_proof(gap.from_ms, gap.to_ms, offset)
        forgotten = self.ids.forget_oldest()
        if forgotten is not None:
            self.gaps.append(GapChange("unrecoverable", forgotten, forgotten.ids, offset))
            self._change_proof(self.ids.lost_from_ms, self.ids.lost_to_ms, offset)

    def _fill_gaps(self, filled: list[Missing], offset: int) -> None:
        """Tell what became of each range that was open before the group, and of its bars."""
        whole: list[Missing] = []
        for gap in filled:
            if not whole or gap.last > whole[-1].last or gap.first < whole[-1].first:
                whole.append(gap)
        for gap in whole:
            left = sum(m.ids for m in self.ids.missing if gap.first <= m.first <= gap.last)
            state: GapState = "recovering" if left else "recovered"
            self.gaps.append(GapChange(state, gap, left, offset))
            self._change_past_proof(gap.from_ms, gap.to_ms, offset)

    def _change_past_proof(self, from_ms: int, to_ms: int, offset: int) -> None:
        self._change_proof(from_ms, to_ms, offset)
        if from_ms <= self.watermark_ms - CORRECTION_MS:
            self._ask_recompute(from_ms, to_ms)

    def _change_proof(self, from_ms: int, to_ms: int, offset: int) -> None:
        # Told by the watermark, not by which bars are still here: when they go is the clock's.
        oldest_ms = self.watermark_ms - CORRECTION_MS
        for i, length in enumerate(self.lengths):
            for bar in self.bars[i]:
                end_ms = bar.open_ms + length
                if bar.open_ms <= to_ms and end_ms > from_ms and end_ms > oldest_ms:
                    bar.rev = max(bar.rev, offset)
                    if bar.closed:
                        self._touch(i, bar)

    def _ask_recompute(self, from_ms: int, to_ms: int) -> None:
        if self.late is not None:
            from_ms, to_ms = min(from_ms, self.late[0]), max(to_ms, self.late[1])
        self.late = (from_ms, to_ms)

    # -- bars

    def _bar_at(self, i: int, length: int, open_ms: int, second: Bar) -> Bar | None:
        """Return the bar for a window that is not the newest one; None when it is too late."""
        bars = self.bars[i]
        if not bars or open_ms > bars[-1].open_ms:
            if bars:
                self._seal(i, bars[-1], second.opened_at)
            # The second itself is the first bar of the shortest window that can hold it.
            bar = second if length == SECOND_MS else Bar(open_ms, second.source, second.opened_at)
            bars.append(bar)
            return bar
        if open_ms + length + CORRECTION_MS <= self.watermark_ms:
            return None
        at = len(bars) - 1
        while at and bars[at - 1].open_ms >= open_ms:
            at -= 1
        if bars[at].open_ms == open_ms:
            return bars[at]
        bar = Bar(open_ms, second.source, second.opened_at)
        bar.sealed = True
        bars.insert(at, bar)
        self.next_close_ms = min(self.next_close_ms, open_ms + length)
        return bar

    def _seal(self, i: int, bar: Bar, offset: int) -> None:
        """A trade beyond the end: what the bar lacks is now known, which is a change of proof."""
        if not bar.sealed:
            bar.sealed = True
            if offset > bar.rev:
                bar.rev = offset
            if bar.closed:
                self._touch(i, bar)

    def _touch(self, i: int, bar: Bar) -> None:
        bar.claim = None
        if not bar.is_touched:
            bar.is_touched = True
            self.touched.append((self.lengths[i], bar))

    # -- scales

    def _aligned(self, group: SymbolTrades) -> SymbolTrades:
        """Bring group and state to the larger scales: a venue may begin to send more decimals."""
        price_scale = max(self.price_scale, group.price_scale)
        qty_scale = max(self.qty_scale, group.qty_scale)
        self.merge_second()
        price_by = 10 ** (price_scale - self.price_scale)
        qty_by = 10 ** (qty_scale - self.qty_scale)
        if price_by > 1 or qty_by > 1:
            # A bar that waits to be sent may have left the windows that trades can correct.
            for bar in {*chain(*self.bars), *(bar for _, bar in self.touched)}:
                bar.rescale(price_by, qty_by)
            self.price_scale, self.qty_scale = price_scale, qty_scale
        return at_scales(group, price_scale, qty_scale)
