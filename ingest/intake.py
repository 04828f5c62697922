"""Frames of one market in; rows to the collectors, broken frames to the dead letters.

One intake serves all sockets of a market, so that hot pairs, overlaps and reconnects share what was
seen: the first arrival wins. Rows of streams that are not wanted are dropped here.
"""

import time
from collections.abc import Callable, Mapping, Sequence

import structlog

from ingest import metrics
from ingest.batches import Collector
from ingest.books import BookKeeping
from ingest.decimals import Unfit
from ingest.dedup import Seen, seen_ids
from ingest.exchanges.base import (
    KIND_OF,
    BookRow,
    Control,
    Data,
    Exchange,
    Instrument,
    Market,
    TradeRow,
)
from ingest.gaps import StreamGaps
from ingest.outgoing import UpdateCollector
from ingest.publisher import Publisher
from ingest.repeats import Repeats
from ingest.silence import Activity, Watch
from runtime.errors import Poison
from schemas.dead_letters import DeadLetter
from schemas.streams import Kind
from schemas.updates import Liquidation, Ticker, Update, VenueKline

logger = structlog.get_logger(__name__)

TELLER_NS = 2_000_000_000
"""A socket that has been quiet for so long no longer stands before another one."""


class _Lane:
    """What the trades of one symbol need."""

    __slots__ = ("seen", "size", "watch")

    def __init__(self, watch: Watch, seen: Seen, size: str) -> None:
        self.watch = watch
        self.seen = seen
        self.size = size


