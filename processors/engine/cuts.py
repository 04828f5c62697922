"""Cuts: the bars of one symbol that close by size, not by time; see ``schemas.bars``.

Trades are taken in the order in which their ids were admitted, and a bar is a range of ids: where
it was cut never moves. A trade that comes later joins the bar whose range holds its id. Ranges meet
without a space, but at midnight: ids that are missing there may be of either day, so the last bar
of the one and the first bar of the other both miss them.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from operator import attrgetter, mul, sub
from typing import NamedTuple

from processors.engine.bars import ASSUMED, BEGAN_INSIDE, PROVEN, Bar, Claim
from processors.engine.columns import sum_columns
from processors.engine.ids import Missing, SeenIds, spans
from schemas.bars import BarSize
from schemas.intervals import DAY_MS
from schemas.trades import Source, SymbolTrades

COLUMNS_PAY_FROM = 8  # trades in order from which column sums beat a loop
KEPT_BARS = 16  # closed ones of a size; a trade that belongs before them is counted, and lost
UNKNOWN = -1  # no id has been taken

_MEASURES = {
    "tick": attrgetter("count"),
    "volume": attrgetter("volume"),
    "dollar": attrgetter("quote"),
}


class CutBar(Bar):
    """One bar; ``open_ms`` and ``end_ms`` are its day. ``lost`` of its ids can never come."""

    __slots__ = ("began", "from_id", "lost", "seq", "to_id")

    def __init__(self, day_ms: int, source: Source, offset: int, *, by_arrival: bool) -> None:
        super().__init__(day_ms, day_ms + DAY_MS, source, offset, by_arrival=by_arrival)
        self.seq = 0
        self.from_id = self.to_id = UNKNOWN
        self.lost = 0
        self.began = False  # what came before its first trade is not known


class Piece(NamedTuple):
    """One trade, with the ids that it takes: ``first..last``."""

    first: int
    last: int
    ms: int
    id: int
    price: int
    qty: int
    side: int
    trades: int


class Run(NamedTuple):
    """Many trades in order of time, and what they come to one after the other, by kind of bar."""

    group: SymbolTrades
    first: Sequence[int]
    last: Sequence[int]
    sums: dict[str, list[int]]


class Line:
    """The bars of one size, one after the other.

    ``day_ms``, ``seq``, ``from_id``, ``began`` and ``lost`` are those of the open bar or, where
    none is open, of the next one. ``high_id`` is the highest id that any bar took; ``ahead`` are
    lost ids beyond it, which are of the bar that gets there, and of two where midnight does.
    """

    __slots__ = (
        *("ahead", "began", "closed", "day_ms", "from_id", "has_cut", "high_id", "limit", "lost"),
        *("measure", "open", "seq", "size"),
    )

    def __init__(self, size: BarSize) -> None:
        self.size = size
        self.measure = _MEASURES[size.kind]
        self.limit = 0
        self.open: CutBar | None = None
        self.closed: list[CutBar] = []  # oldest first
        self.day_ms = UNKNOWN
        self.seq = 0
        self.from_id = UNKNOWN
        self.high_id = UNKNOWN
        self.began = True
        self.lost = self.ahead = 0
        self.has_cut = False  # since the last look at what is proven

    def take(self, piece: Piece, offset: int, source: Source, *, by_arrival: bool) -> CutBar | None:
        """Add a trade; return its bar, None where that is not kept any more."""
        day_ms = piece.ms - piece.ms % DAY_MS
        if day_ms > self.day_ms:
            self._turn(day_ms, piece.first, offset)
        if day_ms == self.day_ms and (by_arrival or piece.first > self.high_id):
            bar: CutBar | None = self._open(offset, source, by_arrival=by_arrival)
        else:
            bar = self._late(piece.first, day_ms, offset, source, by_arrival=by_arrival)
        if bar is None:
            return None
        bar.take(piece.ms, piece.id, *piece[4:], offset)
        bar.source = source
        if bar.closed:
            bar.was_late = True
        else:
            if piece.last > self.high_id:
                self._reach(piece.last)
            if self.measure(bar) >= self.limit:
                self._close(bar, offset)
        return bar

    def take_run(self, run: "Run", offset: int, source: Source, *, by_arrival: bool) -> None:
        """Add many trades, none of which is before the open bar's day, as sums."""
        times, sums = run.group.ts, run.sums[self.size.kind]
        start = 0
        while start < len(times):
            day_ms = times[start] - times[start] % DAY_MS
            if day_ms > self.day_ms:
                self._turn(day_ms, run.first[start], offset)
            bar = self._open(offset, source, by_arrival=by_arrival)
            wanted = self.limit - self.measure(bar) + (sums[start - 1] if start else 0)
            stop = min(
                bisect_left(sums, wanted, start) + 1, bisect_left(times, day_ms + DAY_MS, start)
            )
            part = Bar(day_ms, day_ms + DAY_MS, source, offset)
            sum_columns(part, run.group, start, stop)
            bar.merge(part)
            bar.source = source
            if run.last[stop - 1] > self.high_id:
                self._reach(run.last[stop - 1])
            if self.measure(bar) >= self.limit:
                self._close(bar, offset)
            start = stop

    def bars(self) -> Iterator[CutBar]:
        """Yield what is kept."""
        yield from self.closed
        if self.open is not None:
            yield self.open

    def begin(self, first_id: int, *, by_arrival: bool) -> None:
        """Begin with the trades from this id on."""
        self.from_id, self.high_id = first_id, first_id - 1
        if self.day_ms == UNKNOWN and first_id <= 1 and not by_arrival:
            self.began = False  # there is none before it

    def begin_again(self) -> None:
        """Ids mean something else from now on: no trade can be told to lie in a bar of before."""
        self.closed.clear()
        self.from_id = self.high_id = UNKNOWN
        self.began, self.lost, self.ahead = True, 0, 0

    def lose(self, gap: Missing) -> None:
        """Ids that were missing will count as repeats: what lacks them lacks them for good."""
        for bar in self.closed:
            bar.lost += _overlap(gap, bar.from_id, bar.to_id)
        lost = _overlap(gap, self.from_id, gap.last)
        if gap.first > self.high_id:
            self.ahead += lost
        else:
            self.lost += lost

    def _late(
        self, id_: int, day_ms: int, offset: int, source: Source, *, by_arrival: bool
    ) -> CutBar | None:
        """Return the bar of a trade that is not the next one in order."""
        same_day = [bar for bar in self.closed if bar.open_ms == day_ms]
        found = None if by_arrival else next((b for b in same_day if id_ <= b.to_id), None)
        if found is not None:
            return found if id_ >= found.from_id or _is_first(found) else None
        if day_ms < self.day_ms:
            return same_day[-1] if same_day else None
        if id_ < self.from_id and (self.began or self.seq):
            return None
        return self._open(offset, source, by_arrival=by_arrival)

    def _open(self, offset: int, source: Source, *, by_arrival: bool) -> CutBar:
        if self.open is None:
            self.open = CutBar(self.day_ms, source, offset, by_arrival=by_arrival)
            self.open.seq = self.seq
        return self.open

    def _reach(self, id_: int) -> None:
        # What is lost lies below all that may still come: never between the two.
        self.high_id = id_
        self.lost += self.ahead
        self.ahead = 0

    def _close(self, bar: CutBar, offset: int) -> None:
        bar.closed = bar.sealed = True  # the changelog keeps its text until it changes
        bar.rev = offset
        bar.from_id, bar.to_id = self.from_id, self.high_id
        bar.began, bar.lost = self.began, self.lost
        self.closed.append(bar)
        self.open = None
        self.seq += 1
        self.from_id = self.high_id + 1
        self.began, self.lost = False, 0
        self.has_cut = True

    def _turn(self, day_ms: int, first: int, offset: int) -> None:
        """Begin a day with a trade whose first id is ``first``."""
        if self.open is not None:
            self._close(self.open, offset)
        if self.closed:
            last = self.closed[-1]
            if first - 1 > last.to_id:
                last.to_id = first - 1
                last.lost += self.ahead
            self.has_cut = True
        self.day_ms, self.seq = day_ms, 0


