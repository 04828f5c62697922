"""What fills OKX's channels: one message per order, book update, change or liquidation."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import orjson

from simulator.book import Book, BookChange, DepthView, Levels
from simulator.feeds import (
    BookFeed,
    Feed,
    Forced,
    Frames,
    LiquidationFeed,
    Stream,
    TimedFeed,
    TradeFeed,
)
from simulator.kline_streams import KlineRules, Update, kline_feed
from simulator.ledger import Row
from simulator.state import MarketState
from simulator.symbols import Symbol
from simulator.venues.okx import rows
from simulator.venues.okx.channels import BARS_MS, CANDLE, INDEX, LIQUIDATIONS
from simulator.venues.okx.listing import Json, index_of

if TYPE_CHECKING:
    from simulator.exchange import Exchange

DEPTH = 400
KEEP_ALIVE_MS = 60_000  # a book without changes says so
LIQUIDATIONS_TOLD = 20  # to a new listener, however old
KLINES = KlineRules(push_ms=1_000)
EVERY_MS = {
    "tickers": 100,
    "funding-rate": 30_000,
    "mark-price": 200,
    INDEX: 100,
    "open-interest": 3_000,
}


def push(arg: Json, data: object, **more: object) -> bytes:
    """Return a message with data."""
    return orjson.dumps({"arg": arg, **more, "data": data})


def feed(stream: Stream, exchange: "Exchange") -> Feed | None:
    """What fills a stream."""
    channel = stream.parameter
    if channel == LIQUIDATIONS:
        return _liquidations(exchange)
    if stream.symbol not in exchange.ledgers:
        return None
    if channel in ("trades", "trades-all"):
        return _trades(channel, exchange, stream.symbol)
    if channel == "books":
        told = _Depth(exchange.book(stream.symbol))
        return BookFeed(encode=told.update, welcome=told.snapshot, restart=told.reset)
    if channel in EVERY_MS:
        return _state(channel, exchange, stream.symbol)
    return _candles(channel, exchange, stream.symbol)


def _trades(channel: str, exchange: "Exchange", name: str) -> TradeFeed:
    ledger = exchange.ledgers[name]
    symbol = ledger.symbol
    arg: Json = {"channel": channel, "instId": name}

    def encode(told: Sequence[Row], _now_ms: int) -> Frames:
        if channel == "trades":
            return [push(arg, [rows.trade(symbol, row)]) for row in told]
        every = (one for row in told for one in rows.singles(symbol, row))
        return [push(arg, [rows.single(symbol, one)]) for one in every]

    def welcome(now_ms: int) -> Frames:
        """Tell the last trade, however old."""
        return encode(ledger.rows(ledger.next_id - 1, ledger.next_id), now_ms)[-1:]

    return TradeFeed(encode=encode, source="levels", welcome=welcome)


class _Depth:
    """``books``: updates in a chain of ids that grow, by more than one."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._view = DepthView(book, DEPTH)
        self._arg: Json = {"channel": "books", "instId": book.symbol.name}
        self._seq_id = book.last_id
        self._told_ms = 0

    def update(self, change: BookChange, now_ms: int) -> Frames:
        """Tell what changed; after a minute without changes, that there were none."""
        bids, asks = self._view.changes()
        self._told_ms = self._told_ms or now_ms
        if bids or asks:
            return self._message("update", (bids, asks), self._seq_id, change.last_id, now_ms)
        if now_ms - self._told_ms >= KEEP_ALIVE_MS:
            return self._message("update", ([], []), self._seq_id, self._seq_id, now_ms)
        return ()

    def snapshot(self, now_ms: int) -> Frames:
        """Tell all levels as of the last update."""
        return self._message("snapshot", self._view.now(), -1, self._seq_id, now_ms)

    def reset(self, now_ms: int) -> Frames:
        """Continue with a lower id, as after maintenance."""
        sides = self._view.changes()
        return self._message("update", sides, self._seq_id, self._book.last_id, now_ms)

    def _message(
        self, action: str, sides: tuple[Levels, Levels], prev_id: int, seq_id: int, now_ms: int
    ) -> Frames:
        symbol, (bids, asks) = self._book.symbol, sides
        self._seq_id, self._told_ms = seq_id, now_ms
        data = {
            "asks": rows.levels(symbol, asks),
            "bids": rows.levels(symbol, bids),
            "ts": str(self._book.ts_ms or now_ms),
            "checksum": 0,  # fixed since 2026
            "seqId": seq_id,
            "prevSeqId": prev_id,
        }
        return (push(self._arg, [data], action=action),)


def _state(channel: str, exchange: "Exchange", name: str) -> TimedFeed:
    """Tell a part of a symbol's state: to a new listener, and every while if it changed."""
    exchange.book(name)
    symbol = exchange.ledgers[name].symbol
    arg: Json = {"channel": channel, "instId": index_of(symbol) if channel == INDEX else name}
    told: Json = {}

    def make(now_ms: int) -> Json:
        state = exchange.state(name, now_ms)
        if channel == "tickers":
            return rows.ticker(state, exchange.book(name).best())
        return STATES[channel](state)

    def tell(row: Json, now_ms: int) -> Frames:
        return (push(arg, [row | {"ts": str(now_ms)}]),)

    def welcome(now_ms: int) -> Frames:
        row = make(now_ms)
        if not told:
            told.update(row)
        return tell(row, now_ms)

    def encode(now_ms: int) -> Frames:
        row = make(now_ms)
        if row == told:
            return ()
        told.update(row)
        return tell(row, now_ms)

    return TimedFeed(encode=encode, every_ms=EVERY_MS[channel], welcome=welcome)


def _liquidations(exchange: "Exchange") -> LiquidationFeed:
    arg: Json = {"channel": LIQUIDATIONS, "instType": "SWAP"}

    def welcome(_now_ms: int) -> Frames:
        past = list(exchange.liquidations)[-LIQUIDATIONS_TOLD:]
        return [push(arg, rows.liquidations(past))] if past else ()

    def encode(forced: Forced, _now_ms: int) -> Frames:
        return (push(arg, rows.liquidations([forced])),)

    return LiquidationFeed(encode=encode, welcome=welcome)


def _candles(channel: str, exchange: "Exchange", name: str) -> TimedFeed:
    symbol: Symbol = exchange.ledgers[name].symbol
    arg: Json = {"channel": channel, "instId": name}

    def encode(updates: Sequence[Update], _now_ms: int) -> Frames:
        return [push(arg, [rows.candle(symbol, one, closed=closed)]) for one, closed in updates]

    return kline_feed(exchange, name, BARS_MS[channel.removeprefix(CANDLE)], KLINES, encode)


STATES: dict[str, Callable[[MarketState], Json]] = {
    "funding-rate": rows.funding_rate,
    "mark-price": rows.mark_price,
    INDEX: rows.index_ticker,
    "open-interest": rows.open_interest,
}
