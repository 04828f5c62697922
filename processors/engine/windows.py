"""Windows: the bars of every interval of one symbol, and the second in which trades gather.

The cost of a trade does not grow with the number of intervals: trades gather in one bar of a second
(``second``), which is merged into the intervals' bars only when the second ends or something is
due. When it is merged changes no number: late or not is told by the watermark of the trades alone.
"""

from collections.abc import Sequence
from itertools import chain
from math import gcd

from processors.engine.bars import Bar
from processors.engine.columns import at_scales, sum_columns
from schemas.intervals import SECOND_MS
from schemas.trades import Source, SymbolTrades

CORRECTION_MS = 10_000  # a bar closed less than this before the watermark is corrected here
NEVER_MS = 2**62


class Windows:
    """The bars of one symbol.

    ``touched`` (closed bars to send) and ``late`` (a span of time to recompute elsewhere) hold what
    the caller must publish. ``by_arrival`` is the order of trades inside a millisecond, see
    ``Bar``; about such bars nothing is ever proven.
    """

    __slots__ = (
        *("bars", "by_arrival", "late", "lengths", "next_close_ms", "price_scale", "qty_scale"),
        *("second", "step_ms", "touched", "watermark_ms"),
    )

    def __init__(self, lengths: Sequence[int], *, by_arrival: bool) -> None:
        self.by_arrival = by_arrival
        self.lengths = tuple(lengths)
        self.step_ms = gcd(*self.lengths)  # every window ends on a multiple of it
        self.bars: list[list[Bar]] = [[] for _ in self.lengths]  # oldest first, as in ``lengths``
        self.watermark_ms = 0  # the youngest trade
        self.price_scale = 0
        self.qty_scale = 0
        self.next_close_ms = NEVER_MS  # the earliest end of a bar that is not closed
        self.touched: list[tuple[int, Bar]] = []
        self.late: tuple[int, int] | None = None
        self.second: Bar | None = None

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
        self.second = second = Bar(open_ms, source, offset, by_arrival=self.by_arrival)
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
            bar = second if length == SECOND_MS else self._empty(open_ms, second)
            bars.append(bar)
            return bar
        if open_ms + length + CORRECTION_MS <= self.watermark_ms:
            return None
        at = len(bars) - 1
        while at and bars[at - 1].open_ms >= open_ms:
            at -= 1
        if bars[at].open_ms == open_ms:
            return bars[at]
        bar = self._empty(open_ms, second)
        bar.sealed = True
        bars.insert(at, bar)
        self.next_close_ms = min(self.next_close_ms, open_ms + length)
        return bar

    def _seal(self, i: int, bar: Bar, offset: int) -> None:
        """A trade beyond the end: what the bar lacks is now known, which is a change of proof."""
        if not bar.sealed:
            bar.sealed = True
            if self.by_arrival:
                return  # ids prove nothing there
            if offset > bar.rev:
                bar.rev = offset
            if bar.closed:
                self._touch(i, bar)

    def _empty(self, open_ms: int, second: Bar) -> Bar:
        return Bar(open_ms, second.source, second.opened_at, by_arrival=self.by_arrival)

    def _touch(self, i: int, bar: Bar) -> None:
        bar.claim = None
        if not bar.is_touched:
            bar.is_touched = True
            self.touched.append((self.lengths[i], bar))

    def _known(self) -> set[Bar]:
        # A bar that waits to be sent may have left the windows that trades can correct.
        return {*chain(*self.bars), *(bar for _, bar in self.touched)}

    # -- scales

    def _aligned(self, group: SymbolTrades) -> SymbolTrades:
        """Bring group and state to the larger scales: a venue may begin to send more decimals."""
        price_scale = max(self.price_scale, group.price_scale)
        qty_scale = max(self.qty_scale, group.qty_scale)
        self.merge_second()
        price_by = 10 ** (price_scale - self.price_scale)
        qty_by = 10 ** (qty_scale - self.qty_scale)
        if price_by > 1 or qty_by > 1:
            for bar in self._known():
                bar.rescale(price_by, qty_by)
            self.price_scale, self.qty_scale = price_scale, qty_scale
        return at_scales(group, price_scale, qty_scale)
