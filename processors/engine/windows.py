"""Windows: the bars of every interval of one symbol, and the second in which trades gather.

The cost of a trade does not grow with the number of intervals: trades gather in one bar of a
second, seconds in one of a minute, merged into the bars of whole minutes when it ends or something
is due. When changes no number: windows open with the first trade in them, and late or not is told
by the watermark of the trades alone.
"""

from collections.abc import Sequence
from itertools import chain

from processors.engine.bars import Bar
from processors.engine.columns import sum_columns
from schemas.intervals import MINUTE_MS, SECOND_MS, Interval
from schemas.rules import FLAT_WINDOWS_MAX, PLAIN, CandleRule
from schemas.trades import Source, SymbolTrades

CORRECTION_MS = 10_000  # a bar closed less than this before the watermark is corrected here
NEVER_MS = 2**62
FLAT_AT_ONCE_MAX = 60  # windows without a trade that the clock closes in one go


class Windows:
    """The bars of one symbol.

    The caller must publish ``touched`` (closed bars) and ``late`` (a span of time to recompute, and
    under which revision). ``by_arrival`` is the order of trades inside a millisecond, see ``Bar``.
    """

    __slots__ = (
        *("intervals", "bars", "short", "long", "candle_rule", "by_arrival"),
        *("second", "minute", "minute_end_ms", "newest_ms", "watermark_ms"),
        *("next_close_ms", "long_close_ms", "closed_until_ms", "flat_until"),
        *("touched", "is_news", "late", "price_scale", "qty_scale"),
    )

    def __init__(
        self, intervals: Sequence[Interval], *, by_arrival: bool, rule: CandleRule = PLAIN
    ) -> None:
        self.by_arrival = by_arrival
        self.candle_rule = rule
        self.bars: list[list[Bar]] = []  # oldest first, as in ``intervals``
        self.flat_until: list[int] = []  # until where the clock has closed windows without a trade
        self.watermark_ms = 0  # the youngest trade
        self.newest_ms = 0  # the youngest second that was gathered
        self.closed_until_ms = 0  # the latest end of a closed window
        self.price_scale = 0
        self.qty_scale = 0
        self.touched: list[tuple[Interval, Bar]] = []
        self.is_news = False  # some were touched that the engine does not know of
        self.late: tuple[int, int, int] | None = None
        self.second: Bar | None = None
        self.minute: Bar | None = None  # seconds that the bars of whole minutes lack
        self.next_close_ms = NEVER_MS  # the earliest end of a window that is not closed
        self.long_close_ms = NEVER_MS  # the same of those of whole minutes
        self.take_intervals(intervals, [[] for _ in intervals])

    def take_intervals(self, intervals: Sequence[Interval], bars: list[list[Bar]]) -> None:
        """Go on with these intervals and bars; nothing may be gathered."""
        self.intervals = tuple(intervals)
        self.bars = bars
        self.flat_until = [0 for _ in intervals]
        every = range(len(self.intervals))
        # Windows of whole minutes begin and end with one, in every calendar.
        self.long = [i for i in every if self.intervals[i].length_ms % MINUTE_MS == 0]
        self.short = [i for i in every if i not in self.long]
        self.minute_end_ms = 0
        ends_ms = (bar.end_ms for some in bars for bar in some if bar.closed)
        self.closed_until_ms = max(ends_ms, default=0)
        self.find_next_close()

    def settle(self, line_ms: int) -> None:
        """Close what ended at or before ``line_ms`` and drop what no trade can correct here."""
        # A second that goes on lies in no window that has ended.
        if self.second is not None and self.second.end_ms <= line_ms:
            self.merge_second()
        close_ms = NEVER_MS
        for i in self.short:
            close_ms = min(close_ms, self._settle(i, line_ms))
        if line_ms >= self.long_close_ms:
            self.merge_minute()
            self.long_close_ms = min(
                (self._settle(i, line_ms) for i in self.long), default=NEVER_MS
            )
        self.next_close_ms = min(close_ms, self.long_close_ms)
        if self.second is not None:
            self._hasten(self.second)

    def find_next_close(self) -> None:
        """Work out ``next_close_ms`` from the bars."""
        self.long_close_ms = self._earliest_end(self.long)
        self.next_close_ms = min(self._earliest_end(self.short), self.long_close_ms)

    def merge(self) -> None:
        """Merge what is gathered into the bars of every interval."""
        self.merge_second()
        self.merge_minute()

    def merge_second(self) -> None:
        """Merge the gathered second into the short bars and the minute."""
        second = self.second
        if second is None:
            return
        self.second = None
        if second.open_ms < self.newest_ms:
            self._merge_late(second)
            return
        for i in self.short:
            bar = self.bars[i][-1]
            if bar is not second:
                self._add(i, bar, second)
        if self.long:
            minute = self.minute
            if minute is not None and minute.source != second.source:
                self.merge_minute()
                minute = None
            if minute is None:
                minute = self.minute = self._bar(second.open_ms, 0, second)
            minute.merge(second)

    def merge_minute(self) -> None:
        """Merge the gathered minute into the bars of whole minutes."""
        minute = self.minute
        if minute is not None:
            self.minute = None
            for i in self.long:
                self._add(i, self.bars[i][-1], minute)

    # -- gathering

    def _gather(self, at_ms: int, source: Source, offset: int) -> Bar:
        """Return the bar of the second that holds ``at_ms``, the one before it merged."""
        second = self.second
        open_ms = at_ms - at_ms % SECOND_MS
        if second is not None:
            if second.open_ms == open_ms and second.source == source:
                return second
            self.merge_second()
        self.second = second = Bar(
            open_ms, open_ms + SECOND_MS, source, offset, by_arrival=self.by_arrival
        )
        self._hasten(second)
        if open_ms >= self.newest_ms:
            self.newest_ms = open_ms
            self._open_windows(second)
        return second

    def _gather_minute(self, at_ms: int, source: Source, offset: int) -> Bar:
        """Return the bar of the minute of ``at_ms``; no trade is younger, all bars are long."""
        self.merge_second()
        if at_ms < self.closed_until_ms:  # as ``_hasten`` does
            end_ms = at_ms - at_ms % SECOND_MS + SECOND_MS
            self.long_close_ms = self.next_close_ms = min(self.next_close_ms, end_ms)
        minute = self.minute
        if minute is None or at_ms >= self.minute_end_ms or minute.source != source:
            minute = Bar(at_ms - at_ms % MINUTE_MS, 0, source, offset, by_arrival=self.by_arrival)
            self._open_windows(minute)
            self.merge_minute()
            self.minute = minute
        return minute

    def _hasten(self, second: Bar) -> None:
        """Have a second that may correct what was sent merged when it ends."""
        if second.open_ms < self.newest_ms or second.open_ms < self.closed_until_ms:
            self.long_close_ms = min(self.long_close_ms, second.end_ms)
            self.next_close_ms = min(self.next_close_ms, second.end_ms)

    def _open_windows(self, second: Bar) -> None:
        """Open the windows in which no trade was before this second; what was before is sealed."""
        open_ms = second.open_ms
        for i in self.short:
            bars = self.bars[i]
            if not bars or bars[-1].end_ms <= open_ms:
                self._open_window(i, second)
        if open_ms >= self.minute_end_ms:
            self.merge_minute()
            self.minute_end_ms = open_ms - open_ms % MINUTE_MS + MINUTE_MS
            for i in self.long:
                bars = self.bars[i]
                if not bars or bars[-1].end_ms <= open_ms:
                    end_ms = self._open_window(i, second)
                    self.long_close_ms = min(self.long_close_ms, end_ms)

    def _open_window(self, i: int, second: Bar) -> int:
        """Append the bar of a new window; return its end."""
        bars, interval = self.bars[i], self.intervals[i]
        open_ms, end_ms = interval.window(second.open_ms)
        is_second = interval.length_ms == SECOND_MS
        bar = second if is_second else self._bar(open_ms, end_ms, second)
        close_ms = end_ms
        if bars:
            self._seal(i, second.opened_at)
            if self.candle_rule.fills:
                close_ms = min(close_ms, self._fill(i, open_ms, second))
            if self.candle_rule.opens_at_close:
                bar.before = bars[-1].close
        bars.append(bar)
        self.flat_until[i] = 0
        self.next_close_ms = min(self.next_close_ms, close_ms)
        return close_ms

    def _take_each(self, group: SymbolTrades, offset: int, source: Source) -> None:
        sides, first, last = group.side, group.first, group.last
        for at, ms in enumerate(group.ts):
            side = sides if isinstance(sides, int) else sides[at]
            count = 1 if first is None or last is None else last[at] - first[at] + 1
            bar = self._gather(ms, source, offset)
            bar.take(ms, group.id[at], group.price[at], group.qty[at], side, count, offset)
            if ms > self.watermark_ms:
                self.watermark_ms = ms
        self._end_record()

    def _take_columns(self, group: SymbolTrades, offset: int, source: Source) -> None:
        """Fold trades that are in order, a second at a time, by sums over columns."""
        times = group.ts
        n = len(times)
        start = 0
        while start < n:
            bar = self._gather(times[start], source, offset)
            stop = n
            if times[-1] >= bar.end_ms:
                stop = start + 1
                while times[stop] < bar.end_ms:
                    stop += 1
            part = Bar(bar.open_ms, bar.end_ms, source, offset)
            sum_columns(part, group, start, stop)
            bar.merge(part)
            if times[stop - 1] > self.watermark_ms:
                self.watermark_ms = times[stop - 1]
            start = stop
        self._end_record()

    def _end_record(self) -> None:
        """Where a close is carried on, each record carries its own, or none would know whose."""
        second = self.second
        if second is not None and second.open_ms < self.newest_ms and self.candle_rule != PLAIN:
            self.merge_second()

    # -- late trades

    def _merge_late(self, second: Bar) -> None:
        """Merge a second that is older than the newest one."""
        self.merge_minute()  # by arrival, those trades came before
        for i in range(len(self.intervals)):
            bar = self._late_bar(i, second)
            if bar is None:
                self._ask_recompute(second.first_ms, second.last_ms, second.rev)
                continue
            close = bar.close
            self._add(i, bar, second)
            if bar.close != close:
                self._carry(i, bar)

    def _late_bar(self, i: int, second: Bar) -> Bar | None:
        """Return the bar of a window that may not be the newest one; None when it is too late."""
        bars = self.bars[i]
        open_ms, end_ms = self.intervals[i].window(second.open_ms)
        if end_ms + CORRECTION_MS <= self.watermark_ms:
            return None
        at = len(bars)
        while at and bars[at - 1].open_ms >= open_ms:
            at -= 1
        if at < len(bars) and bars[at].open_ms == open_ms:
            return bars[at]
        bar = self._bar(open_ms, end_ms, second)
        bar.sealed = True
        if at and self.candle_rule.opens_at_close:
            bar.before = bars[at - 1].close
        bars.insert(at, bar)
        self.next_close_ms = min(self.next_close_ms, end_ms)
        if i in self.long:
            self.long_close_ms = min(self.long_close_ms, end_ms)
        return bar

    def _carry(self, i: int, bar: Bar) -> None:
        """Tell the bars after ``bar`` of its new close, where they begin with it."""
        bars = self.bars[i]
        for after in bars[bars.index(bar) + 1 :]:
            if not after.follow(bar):
                return
            if after.closed:
                self._touch(i, after)
            bar = after

    def _ask_recompute(self, from_ms: int, to_ms: int, offset: int) -> None:
        if self.late is not None:
            from_ms, to_ms = min(from_ms, self.late[0]), max(to_ms, self.late[1])
            offset = max(offset, self.late[2])
        self.late = (from_ms, to_ms, offset)

    # -- bars

    def _add(self, i: int, bar: Bar, part: Bar) -> None:
        bar.merge(part)
        bar.source = part.source
        bar.was_late = bar.sealed
        if bar.closed:
            self._touch(i, bar)
            self.flat_until[i] = 0  # they stand at its close
            self.next_close_ms = min(self.next_close_ms, bar.end_ms)

    def _settle(self, i: int, line_ms: int) -> int:
        """Close the bars of one interval that ended; return when the next one ends."""
        bars = self.bars[i]
        if not bars:
            return NEVER_MS
        next_ms = NEVER_MS
        for bar in bars:
            if not bar.closed:
                if bar.end_ms <= line_ms:
                    bar.closed = True
                    self.closed_until_ms = max(self.closed_until_ms, bar.end_ms)
                    self._touch(i, bar)
                elif bar.end_ms < next_ms:
                    next_ms = bar.end_ms
        oldest_ms = self.watermark_ms - CORRECTION_MS
        while len(bars) > 1 and bars[0].end_ms <= oldest_ms and bars[0].closed:
            del bars[0]
        if self.candle_rule.fills and next_ms == NEVER_MS:
            return self._close_flat(i, line_ms)
        return next_ms

    def _seal(self, i: int, offset: int) -> None:
        """A trade beyond the end: what a bar lacks is now known, which is a change of proof."""
        bar = self.bars[i][-1]
        if not bar.sealed:
            bar.sealed = True
            if self.by_arrival:
                return  # ids prove nothing there
            if offset > bar.rev:
                bar.rev = offset
            if bar.closed:
                self._touch(i, bar)

    def _bar(self, open_ms: int, end_ms: int, part: Bar) -> Bar:
        return Bar(open_ms, end_ms, part.source, part.opened_at, by_arrival=self.by_arrival)

    def _touch(self, i: int, bar: Bar) -> None:
        bar.claim = None
        self.is_news = True
        if not bar.is_touched:
            bar.is_touched = True
            self.touched.append((self.intervals[i], bar))

    def _known(self) -> set[Bar]:
        # A bar that waits to be sent may have left the windows that trades can correct.
        gathered = (bar for bar in (self.second, self.minute) if bar is not None)
        return {*chain(*self.bars), *(bar for _, bar in self.touched), *gathered}

    def _earliest_end(self, indices: Sequence[int]) -> int:
        ends_ms = [bar.end_ms for i in indices for bar in self.bars[i] if not bar.closed]
        if self.candle_rule.fills:
            ends_ms += [self.bars[i][-1].end_ms for i in indices if self.bars[i]]
        return min(ends_ms, default=NEVER_MS)

    # -- windows without a trade

    def _fill(self, i: int, until_ms: int, second: Bar) -> int:
        """Append flat bars from the last bar to a new one; return when the first of them ends."""
        bars, interval = self.bars[i], self.intervals[i]
        last = bars[-1]
        open_ms = last.end_ms
        until_ms = min(until_ms, open_ms + FLAT_WINDOWS_MAX * interval.length_ms)
        first_end_ms = interval.end_ms(open_ms) if open_ms < until_ms else NEVER_MS
        while open_ms < until_ms:
            flat = self._flat(open_ms, interval.end_ms(open_ms), last)
            flat.sealed = True
            if self.by_arrival:  # ids prove nothing, so what the clock told is the same
                flat.closed = flat.end_ms <= self.flat_until[i]
            else:
                flat.rev = second.opened_at
            bars.append(flat)
            open_ms = flat.end_ms
        return first_end_ms

    def _close_flat(self, i: int, line_ms: int) -> int:
        """Close by the clock the windows without a trade after the last bar; return the next end.

        They are sent and forgotten: the next trade says again which there were.
        """
        interval, last = self.intervals[i], self.bars[i][-1]
        open_ms = max(last.end_ms, self.flat_until[i])
        limit_ms = last.end_ms + FLAT_WINDOWS_MAX * interval.length_ms
        stop_ms = open_ms + FLAT_AT_ONCE_MAX * interval.length_ms
        while open_ms < limit_ms:
            end_ms = interval.end_ms(open_ms)
            if end_ms > line_ms or open_ms >= stop_ms:
                return end_ms
            flat = self._flat(open_ms, end_ms, last)
            flat.closed = True
            self._touch(i, flat)
            open_ms = self.flat_until[i] = end_ms
        return NEVER_MS

    def _flat(self, open_ms: int, end_ms: int, last: Bar) -> Bar:
        flat = Bar(open_ms, end_ms, last.source, last.rev, by_arrival=self.by_arrival)
        flat.open = flat.high = flat.low = flat.close = last.close
        if self.candle_rule.opens_at_close:
            flat.before = last.close
        return flat
