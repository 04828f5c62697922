"""Series: the candles of one symbol and interval, both sides of each, until both are old.

What each side holds is a function of its own topic alone: how far the other one is read never
decides whether a row counts. So what is said last does not turn on which topic is read first.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import NamedTuple

import msgspec

from processors.venue.comparison import Judgement, Pair, judge
from processors.venue.flagged import Sums
from processors.venue.told import FIELDS, is_newer
from schemas.intervals import Interval
from schemas.klines import Kline
from schemas.reconciliation import Explanation, Reconciliation
from schemas.updates import VenueKline

HOLD_MS = 1_800_000
"""So long behind the youngest candle of its own topic a correction still counts."""
WAIT_MS = 120_000
"""So far beyond a candle its topic must be before the candle is called missing ..."""
SILENT_MS = 600_000
"""... or the other topic, where nothing waits to be read: this one may have stopped."""
PENDING_MAX = 480
"""Candles held, of which one topic may be ahead of the other: the oldest are ``overtaken``."""
UNTOLD_MAX = 20
"""... before the venue has told its first one, for most never do: the oldest are forgotten."""


class Flagged(msgspec.Struct):
    """Flagged trades of one window; ``at`` counts records of the trades topic."""

    sums: dict[str, Sums] = {}
    at: int = 0


NOTHING_FLAGGED = Flagged()


class Cell(msgspec.Struct):
    """One candle, as far as it was told; ``*_at`` are 1 + the offset that last changed a side."""

    ours: Kline | None = None
    earlier: Kline | None = None
    """The first closed revision of ours, once another one has other numbers."""
    ours_at: int = 0
    venue: VenueKline | None = None
    before: Decimal | None = None
    """Where the venue's candle before closed."""
    venue_at: int = 0
    said: int = 0
    """The highest ``rev`` published."""


class Due(NamedTuple):
    """A verdict to publish."""

    cell: Cell
    row: Reconciliation


