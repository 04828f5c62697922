"""BookKeeping: the books of one market; rows in, and everything to do about them out of ``drain``.

A full snapshot of every live book is published every 30 s, each symbol at a second of its own.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from zlib import crc32

from ingest.books.keeper import QUEUED_UPDATES_MAX, BookKeeper, Outcome
from ingest.exchanges.base import BookRow, BookRule, Instrument
from schemas.klines import StreamGap
from schemas.updates import Book as BookUpdate

FULL_EVERY_MS = 30_000
NS_PER_MS = 1_000_000


@dataclass(slots=True)
class Drained:
    """What has come up since the last ``drain``."""

    updates: list[BookUpdate] = field(default_factory=list)
    """For ``md.books.v1``, in this order."""
    recv_ns: int = 0
    """When the youngest of them was received."""
    gaps: list[StreamGap] = field(default_factory=list)
    """For ``md.gaps.v1``."""
    resubscribe: list[str] = field(default_factory=list)
    """Symbols whose book must be unsubscribed and subscribed again, each once."""
    fetch: list[str] = field(default_factory=list)
    """Symbols whose snapshot must be fetched: for ``SnapshotFetcher.ask``."""


class BookKeeping:
    """Holds a keeper a symbol. Nothing here waits or reads a clock; times are ours, in ns."""

    def __init__(
        self,
        rule: BookRule,
        *,
        instrument: Callable[[str], Instrument | None] = lambda _: None,
        full_every_ms: int = FULL_EVERY_MS,
        queued_max: int = QUEUED_UPDATES_MAX,
    ) -> None:
        self.rule = rule
        self._instrument = instrument
        self._full_every_ms = full_every_ms
        self._queued_max = queued_max
        self._keepers: dict[str, BookKeeper] = {}
        self._full_ms: dict[str, int] = {}  # when the last full snapshot of a live book was due
        self._out = Drained()

    @property
    def keepers(self) -> Mapping[str, BookKeeper]:
        """Return the keepers by symbol."""
        return self._keepers

    def take(self, row: BookRow, recv_ns: int, source: str = "") -> None:
        """Take a row of the stream, in the venue's own unit of quantity.

        ``source`` names the connection: while two of them overlap, their deltas must not mix.
        """
        keeper = self._keepers.get(row.symbol)
        if keeper is None:
            keeper = self._keepers[row.symbol] = self._new(row.symbol)
        self._note(keeper, keeper.take(row, recv_ns // NS_PER_MS, source), recv_ns)

    def pulse(self, now_ns: int) -> None:
        """Do what time asks for; call it a few times a second."""
        now_ms = now_ns // NS_PER_MS
        for symbol, keeper in self._keepers.items():
            self._note(keeper, keeper.due(now_ms), now_ns)
            full_ms = self._full_ms.get(symbol)
            if full_ms is None or 0 <= now_ms - full_ms < self._full_every_ms:
                continue
            self._full_ms[symbol] = now_ms
            self._out.updates.append(keeper.full())
            self._out.recv_ns = now_ns

    def drop(self, symbols: Iterable[str]) -> None:
        """No connection carries these any more: void until a snapshot comes."""
        for symbol in symbols:
            if keeper := self._keepers.get(symbol):
                keeper.drop()
                self._full_ms.pop(symbol, None)

    def forget(self, symbols: Iterable[str]) -> None:
        """These books are no longer wanted."""
        for symbol in symbols:
            self._keepers.pop(symbol, None)
            self._full_ms.pop(symbol, None)

    def drain(self) -> Drained:
        """Return what there is to publish and to do since the last call."""
        out, self._out = self._out, Drained()
        return out

    # -- what the fetcher tells

    def is_waiting(self, symbol: str) -> bool:
        """Return whether a REST snapshot of this symbol is still of use."""
        keeper = self._keepers.get(symbol)
        return keeper is not None and not keeper.is_live

    def fetching(self, symbol: str) -> None:
        """The request leaves now."""
        if keeper := self._keepers.get(symbol):
            keeper.fetching()

    def snapshot(self, row: BookRow, recv_ns: int) -> None:
        """Take a REST snapshot."""
        if keeper := self._keepers.get(row.symbol):
            self._note(keeper, keeper.snapshot(row, recv_ns // NS_PER_MS), recv_ns)

    def failed(self, symbol: str, now_ns: int) -> None:
        """The request brought nothing."""
        if keeper := self._keepers.get(symbol):
            keeper.failed(now_ns // NS_PER_MS)

    def _new(self, symbol: str) -> BookKeeper:
        known = self._instrument(symbol)
        if known is None:
            return BookKeeper(symbol, self.rule, queued_max=self._queued_max)
        return BookKeeper(
            symbol,
            self.rule,
            scales=(known.price_scale, known.qty_scale),
            contract_size=known.contract_size,
            queued_max=self._queued_max,
        )

    def _note(self, keeper: BookKeeper, outcome: Outcome, recv_ns: int) -> None:
        out, symbol = self._out, keeper.book.symbol
        if outcome.updates:
            out.updates.extend(outcome.updates)
            out.recv_ns = recv_ns
        if outcome.gaps:
            out.gaps.extend(outcome.gaps)
        if outcome.need == "snapshot":
            out.fetch.append(symbol)
        elif outcome.need == "subscription":
            out.resubscribe.append(symbol)
        if not keeper.is_live:
            self._full_ms.pop(symbol, None)
        elif symbol not in self._full_ms:
            self._full_ms[symbol] = recv_ns // NS_PER_MS - crc32(symbol.encode()) % (
                self._full_every_ms
            )
