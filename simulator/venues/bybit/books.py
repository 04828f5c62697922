"""``orderbook.{depth}``: each stream counts its own updates, one number a frame.

A restart of the service is a snapshot whose ``u`` is 1. Depth 1 is told in snapshots only, and
once more, unchanged, after 3 s of silence.
"""

import orjson

from simulator.book import Book, BookChange, DepthView, Levels
from simulator.feeds import BookFeed, Frames
from simulator.symbols import Symbol
from simulator.venues.bybit.texts import price_text, qty_text
from simulator.venues.bybit.topics import DEPTHS_MS
from simulator.venues.bybit.trades import sequence

BEST_ONLY = "1"
REPEATED_AFTER_MS = 3_000
FIRST_UPDATE_ID = 1_000_000
RESTARTED_ID = 1


class _Depth:
    """The best levels of one book as one stream tells them."""

    def __init__(self, symbol: Symbol, book: Book, depth: str, *, is_linear: bool) -> None:
        self._symbol = symbol
        self._view = DepthView(book, int(depth))
        self._is_linear = is_linear
        self._topic = f"orderbook.{depth}.{symbol.name}"
        self._is_best_only = depth == BEST_ONLY
        self._every_ms = DEPTHS_MS[depth]
        self._update_id = FIRST_UPDATE_ID + book.number
        self._ts_ms = book.ts_ms
        self._told_ms = 0

    def change(self, change: BookChange, now_ms: int) -> Frames:
        """Tell what changed, if the stream is due and its levels did."""
        if now_ms - self._told_ms < self._every_ms * 9 // 10:
            return ()
        bids, asks = self._view.changes()
        self._ts_ms = change.ts_ms
        is_changed = bool(bids or asks)
        is_silent = now_ms - self._told_ms >= REPEATED_AFTER_MS
        if not (is_changed or (is_silent and self._is_best_only)):
            return ()
        self._update_id += is_changed
        self._told_ms = now_ms
        if self._is_best_only:
            return self.snapshot(now_ms)
        return (self._frame("delta", bids, asks, now_ms),)

    def snapshot(self, now_ms: int) -> Frames:
        """Tell all levels as of the last update."""
        return (self._frame("snapshot", *self._view.now(), now_ms),)

    def restart(self, now_ms: int) -> Frames:
        """Begin the count anew."""
        self._update_id = RESTARTED_ID
        return self.snapshot(now_ms)

    def _frame(self, type_: str, bids: Levels, asks: Levels, now_ms: int) -> bytes:
        made_ms = self._ts_ms or now_ms
        ts = {"ts": max(now_ms, made_ms)}
        head = {"type": type_} | ts if self._is_linear else ts | {"type": type_}
        data = {
            "s": self._symbol.name,
            "b": self._texts(bids),
            "a": self._texts(asks),
            "u": self._update_id,
            "seq": sequence(made_ms),
        }
        return orjson.dumps({"topic": self._topic} | head | {"data": data, "cts": made_ms})

    def _texts(self, levels: Levels) -> list[tuple[str, str]]:
        symbol, is_linear = self._symbol, self._is_linear
        return [
            (price_text(symbol, p, is_linear=is_linear), qty_text(symbol, q, is_linear=is_linear))
            for p, q in levels
        ]


def book_feed(symbol: Symbol, book: Book, depth: str, *, is_linear: bool) -> BookFeed:
    """Return what tells so many levels of a book."""
    told = _Depth(symbol, book, depth, is_linear=is_linear)
    return BookFeed(encode=told.change, welcome=told.snapshot, restart=told.restart)