class Series(msgspec.Struct):
    """See the module. ``floor_ms``: what opens before it was let go, and is never said again."""

    exchange: str
    frame: Interval
    cells: dict[int, Cell] = {}
    """By open time."""
    ours_first: int | None = None
    """The first candle ever told, in the order of the topic; and after which record."""
    ours_first_at: int = 0
    ours_newest: int = 0
    venue_first: int | None = None
    venue_first_at: int = 0
    venue_newest: int = 0
    floor_ms: int = 0
    lost: list[int] = []
    """Let go before they met their counterpart, to be said."""

    @property
    def hold_ms(self) -> int:
        """Return for how long corrections count: two windows at least."""
        return max(HOLD_MS, 2 * self.frame.length_ms)

    # -- what the topics tell

    def take_ours(self, row: Kline, at: int) -> bool:
        """Take a closed candle of ours; return whether anything changed."""
        opened = row.timestamp
        if opened < max(self.floor_ms, self.ours_newest - self.hold_ms):
            return False
        if self.ours_first is None:
            self.ours_first, self.ours_first_at = opened, at
        self.ours_newest = max(self.ours_newest, opened)
        if self.venue_first is not None and opened < self.venue_first:
            return True
        cell = self.cells.setdefault(opened, Cell())
        if cell.ours is not None:
            if row.version <= cell.ours.version:
                return False
            if cell.earlier is None and _numbers(row) != _numbers(cell.ours):
                cell.earlier = cell.ours
        cell.ours, cell.ours_at = row, at
        return True

    def take_venue(self, row: VenueKline, at: int) -> bool:
        """Take a candle of the venue that is over; return whether anything changed."""
        opened = row.timestamp
        if self.venue_first is None:
            self._begin(opened, at)
        if opened < max(self.floor_ms, self.venue_first or 0, self.venue_newest - self.hold_ms):
            return False
        self.venue_newest = max(self.venue_newest, opened)
        cell = self.cells.setdefault(opened, Cell())
        if cell.venue is not None and not is_newer(row, cell.venue):
            return False
        cell.venue, cell.venue_at = row, at
        previous = self.cells.get(self.frame.open_ms(opened - 1))
        if previous is not None and previous.venue is not None:
            cell.before = previous.venue.close
        following = self.cells.get(self.frame.end_ms(opened))
        if following is not None and following.venue and following.before != row.close:
            following.before, following.venue_at = row.close, at
        return True

    def _begin(self, opened: int, at: int) -> None:
        self.venue_first, self.venue_first_at = opened, at
        for at_ms in [at_ms for at_ms in self.cells if at_ms < opened]:
            del self.cells[at_ms]

    # -- what is said

    def due(self, flagged: Mapping[int, Flagged], *, is_caught_up: bool) -> Iterator[Due]:
        """Yield every verdict that is not said yet; the caller marks what it publishes."""
        if self.venue_first is None:
            return  # nobody tells us anything to compare with
        for opened in sorted(self.cells):
            cell = self.cells[opened]
            trades = flagged.get(opened, NOTHING_FLAGGED)
            rev = self._rev(cell, trades.at)
            if rev <= cell.said or not self._is_ripe(opened, cell, is_caught_up=is_caught_up):
                continue
            yield Due(cell, self._row(opened, cell, trades.sums, rev))

    def is_waiting(self) -> bool:
        """Say whether a candle waits for its counterpart."""
        return self.venue_first is not None and any(
            not cell.said and not (cell.ours and cell.venue) for cell in self.cells.values()
        )

    def forget(self) -> int:
        """Let go what no row of either topic can change any more; return what is older."""
        # One window longer than a row counts: where its candle closed, the next one may open.
        line_ms = min(self.ours_newest, self.venue_newest) - self.hold_ms - self.frame.length_ms
        for opened in [o for o, cell in self.cells.items() if o < line_ms and cell.said]:
            del self.cells[opened]
        for opened in [o for o in self.lost if o in self.cells]:
            del self.cells[opened]
        self.lost = []
        return max(line_ms, self.floor_ms)

    def let_go(self) -> None:
        """Mark the oldest candles as lost where there are too many."""
        if self.venue_first is None:
            while len(self.cells) > UNTOLD_MAX:
                del self.cells[min(self.cells)]
            return
        if len(self.cells) <= PENDING_MAX:
            return
        oldest = sorted(self.cells)[: len(self.cells) - PENDING_MAX]
        self.lost = sorted({*self.lost, *oldest})
        self.floor_ms = max(self.floor_ms, self.lost[-1] + 1)

    def _is_ripe(self, opened: int, cell: Cell, *, is_caught_up: bool) -> bool:
        if (cell.ours and cell.venue) or opened < self.floor_ms:
            return True
        own, other = self.ours_newest, self.venue_newest
        if cell.ours is None:
            own, other = other, own
        length_ms = self.frame.length_ms
        return other >= opened + max(WAIT_MS, 2 * length_ms) or (
            is_caught_up and own >= opened + max(SILENT_MS, 5 * length_ms)
        )

    def _rev(self, cell: Cell, flagged_at: int) -> int:
        # A side that is missing stands as its topic's first record: that is a fact, too.
        ours_at, venue_at = cell.ours_at, cell.venue_at
        return (ours_at or self.ours_first_at) + (venue_at or self.venue_first_at) + flagged_at

    def _row(self, opened: int, cell: Cell, sums: Mapping[str, Sums], rev: int) -> Reconciliation:
        said = self._judgement(opened, cell, sums)
        known = cell.ours or cell.venue
        if known is None:
            raise AssertionError("a candle of which nobody told")
        return Reconciliation(
            symbol=known.symbol,
            interval=self.frame.length_ms,
            timestamp=opened,
            verdict=said.verdict,
            explanation=said.explanation,
            rev=rev,
            compared=list(said.compared),
            differences=list(said.differences),
            detail=said.detail,
            ours_rev=cell.ours.rev if cell.ours else None,
            venue_rev=cell.venue_at - 1 if cell.venue else None,
            anchor=self.frame.anchor,
        )

    def _judgement(self, opened: int, cell: Cell, sums: Mapping[str, Sums]) -> Judgement:
        if cell.ours and cell.venue:
            return judge(
                Pair(self.exchange, cell.ours, cell.venue, cell.earlier, cell.before, sums)
            )
        why: Explanation = "unexplained"
        known = cell.ours or cell.venue
        if known is not None and not known.volume:
            why = "empty"
        elif opened < self.floor_ms:
            why = "overtaken"
        elif cell.ours is None and (self.ours_first is None or opened < self.ours_first):
            why = "stream-began"
        return Judgement("ours-missing" if cell.ours is None else "venue-missing", why)


def _numbers(row: Kline) -> tuple[Decimal | int, ...]:
    return tuple(getattr(row, name) for name in FIELDS)
