"""Keeper: one symbol's book, kept whole or declared void. A state machine without a clock.

A void book publishes nothing and asks for a snapshot, once a hole and then with a growing pause.
Every time is our clock's, in ms, and comes with the call.
"""

from collections import deque
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import Literal

from ingest.books.book import Book
from ingest.exchanges.base import BookRow, BookRule, Chain
from schemas.klines import StreamGap
from schemas.updates import Book as BookUpdate

QUEUED_UPDATES_MAX = 100
"""Kept while the request for a snapshot waits for its turn: a cached answer may be so old."""
WAITING_UPDATES_MAX = 5_000
"""Kept while the request is on its way; the oldest go first."""
CROSSED_MS = 1_000
"""Venues cross for a moment, when two sides of one match come in two updates."""
GONE_BACK_MS = 3_000
"""Nothing for so long but old ids, or what another connection says: not repeats, the venue counts
anew, or the connection of this book is dead."""
BACKOFF_FIRST_MS = 1_000
BACKOFF_MAX_MS = 30_000
PATIENCE_MS = 5_000
"""How long an answer may take before it is asked for again."""
SETTLED_MS = 60_000
"""A book that stood for so long has no failures behind it."""
FIRST_SNAPSHOT_MS = 30_000
"""A book that has not begun after so long is a gap."""
SIGNED_LEVELS_MAX = 25
"""No venue's checksum covers more levels a side."""

