"""SymbolCandles: every candle of one symbol, folded from its trade groups.

Ids say which trades are new and what may be missing (``processors.engine.ids``), or only the former
(``processors.engine.recent``); ``Windows`` has the bars.
"""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Literal, NamedTuple

import orjson

from processors.engine.bars import BEGAN_INSIDE, Bar, Claim
from processors.engine.columns import at_scales, is_dense_run, is_range_run
from processors.engine.cuts import Cuts
from processors.engine.ids import NEW, SEEN, Admission, Missing, SeenIds, spans
from processors.engine.recent import RecentIds, keys_of
from processors.engine.runs import Part
from processors.engine.windows import CORRECTION_MS, Windows
from schemas.bars import BarSize
from schemas.intervals import SECOND_MS, Interval
from schemas.rules import PLAIN, CandleRule
from schemas.topics import symbol_key
from schemas.trades import Flag, IdRule, PackedSymbol, Source, SymbolTrades

COLUMNS_PAY_FROM = 8  # trades of one second from which column sums beat a loop

GapState = Literal["found", "recovering", "recovered", "unrecoverable"]


class GapChange(NamedTuple):
    """What became of a missing range: ``left`` of its ids are still missing."""

    state: GapState
    gap: Missing
    left: int
    offset: int


class SymbolCandles(Windows):
    """State of one symbol.

    After ``apply`` the lists ``touched``, ``late`` (see ``Windows``) and ``gaps`` (ranges that
    opened or changed) hold what the caller must publish.
    """

    __slots__ = (
        *("began_ms", "channel", "cuts", "duplicates", "exchange", "gaps", "ids", "key"),
        *("is_plain", "live_at_ms", "id_rule", "name", "offset", "recent", "recv_ms", "symbol"),
    )

    def __init__(
        self,
        exchange: str,
        channel: str,
        symbol: str,
        intervals: Sequence[Interval],
        ids: IdRule = "dense",
        rule: CandleRule = PLAIN,
        bars: Sequence[BarSize] = (),
    ) -> None:
        super().__init__(intervals, by_arrival=ids == "unique", rule=rule)
        self.exchange = exchange
        self.channel = channel
        self.symbol = symbol
        self.key = symbol_key(exchange, channel, symbol)
        self.name = orjson.dumps(symbol).decode()  # as it stands in a row
        self.id_rule: IdRule = ids
        self.ids = SeenIds()
        self.recent = RecentIds()  # instead of ``ids`` where they are unique, and no more
        self.cuts = Cuts(bars, by_arrival=self.by_arrival) if bars else None
        self.is_plain = ids == "dense" and not bars  # lists of trades can be folded as they are
        self.live_at_ms = 0  # when the open candles may be published next
        self.began_ms: dict[Interval, int] = {}  # where one was added and history is not known
        self.offset = -1  # of the last record applied
        self.recv_ms = 0
        self.gaps: list[GapChange] = []
        self.duplicates = 0

    def apply(self, group: SymbolTrades, offset: int, source: Source) -> None:
        """Fold one group; ``offset`` is its record's, and records come in order of offsets."""
        self.offset = offset
        if (
            group.price_scale != self.price_scale
            or group.qty_scale != self.qty_scale
            or group.ids != self.id_rule
        ):
            group = self._adapt(group, offset)
        ids, times, seen = group.id, group.ts, self.ids
        n = len(ids)
        if group.ids == "dense":
            if (
                ids[0] != seen.last_id + 1
                or group.flags
                or (n > 1 and not (ids[-1] - ids[0] == n - 1 and is_dense_run(ids, times)))
                or seen.last_id < seen.first_id
            ):
                self._apply_each(group, offset, source)
                return
            seen.last_id = ids[-1]
            seen.last_ms = times[-1]
        elif not self._take_run(group):
            self._apply_each(group, offset, source)
            return
        if self.cuts is not None:
            self.cuts.apply(group, None, seen, offset, source)
        if n >= COLUMNS_PAY_FROM:
            self._take_columns(group, offset, source)
            return
        second = self.second
        if (
            second is not None
            and second.last_ms <= times[0]
            and times[-1] < second.end_ms
            and second.source == source
        ):
            count = group.trade_count()
            if n == 1:
                (side,) = group.sides()
                second.take_next(
                    times[0], ids[0], group.price[0], group.qty[0], side, count, offset
                )
            else:
                last = times[-1], ids[-1]
                second.take_run(group.price, group.qty, group.side, last, count, offset)
            if times[-1] > self.watermark_ms:
                self.watermark_ms = times[-1]
        else:
            self._take_each(group, offset, source)

    def apply_run(
        self, group: PackedSymbol, parts: Sequence[Part], offset: int, source: Source
    ) -> bool:
        """Fold trades that are summed already, or say that it cannot be done so."""
        first, last = parts[0], parts[-1]
        if not self._follows(group) or first.first_ms < self.watermark_ms:
            return False
        seen = self.ids
        self.offset = offset
        seen.last_id, seen.last_ms = last.last_id, last.last_ms
        gather = self._gather if self.short else self._gather_minute
        for part in parts:
            gather(part.first_ms, source, offset).add(part, offset)
            self.watermark_ms = part.last_ms
        self.newest_ms = last.last_ms - last.last_ms % SECOND_MS
        return True

    def _follows(self, group: PackedSymbol) -> bool:
        """Say whether a packed group goes on where the ids end, in the scales that are known."""
        seen = self.ids
        return (
            group.id == seen.last_id + 1
            and seen.last_id >= seen.first_id
            and self.is_plain
            and group.price_scale == self.price_scale
            and group.qty_scale == self.qty_scale
        )

    def change_intervals(
        self, intervals: Sequence[Interval], donor: "SymbolCandles | None", known_from_ms: int
    ) -> None:
        """Go on with other intervals; those that are new come from ``donor``, see Engine.adopt."""
        self.merge()
        found = dict(zip(self.intervals, self.bars, strict=True))
        added = [interval for interval in intervals if interval not in found]
        if donor is not None:
            donor.merge()
            price_by = 10 ** (self.price_scale - donor.price_scale)
            qty_by = 10 ** (self.qty_scale - donor.qty_scale)
            given = zip(donor.intervals, donor.bars, strict=True)
            found |= {interval: bars for interval, bars in given if interval in added}
            told = [(interval, bar) for interval, bar in donor.touched if interval in added]
            for bar in {*chain(*(found.get(i, ()) for i in added)), *(bar for _, bar in told)}:
                bar.rescale(price_by, qty_by)
                bar.claim = None  # it is ours to tell: we have seen more ids
            self.touched += told
        for interval in added:
            self.began_ms[interval] = known_from_ms - 1
        self.take_intervals(intervals, [found.get(interval, []) for interval in intervals])

    def tell_claims(self) -> None:
        """Fix what is proven about the touched bars, as of this record.

        A bar too old for corrections may lose or gain proof without a new revision; sent later, it
        would otherwise tell more than its revision knew.
        """
        for interval, bar in self.touched:
            if bar.claim is None:
                bar.claim = self.claim(bar, interval)

    def claim(self, bar: Bar, interval: Interval) -> Claim:
        """Return what is proven about a bar now."""
        open_ms = bar.open_ms
        if self.by_arrival:
            claim = self.recent.claim(open_ms)
        else:
            claim = self.ids.claim(open_ms, bar.end_ms, is_sealed=bar.sealed)
        if self.began_ms and claim.quality != "gap" and open_ms <= self.began_ms.get(interval, -1):
            return BEGAN_INSIDE
        return claim

    # -- ids

    def _take_run(self, group: SymbolTrades) -> bool:
        """Take the ids of a group in order of time, without a repeat or a hole; or say no."""
        times, flags = group.ts, group.flags
        if flags and any(flag & Flag.NON_MARKET for flag in group.flag_list()):
            return False
        if self.by_arrival:
            return times == sorted(times) and self.recent.admit_all(keys_of(group), times)
        seen = self.ids
        first, last = spans(group)
        if (
            first[0] != seen.last_id + 1
            or seen.last_id < seen.first_id
            or not is_range_run(first, last, times)
        ):
            return False
        seen.last_id, seen.last_ms = last[-1], times[-1]
        return True

    def _admissions(self, group: SymbolTrades) -> Iterator[Admission]:
        """Admit trade after trade, each when it is asked for."""
        if self.by_arrival:
            for key, ms in zip(keys_of(group), group.ts, strict=True):
                yield NEW if self.recent.admit_all((key,), (ms,)) else SEEN
        else:
            for first, last, ms in zip(*spans(group), group.ts, strict=True):
                yield self.ids.admit(first, last, ms)

    def _adapt(self, group: SymbolTrades, offset: int) -> SymbolTrades:
        """Take another rule of ids and larger scales, where the group brings them."""
        if group.price_scale != self.price_scale or group.qty_scale != self.qty_scale:
            group = self._aligned(group)
        if group.ids != self.id_rule:
            self._begin_again(group.ids, offset)
        return group

    def _aligned(self, group: SymbolTrades) -> SymbolTrades:
        """Bring group and state to the larger scales: a venue may begin to send more decimals."""
        price_scale = max(self.price_scale, group.price_scale)
        qty_scale = max(self.qty_scale, group.qty_scale)
        self.merge()
        price_by = 10 ** (price_scale - self.price_scale)
        qty_by = 10 ** (qty_scale - self.qty_scale)
        if price_by > 1 or qty_by > 1:
            for bar in self._known():
                bar.rescale(price_by, qty_by)
            self.price_scale, self.qty_scale = price_scale, qty_scale
        return at_scales(group, price_scale, qty_scale)

    def _begin_again(self, rule: IdRule, offset: int) -> None:
        """Take another rule of ids: what was seen under the old one says nothing any more."""
        self.merge()
        self.tell_claims()
        for gap in self.ids.missing:
            self.gaps.append(GapChange("unrecoverable", gap, gap.ids, offset))
        self.id_rule, self.ids, self.recent = rule, SeenIds(), RecentIds()
        self.is_plain = rule == "dense" and self.cuts is None
        self.by_arrival = rule == "unique"
        for bar in self._known():
            bar.by_arrival = self.by_arrival
        if self.cuts is not None:
            self.cuts.begin_again(by_arrival=self.by_arrival)
        self._change_proof(0, self.watermark_ms, offset)

    def _known(self) -> set[Bar]:
        known = super()._known()
        return known if self.cuts is None else known.union(self.cuts.known())

    def _apply_each(self, group: SymbolTrades, offset: int, source: Source) -> None:
        """Fold a group that holds duplicates, holes, recovered trades or steps back in time."""
        self.merge()
        self.tell_claims()
        seen = self.ids
        admissions = self._admissions(group)
        sides, flags = group.sides(), group.flag_list()
        first, last = group.first or group.id, group.last or group.id
        filled: list[Missing] = []
        taken: list[int] = []
        began_id, began_ms = seen.first_id, seen.first_ms
        # It moves at the end: what is too late for a correction must not turn on the order here.
        watermark_ms = self.watermark_ms
        for at, id_ in enumerate(group.id):
            ms = group.ts[at]
            is_new, opened, shrunk = next(admissions)
            if not is_new:
                self._repeated(ms, source, offset)
                continue
            if opened is not None:
                self._open_gap(opened, offset)
            if shrunk is not None:
                filled.append(shrunk)
            if flags[at] & Flag.NON_MARKET:
                continue  # it consumes an id, and belongs to no candle
            taken.append(at)
            bar = self._gather(ms, source, offset)
            count = last[at] - first[at] + 1 if group.first else 1
            bar.take(ms, id_, group.price[at], group.qty[at], sides[at], count, offset)
            if ms > watermark_ms:
                watermark_ms = ms
        self.merge()
        if filled:
            self._fill_gaps(filled, offset)
        if seen.first_id < began_id:  # history: the span now begins earlier
            from_ms, to_ms = sorted((seen.first_ms, began_ms))
            self._change_proof(0, to_ms, offset)
            self._change_past_proof(from_ms, to_ms, offset)
        self.watermark_ms = watermark_ms
        if self.cuts is not None:
            self.cuts.apply(group, taken, seen, offset, source)

    def _repeated(self, ms: int, source: Source, offset: int) -> None:
        self.duplicates += 1
        if source != "live" and self.ids.may_have_lost(ms):
            self._ask_recompute(ms, ms, offset)

    # -- gaps

    def _open_gap(self, gap: Missing, offset: int) -> None:
        self.gaps.append(GapChange("found", gap, gap.ids, offset))
        self.merge()
        self._change_proof(gap.from_ms, gap.to_ms, offset)
        forgotten = self.ids.forget_oldest()
        if forgotten is not None:  # told as found, and it stays so: others may fetch it still
            self._change_proof(self.ids.lost_from_ms, self.ids.lost_to_ms, offset)
            if self.cuts is not None:
                self.cuts.forgotten.append(forgotten)

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
            self._ask_recompute(from_ms, to_ms, offset)

    def _change_proof(self, from_ms: int, to_ms: int, offset: int) -> None:
        # Told by the watermark, not by which bars are still here: when they go is the clock's.
        oldest_ms = self.watermark_ms - CORRECTION_MS
        for i, bars in enumerate(self.bars):
            for bar in bars:
                if bar.open_ms <= to_ms and bar.end_ms > max(from_ms, oldest_ms):
                    bar.rev = max(bar.rev, offset)
                    if bar.closed:
                        self._touch(i, bar)