class Cuts:
    """The bars of every size of one symbol; ``touched`` are the closed ones to publish."""

    __slots__ = ("_scales", "by_arrival", "forgotten", "lines", "touched", "uncut")

    def __init__(self, sizes: Sequence[BarSize], *, by_arrival: bool) -> None:
        self.by_arrival = by_arrival
        self.lines = [Line(size) for size in sizes]
        self.touched: list[tuple[BarSize, CutBar]] = []
        self.forgotten: list[Missing] = []  # ranges of ids, since the last record
        self.uncut = 0  # trades that no bar took, once for each size
        self._scales = (UNKNOWN, UNKNOWN)

    def apply(
        self,
        group: SymbolTrades,
        taken: Sequence[int] | None,
        ids: SeenIds,
        offset: int,
        source: Source,
    ) -> None:
        """Add those trades of a group that were admitted, None for all; their ids are seen."""
        scales = group.price_scale, group.qty_scale
        if scales != self._scales:
            self._fit(*scales)
        run = _run(group) if taken is None and len(group) >= COLUMNS_PAY_FROM else None
        pieces: Sequence[Piece] | None = None
        for line in self.lines:
            if line.from_id == UNKNOWN and taken != []:
                first_id = 0 if self.by_arrival else ids.first_id
                line.begin(first_id, by_arrival=self.by_arrival)
            if run is not None and group.ts[0] >= line.day_ms:
                line.take_run(run, offset, source, by_arrival=self.by_arrival)
            else:
                pieces = _pieces(group, taken) if pieces is None else pieces
                self._take(line, pieces, offset, source)
        for gap in self.forgotten:
            for line in self.lines:
                line.lose(gap)
        self.forgotten.clear()
        for line in self.lines:
            # All ids of a whole group came in order: only what was cut has anything to prove.
            if taken is not None or line.has_cut:
                self._prove(line, ids, offset)

    def begin_again(self, *, by_arrival: bool) -> None:
        """Take another rule of ids."""
        self.by_arrival = by_arrival
        for line in self.lines:
            line.begin_again()

    def known(self) -> Iterator[CutBar]:
        """Yield every bar whose numbers still count; some twice."""
        for line in self.lines:
            yield from line.bars()
        yield from (bar for _, bar in self.touched)

    def sent(self) -> None:
        """Forget what waited to be published."""
        for _, bar in self.touched:
            bar.is_touched = False
        self.touched = []

    def _fit(self, price_scale: int, qty_scale: int) -> None:
        self._scales = price_scale, qty_scale
        scale = {"tick": 0, "volume": qty_scale, "dollar": price_scale + qty_scale}
        for line in self.lines:
            line.limit = line.size.limit(scale[line.size.kind])

    def _take(self, line: Line, pieces: Sequence[Piece], offset: int, source: Source) -> None:
        for piece in pieces:
            bar = line.take(piece, offset, source, by_arrival=self.by_arrival)
            if bar is None:
                self.uncut += 1
            elif bar.was_late:
                self._touch(line, bar)

    def _prove(self, line: Line, ids: SeenIds, offset: int) -> None:
        """Tell every closed bar of which something else is proven than before."""
        line.has_cut = False
        for bar in line.closed:
            claim = self._claim(bar, ids)
            if claim != bar.claim:
                bar.claim = claim
                bar.rev = max(bar.rev, offset)
                self._touch(line, bar)
        del line.closed[:-KEPT_BARS]

    def _claim(self, bar: CutBar, ids: SeenIds) -> Claim:
        if self.by_arrival:
            return BEGAN_INSIDE if bar.began else ASSUMED
        missing = bar.lost + _missing_in(ids.missing, bar.from_id, bar.to_id)
        return Claim("gap", missing) if missing or bar.began else PROVEN

    def _touch(self, line: Line, bar: CutBar) -> None:
        if not bar.is_touched:
            bar.is_touched = True
            self.touched.append((line.size, bar))


