"""From the truth to the listeners: each event wakes its feeds, and faults have their say.

A feed is always asked, even where its message is then lost: its numbering goes on, as at a venue.
"""

import heapq
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

from simulator.book import BookChange
from simulator.feeds import BookFeed, Feed, Forced, LiquidationFeed, Stream, TimedFeed, TradeFeed
from simulator.hub import Connection
from simulator.ledger import Ledger, Row

if TYPE_CHECKING:
    from simulator.exchange import Exchange

BIG_FRAME_BYTES = 5_000_000
BIG_BOOK_LEVELS = 40_000


F = TypeVar("F")


class _Register(Generic[F]):
    """The feeds of one sort, by the symbol whose events wake them."""

    def __init__(self) -> None:
        self._by_symbol: dict[str, dict[Stream, F]] = {}

    def __contains__(self, symbol: str) -> bool:
        return symbol in self._by_symbol

    def add(self, stream: Stream, feed: F) -> None:
        self._by_symbol.setdefault(stream.symbol, {})[stream] = feed

    def discard(self, stream: Stream) -> None:
        feeds = self._by_symbol.get(stream.symbol, {})
        if feeds.pop(stream, None) is not None and not feeds:
            del self._by_symbol[stream.symbol]

    def of(self, symbol: str) -> list[tuple[Stream, F]]:
        feeds = self._by_symbol.get(symbol)
        return list(feeds.items()) if feeds else []