Need = Literal["snapshot", "subscription"]
Reason = Literal["hole", "crossed", "checksum"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one call has led to."""

    updates: Sequence[BookUpdate] = ()
    """To publish, in order."""
    gaps: Sequence[StreamGap] = ()
    need: Need | None = None
    """A REST snapshot, or a new subscription, which brings one; asked for once."""


NOTHING = Outcome()


class BookKeeper:
    """Takes what the venue tells of one symbol; see ``Outcome`` for what comes out."""

    def __init__(
        self,
        symbol: str,
        rule: BookRule,
        *,
        scales: tuple[int, int] = (0, 0),
        contract_size: str = "1",
        queued_max: int = QUEUED_UPDATES_MAX,
        crossed_ms: float = CROSSED_MS,
    ) -> None:
        self.book = Book(
            symbol,
            scales=scales,
            contract_size=contract_size,
            depth=rule.depth,
            keeps_texts=rule.checksum is not None,
        )
        self.is_live = False
        """Whether the book is known and, as far as can be told, right."""
        self._rule = rule
        self._need: Need = "subscription" if rule.snapshot is None else "snapshot"
        self._source = ""  # whose snapshot the book stands on
        self._last_id = self._ts = 0
        self._is_first = False  # no update has come after the REST snapshot yet
        self._scales = scales  # of what was published last
        self._changed_ms = 0  # when the book was last known to be right
        self._live_ms = 0
        self._crossed_ms: int | None = None  # since when
        self._old_ms: int | None = None  # since when nothing but old ids has come
        self._gap: StreamGap | None = None
        self._begun_ms: int | None = None
        self._asked = 0  # times in a row
        self._asked_ms = -BACKOFF_MAX_MS
        self._ask_ms: int | None = None  # when to ask next
        self._queued_max = queued_max
        self._crossed_ms_max = crossed_ms
        self._waiting: deque[BookRow] = deque()
        self._waiting_max = queued_max

    def take(self, row: BookRow, now_ms: int, source: str = "") -> Outcome:
        """Take a delta or a snapshot of the stream; ``source`` tells connections apart.

        They cut the same changes differently, so the deltas of one follow its own snapshot only.
        After a REST snapshot any may follow: there the rule decides by ids.
        """
        if self._begun_ms is None:
            self._begun_ms = now_ms
        if row.is_snapshot:
            if self._rule.is_whole and self._is_late(row, now_ms):
                return NOTHING
            self._source = source
            return self._replaced(row, now_ms)
        if not self.is_live:
            return self._wait(row, now_ms)
        return self._follow(row, now_ms, is_ours=source == self._source)

    def _is_late(self, row: BookRow, now_ms: int) -> bool:
        """Say whether a younger frame came already; not when the venue's clock was set back."""
        is_older = self.is_live and row.last_id < self._last_id
        return is_older and now_ms - self._changed_ms < GONE_BACK_MS

    def snapshot(self, row: BookRow, now_ms: int) -> Outcome:
        """Take the REST snapshot that was asked for; one that nobody waits for is ignored."""
        is_younger = self._is_first and row.last_id > self._last_id  # and nothing came in between
        if self.is_live and not is_younger:
            return NOTHING
        try:
            updates = self._rebuilt(row)
        except ValueError:
            updates = None
        if updates is None:
            self.failed(now_ms)
            return self.due(now_ms)
        return self._checked(updates, row, now_ms)

    def copy(self) -> "BookKeeper":
        """Return a keeper of its own in the same state."""
        twin = copy(self)
        twin.book = self.book.copy()
        twin._waiting = self._waiting.copy()  # noqa: SLF001 - of its own class
        return twin

    def fits(self, row: BookRow) -> bool:
        """Return whether this delta is the next one, and leaves the book that the venue signed."""
        rule = self._rule
        if not self.is_live or row.ts < self._ts:
            return False
        if rule.chain(self._last_id, row, self._is_first) is not Chain.NEXT:
            return False
        if row.checksum is None or rule.checksum is None:
            return True
        book = self.book.copy()
        try:
            book.change(row.bids, row.asks)
        except ValueError:
            return False
        return rule.checksum(*book.top_texts(SIGNED_LEVELS_MAX)) == row.checksum

    def fetching(self) -> None:
        """The request for a snapshot leaves now: keep every update until it is answered."""
        self._waiting_max = max(WAITING_UPDATES_MAX, self._queued_max)

    def failed(self, now_ms: int) -> None:
        """The request brought nothing, or too old a snapshot; ``due`` asks again in time."""
        self._waiting_max = max(self._queued_max, len(self._waiting))
        if not self.is_live:
            self._ask_ms = now_ms + self._pause_ms()

    def due(self, now_ms: int) -> Outcome:
        """Do what time asks for: give up a book that stays crossed, ask again for a snapshot."""
        if self.is_live:
            return self._uncrossed((), now_ms)
        if self._ask_ms is None or not self._is_past(self._ask_ms, now_ms):
            return NOTHING
        need = self._ask(now_ms)
        if self._gap or self._begun_ms is None or now_ms - self._begun_ms < FIRST_SNAPSHOT_MS:
            return Outcome(need=need)
        found = self._found("hole", "no snapshot came", self._begun_ms)
        return Outcome(gaps=(found,), need=need)

    def full(self) -> BookUpdate:
        """Return the book as it stands; only a live one may be asked."""
        book = self.book
        self._scales = book.price_scale, book.qty_scale
        return BookUpdate(
            symbol=book.symbol,
            ts=self._ts,
            type="snapshot",
            first_id=self._last_id,
            last_id=self._last_id,
            price_scale=book.price_scale,
            qty_scale=book.qty_scale,
            bids=book.bids.all(),
            asks=book.asks.all(),
        )

    def drop(self) -> None:
        """The connection is gone: nothing is known of the book until a snapshot comes."""
        self.is_live = False
        self._waiting.clear()
        self._begun_ms = self._ask_ms = self._crossed_ms = None
        self._asked = 0

    # -- how the book changes

    def _follow(self, row: BookRow, now_ms: int, *, is_ours: bool) -> Outcome:
        place = Chain.OLD
        if is_ours or self._need == "snapshot":
            place = self._rule.chain(self._last_id, row, self._is_first)
        if place is Chain.OLD and not self._has_gone_back(now_ms):
            return NOTHING
        if place is not Chain.NEXT:
            told = f"{row.first_id}..{row.last_id} (prev {row.prev_id}) after {self._last_id}"
            return self._void("hole", told, self._changed_ms, now_ms, row)
        try:
            update = self._changed(row)
        except ValueError as e:
            return self._void("hole", f"unreadable: {e}", self._changed_ms, now_ms)
        return self._checked((update,), row, now_ms)

    def _replaced(self, row: BookRow, now_ms: int) -> Outcome:
        try:
            self._reset(row)
        except ValueError as e:
            return self._void("hole", f"unreadable: {e}", self._changed_ms or now_ms, now_ms)
        self._waiting.clear()
        return self._checked((self.full(),), row, now_ms)

    def _rebuilt(self, row: BookRow) -> list[BookUpdate] | None:
        """Return a REST snapshot and what waited for it as updates; None if they do not meet."""
        self._reset(row)
        updates = [self.full()]
        waiting = self._waiting
        for _ in range(len(waiting)):
            delta = waiting[0]
            place = self._rule.chain(self._last_id, delta, self._is_first)
            if place is Chain.HOLE:
                return None  # what waits from here on meets a younger snapshot
            waiting.popleft()
            if place is Chain.NEXT:
                updates.append(self._changed(delta))
        return updates

    def _reset(self, row: BookRow) -> None:
        self.book.replace(row.bids, row.asks)
        self._last_id, self._ts, self._old_ms = row.last_id, row.ts, None
        self._is_first = self._rule.snapshot is not None

    def _changed(self, row: BookRow) -> BookUpdate:
        book, prev_id = self.book, self._last_id
        bids, asks = book.change(row.bids, row.asks)
        self._last_id, self._ts, self._is_first = row.last_id, row.ts, False
        self._old_ms = None
        if (book.price_scale, book.qty_scale) != self._scales:
            return self.full()  # so that scales change with snapshots only
        return BookUpdate(
            symbol=book.symbol,
            ts=row.ts,
            type="delta",
            first_id=row.first_id,
            last_id=row.last_id,
            price_scale=book.price_scale,
            qty_scale=book.qty_scale,
            bids=bids,
            asks=asks,
            prev_id=prev_id,
        )

    # -- whether it can be believed

    def _has_gone_back(self, now_ms: int) -> bool:
        if self._old_ms is None:
            self._old_ms = now_ms
        return now_ms - self._old_ms > GONE_BACK_MS

    def _checked(self, updates: Sequence[BookUpdate], row: BookRow, now_ms: int) -> Outcome:
        if row.checksum is not None and self._rule.checksum is not None:
            ours = self._rule.checksum(*self.book.top_texts(SIGNED_LEVELS_MAX))
            if ours != row.checksum:
                told = f"{ours} is not the venue's {row.checksum} at {row.last_id}"
                return self._void("checksum", told, self._changed_ms or now_ms, now_ms)
        self._changed_ms = now_ms
        if self.is_live:
            return self._uncrossed(updates, now_ms)
        self.is_live, self._live_ms = True, now_ms
        self._ask_ms = self._crossed_ms = None
        self._waiting_max = self._queued_max
        gap, self._gap = self._gap, None
        outcome = self._uncrossed(updates, now_ms)
        if gap is None:
            return outcome
        whole = StreamGap(
            symbol=gap.symbol,
            kind="books",
            reason=gap.reason,
            state="recovered",
            from_ms=gap.from_ms,
            to_ms=now_ms,
            detail=gap.detail,
        )
        return Outcome(outcome.updates, (whole, *outcome.gaps), outcome.need)

    def _uncrossed(self, updates: Sequence[BookUpdate], now_ms: int) -> Outcome:
        if not self.book.is_crossed:
            self._crossed_ms = None
        elif self._crossed_ms is None:
            self._crossed_ms = now_ms
        elif not 0 <= now_ms - self._crossed_ms < self._crossed_ms_max:
            told = f"bid {self.book.bids.best} meets ask {self.book.asks.best} at {self._last_id}"
            return self._void("crossed", told, self._crossed_ms, now_ms)
        return Outcome(updates) if updates else NOTHING

    def _void(
        self, reason: Reason, detail: str, from_ms: int, now_ms: int, row: BookRow | None = None
    ) -> Outcome:
        if self.is_live and now_ms - self._live_ms >= SETTLED_MS:
            self._asked = 0
        self.is_live, self._crossed_ms = False, None
        if row is not None and self._need == "snapshot":
            self._waiting.append(row)
        gaps = () if self._gap else (self._found(reason, detail, from_ms),)
        self._ask_ms = self._asked_ms + self._pause_ms() if self._asked else now_ms
        return Outcome(gaps=gaps, need=self.due(now_ms).need)

    def _found(self, reason: Reason, detail: str, from_ms: int) -> StreamGap:
        self._gap = StreamGap(
            symbol=self.book.symbol,
            kind="books",
            reason=reason,
            state="found",
            from_ms=from_ms,
            detail=detail,
        )
        return self._gap

    # -- asking for a snapshot

    def _wait(self, row: BookRow, now_ms: int) -> Outcome:
        if self._need == "snapshot":
            self._waiting.append(row)
            while len(self._waiting) > self._waiting_max:
                self._waiting.popleft()
        if self._ask_ms is None:  # a new subscription brings a snapshot without being asked
            self._ask_ms = now_ms if self._need == "snapshot" else now_ms + PATIENCE_MS
        return self.due(now_ms)

    def _ask(self, now_ms: int) -> Need:
        self._asked += 1
        self._asked_ms = now_ms
        self._ask_ms = now_ms + max(PATIENCE_MS, self._pause_ms())
        return self._need

    def _pause_ms(self) -> int:
        doublings = min(max(self._asked - 1, 0), 5)
        return min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS << doublings)

    def _is_past(self, at_ms: int, now_ms: int) -> bool:
        # A clock that was set back by more than any pause would make us wait for hours.
        return now_ms >= at_ms or at_ms - now_ms > 2 * BACKOFF_MAX_MS