def _run(group: SymbolTrades) -> Run | None:
    """Return a group in order as a run; None where its sums do not grow."""
    columns = {
        "tick": _counts(group),
        "volume": group.qty,
        "dollar": list(map(mul, group.price, group.qty)),
    }
    if any(min(column) < 0 for column in columns.values()):
        return None
    sums = {kind: list(accumulate(column)) for kind, column in columns.items()}
    return Run(group, *spans(group), sums)


def _counts(group: SymbolTrades) -> list[int]:
    if group.first is None or group.last is None:
        return [1] * len(group)
    return [n + 1 for n in map(sub, group.last, group.first)]


def _pieces(group: SymbolTrades, taken: Iterable[int] | None) -> list[Piece]:
    first, last = spans(group)
    columns = (first, last, group.ts, group.id, group.price, group.qty, group.sides())
    pieces = list(map(Piece, *columns, _counts(group)))
    return pieces if taken is None else [pieces[at] for at in taken]


def _missing_in(missing: Sequence[Missing], from_id: int, to_id: int) -> int:
    """Return how many ids of ``from_id..to_id`` are missing; the ranges are in order."""
    found = 0
    at = max(0, bisect_left(missing, (from_id,)) - 1)
    while at < len(missing) and missing[at].first <= to_id:
        found += _overlap(missing[at], from_id, to_id)
        at += 1
    return found


def _overlap(gap: Missing, from_id: int, to_id: int) -> int:
    return max(0, min(gap.last, to_id) - max(gap.first, from_id) + 1)


def _is_first(bar: CutBar) -> bool:
    """Say whether every id before a bar's range that is of its day belongs in it."""
    return bar.seq == 0 and not bar.began