class Delivery:
    """The feeds of one market and what they have said."""

    def __init__(self, exchange: "Exchange") -> None:
        self._exchange = exchange
        self._hub = exchange.hub
        self._trouble = exchange.trouble
        self._rows = exchange.dialect.rows
        self._feeds: dict[Stream, Feed] = {}
        self._of_trades: _Register[TradeFeed] = _Register()
        self._of_books: _Register[BookFeed] = _Register()
        self._of_liquidations: _Register[LiquidationFeed] = _Register()
        self._timed: list[tuple[int, int, Stream, TimedFeed]] = []  # heap by due time
        self._order = 0
        self._tape: dict[str, tuple[list[Row], list[Row]]] = {}  # of the tick at hand
        self._sent: list[tuple[Ledger, int]] = []
        self.rows_delivered = 0
        self.messages: Counter[str] = Counter()
        """How many left, by kind; welcomes and what a fault repeats are not among them."""

    # -- listeners

    def subscribe(self, connection: Connection, stream: Stream, now_ms: int) -> None:
        """Deliver a stream, its welcome first; one without a feed is noted and stays silent."""
        if stream in connection.streams and stream in self._feeds:
            self._greet(connection, stream, now_ms)  # asked again: a new snapshot
            return
        connection.streams[stream] = None
        feed = self._feeds.get(stream) or self._open(stream, now_ms)
        if feed is not None:
            self._hub.subscribe(connection, stream)
            self._greet(connection, stream, now_ms)

    def unsubscribe(self, connection: Connection, stream: Stream) -> None:
        """Deliver a stream no longer."""
        if self._hub.unsubscribe(connection, stream):
            self._close(stream)

    def leave(self, connection: Connection) -> None:
        """A connection is gone."""
        for stream in list(connection.streams):
            self.unsubscribe(connection, stream)
        self._hub.forget(connection)

    def _open(self, stream: Stream, now_ms: int) -> Feed | None:
        feed = self._exchange.dialect.feed(stream, self._exchange)
        if feed is None:
            return None
        self._feeds[stream] = feed
        if isinstance(feed, TradeFeed):
            self._of_trades.add(stream, feed)
        elif isinstance(feed, BookFeed):
            self._of_books.add(stream, feed)
        elif isinstance(feed, LiquidationFeed):
            self._of_liquidations.add(stream, feed)
        else:
            self._order += 1
            heapq.heappush(self._timed, (now_ms, self._order, stream, feed))
        return feed

    def _close(self, stream: Stream) -> None:
        del self._feeds[stream]
        self._of_trades.discard(stream)
        self._of_books.discard(stream)
        self._of_liquidations.discard(stream)  # a timed one falls out when it is due

    def _greet(self, connection: Connection, stream: Stream, now_ms: int) -> None:
        for message in self._feeds[stream].welcome(now_ms):
            if not self._trouble.silent(stream.kind, stream.symbol, now_ms):
                wrap = connection.wrap
                connection.reply(wrap(stream, message) if wrap else message)

    # -- trades

    def note(self, symbol: str, fills: Sequence[Row], levels: Sequence[Row], now_ms: int) -> None:
        """Put trades on the tape of this tick, but for those that a fault keeps."""
        if symbol not in self._of_trades:
            return
        if self._trouble.wishes:
            if self._rows == "fills":
                fills = [row for row in fills if self._is_told(symbol, row, now_ms)]
            else:
                levels = [row for row in levels if self._is_told(symbol, row, now_ms)]
        tape = self._tape.get(symbol)
        if tape is None:
            tape = self._tape[symbol] = ([], [])
        tape[0].extend(fills)
        tape[1].extend(levels)

    def _is_told(self, symbol: str, row: Row, now_ms: int) -> bool:
        if row.is_fund:
            return True
        if self._trouble.hit("hole", "trades", symbol, now_ms):
            return False
        return not self._trouble.hold_row(symbol, row.id, now_ms)

    def tell_trades(self, now_ms: int) -> None:
        """Queue the tape for those who listen to it."""
        tape, self._tape = self._tape, {}
        for symbol, (fills, levels) in tape.items():
            self._tell_rows(symbol, fills, levels, now_ms)

    def _tell_rows(
        self, symbol: str, fills: Sequence[Row], levels: Sequence[Row], now_ms: int
    ) -> None:
        for stream, feed in self._of_trades.of(symbol):
            rows = fills if feed.source == "fills" else levels
            is_sent = bool(rows) and self._publish(stream, feed.encode(rows, now_ms), now_ms)
            if is_sent and feed.source == self._rows:
                ledger = self._exchange.ledgers[symbol]
                self._sent += [(ledger, row.id) for row in rows if not row.is_fund]

    # -- everything else

    def tell_book(self, change: BookChange, now_ms: int) -> None:
        """Queue a change of a book."""
        for stream, feed in self._of_books.of(change.symbol.name):
            self._publish(stream, feed.encode(change, now_ms), now_ms)

    def tell_liquidation(self, forced: Forced, now_ms: int) -> None:
        """Queue a liquidation for those who listen to its symbol or to all."""
        for symbol in (forced.symbol.name, ""):
            for stream, feed in self._of_liquidations.of(symbol):
                self._publish(stream, feed.encode(forced, now_ms), now_ms)

    def deliver(self, now_ms: int, clock_ns: int, *, is_running: bool = True) -> None:
        """Send everything queued, what is due by the clock, and what was held back until now."""
        for name, row_id in self._trouble.due_rows(now_ms):
            rows = self._exchange.ledgers[name].rows(row_id, row_id + 1)
            fills, levels = (rows, []) if self._rows == "fills" else ([], rows)
            self._tell_rows(name, fills, levels, now_ms)
        self._tell_timed(now_ms, is_running=is_running)
        for stream, message in self._trouble.due_messages(now_ms):
            self._hub.publish(stream, message)
        self._hub.flush()
        for ledger, row_id in self._sent:
            self.rows_delivered += ledger.mark_sent(row_id, clock_ns)
        self._sent.clear()

    def _tell_timed(self, now_ms: int, *, is_running: bool) -> None:
        while self._timed and self._timed[0][0] <= now_ms:
            due_ms, order, stream, feed = heapq.heappop(self._timed)
            if self._feeds.get(stream) is not feed:
                continue  # nobody listens any more
            next_ms = max(due_ms + feed.every_ms, now_ms + 1)
            heapq.heappush(self._timed, (next_ms, order, stream, feed))
            if is_running or feed.while_stopped:
                self._publish(stream, feed.encode(now_ms), now_ms)

    # -- faults

    def restart_book(self, symbol: str, now_ms: int) -> int:
        """Begin the sequence of a book anew and tell its listeners; how many streams."""
        book = self._exchange.book(symbol)
        book.restart(self._exchange.dialect.restarted_id(book.last_id))
        listening = self._of_books.of(symbol)
        for stream, feed in listening:
            tell = feed.restart or feed.welcome
            self._publish(stream, tell(now_ms), now_ms)
        return len(listening)

    def cut_all(self) -> int:
        """Cut every connection without a close frame; how many."""
        connections = list(self._hub.connections)
        for connection in connections:
            connection.transport.abort()
            self.leave(connection)
        return len(connections)

    def _publish(self, stream: Stream, messages: Sequence[bytes], now_ms: int) -> bool:
        """Queue messages, but for those that a fault takes; whether any reached somebody."""
        if not messages:
            return False
        trouble, kind, symbol = self._trouble, stream.kind, stream.symbol
        if trouble.silent(kind, symbol, now_ms):
            return False
        is_any = False
        for original in messages:
            message = original
            if trouble.wishes:
                if kind != "trades" and (  # trades are lost and held row by row
                    trouble.hit("hole", kind, symbol, now_ms)
                    or trouble.hold_message(stream, message, now_ms)
                ):
                    continue
                if trouble.hit("big_frame", kind, symbol, now_ms):
                    message = _padded(message)
            if self._hub.publish(stream, message):
                trouble.remember(stream, message)
                self.messages[kind] += 1
                is_any = True
        return is_any


def _padded(message: bytes) -> bytes:
    """The same JSON in many more bytes: white space after the first bracket means nothing."""
    return message[:1] + b" " * max(BIG_FRAME_BYTES - len(message), 0) + message[1:]