class Intake:
    """Parses, counts, deduplicates; never raises on what a venue sends."""

    def __init__(
        self,
        exchange: Exchange,
        market: Market,
        *,
        instruments: Mapping[str, Instrument],
        trades: Collector,
        updates: UpdateCollector,
        books: BookKeeping | None,
        gaps: StreamGaps,
        publisher: Publisher,
    ) -> None:
        self.watches: dict[tuple[Kind, str], Watch] = {}
        """The streams that are wanted."""
        self.activity = Activity()
        self._parse = market.parse
        self._trade_kind = market.trade_kind
        self._id_rule = market.ids
        self._in_base = market.in_base
        self._instruments = instruments
        self._trades = trades
        self._updates = updates
        self._books = books
        self.books_to_fetch: list[str] = []
        """Symbols whose REST snapshot is wanted; whoever fetches them takes them out."""
        self.books_to_renew: list[str] = []
        """Symbols whose book must be subscribed anew."""
        self._gaps = gaps
        self._publisher = publisher
        self._lanes: dict[str, _Lane] = {}
        self._seen: dict[str, Seen] = {}  # outlives a stream that is switched off and on
        self._liquidations = Repeats()
        self._newest: dict[tuple[Kind, str], tuple[int, str, int]] = {}
        """The newest row of a stream: its time, its socket, and when it came."""
        self.labels = (exchange.name, market.channel)
        self._frames = self._taken = self._duplicates = 0
        self._counts: dict[Kind, int] = {}
        self._lag_ms: float | None = None
        self._marks: Mapping[type, Callable[..., None]] = {
            Ticker: self.activity.ticker,
            VenueKline: self.activity.venue_kline,
        }

    def want(self, kind: Kind, symbol: str) -> None:
        """Take the rows of a stream from now on."""
        watch = self.watches[kind, symbol] = Watch(kind, symbol, time.monotonic())
        if kind == "trades":
            seen = self._seen.setdefault(symbol, seen_ids(self._id_rule))
            self._lanes[symbol] = _Lane(watch, seen, self._size(symbol))

    def drop(self, kind: Kind, symbol: str) -> None:
        """Take no more of them."""
        self.watches.pop((kind, symbol), None)
        self._newest.pop((kind, symbol), None)
        if kind == "trades":
            self._lanes.pop(symbol, None)
        if kind == "books" and self._books is not None:
            self._books.forget([symbol])

    def traded_s(self, symbol: str, *, besides: Kind) -> float:
        """Return when a symbol was last known to trade, by everything but the stream of a kind."""
        told_s = self.activity.traded_s(symbol)
        trades = self.watches.get(("trades", symbol))
        return told_s if besides == "trades" or trades is None else max(told_s, trades.heard_s)

    def take(self, frame: bytes, recv_ns: int, source: str) -> tuple[Sequence[Control], bool]:
        """Take one frame; return what in it concerns the session, and whether it held data."""
        self._frames += 1
        control: list[Control] = []
        taken = self._taken
        has_data = False
        try:
            for event in self._parse(frame):
                if type(event) is TradeRow:
                    has_data = True
                    self._trade(event, recv_ns)
                elif type(event) in KIND_OF:
                    has_data = True
                    self._row(event, recv_ns, source)  # type: ignore[arg-type]
                else:
                    control.append(event)  # type: ignore[arg-type]
        except Poison as e:
            self._refuse(e.reason, frame, recv_ns, source)
        except Unfit as e:
            self._refuse(str(e), frame, recv_ns, source)
        if self._taken != taken:
            self._publisher.collected(self._taken - taken)
        return control, has_data

    def take_rows(self, rows: Sequence[Data], recv_ns: int, source: str) -> None:
        """Take what a poll told; raise Unfit where a number leaves 64 bits."""
        taken = self._taken
        for row in rows:
            if type(row) is TradeRow:
                self._trade(row, recv_ns)
            else:
                self._row(row, recv_ns, source)
        if self._taken != taken:
            self._publisher.collected(self._taken - taken)

    def flush(self) -> None:
        """Let the publisher look for what no row announced: gaps and states of streams."""
        self._publisher.collected(0)

    def publish(self, kind: Kind, update: Update, recv_ns: int) -> None:
        """Pass an update on, as it is."""
        self._updates.add(kind, update, recv_ns)
        self._counts[kind] = self._counts.get(kind, 0) + 1
        self._taken += 1

    def _trade(self, row: TradeRow, recv_ns: int) -> None:
        lane = self._lanes.get(row.symbol)
        if lane is None or row.kind != self._trade_kind:  # its ids are another series
            return
        lane.watch.rows += 1
        if not lane.seen.is_new(row, recv_ns):
            self._duplicates += 1
            return
        if self._in_base is not None:
            row = self._in_base(row, lane.size)  # type: ignore[assignment]
        self._trades.add(row, recv_ns)
        self._lag_ms = recv_ns / 1e6 - row.ts
        self._taken += 1

    def _row(self, row: Data, recv_ns: int, source: str) -> None:
        kind = KIND_OF[type(row)]
        watch = self.watches.get((kind, row.symbol))
        if watch is None:
            return
        watch.rows += 1
        if type(row) is BookRow:
            if self._books is not None:
                self._books.take(row, recv_ns, source)
                self._settle_books()
            return
        if self._in_base is not None:
            row = self._in_base(row, self._size(row.symbol))
        if self._is_repeat(kind, row, recv_ns, source):
            self._duplicates += 1
            return
        mark = self._marks.get(type(row))
        if mark is not None:
            mark(row, time.monotonic())
        self.publish(kind, row, recv_ns)  # type: ignore[arg-type]

    def _is_repeat(self, kind: Kind, row: Data, recv_ns: int, source: str) -> bool:
        """Say whether another socket told it already: of two, the first arrival wins."""
        if type(row) is Liquidation:
            return self._liquidations.is_repeat(row, source)
        at = kind, row.symbol
        ts, teller, told_ns = self._newest.get(at, (0, source, 0))
        if row.ts and row.ts <= ts and teller != source and recv_ns - told_ns < TELLER_NS:
            return True
        self._newest[at] = (row.ts, source, recv_ns)
        return False

    def pulse_books(self, now_ns: int) -> None:
        """Do what time asks of the books."""
        if self._books is None:
            return
        taken = self._taken
        self._books.pulse(now_ns)
        self._settle_books()
        self._publisher.collected(self._taken - taken)

    def is_book_live(self, symbol: str) -> bool:
        """Say whether a book is known and, as far as can be told, right."""
        keeper = self._books.keepers.get(symbol) if self._books is not None else None
        return keeper is not None and keeper.is_live

    def void_books(self, symbols: Sequence[str]) -> None:
        """The connection of these books is gone: trust none of them until a snapshot came."""
        if self._books is not None:
            self._books.drop(symbols)

    def _settle_books(self) -> None:
        if self._books is None:
            return
        out = self._books.drain()
        for update in out.updates:
            self.publish("books", update, out.recv_ns)
        self._gaps.told(out.gaps)
        self.books_to_fetch += out.fetch
        self.books_to_renew += out.resubscribe

    def _size(self, symbol: str) -> str:
        instrument = self._instruments.get(symbol)
        return instrument.contract_size if instrument else "1"

    def _refuse(self, reason: str, frame: bytes, recv_ns: int, source: str) -> None:
        metrics.refused.labels(*self.labels).inc()
        logger.debug("frame_refused", reason=reason, source=source)
        self._publisher.set_aside(
            DeadLetter(reason=reason, source=source, payload=frame, recv_ns=recv_ns)
        )

    def report(self) -> None:
        """Move the counts since the last report to the metrics."""
        counts = self._counts
        metrics.frames.labels(*self.labels).inc(self._frames)
        metrics.trades.labels(*self.labels).inc(self._taken - sum(counts.values()))
        metrics.duplicates.labels(*self.labels).inc(self._duplicates)
        for kind, rows in counts.items():
            metrics.updates.labels(*self.labels, kind).inc(rows)
        self._frames = self._taken = self._duplicates = 0
        self._counts = {}
        if self._lag_ms is not None:
            metrics.event_lag_ms.labels(*self.labels).observe(self._lag_ms)
            self._lag_ms = None
