"""Hyperliquid's channels, message by message.

The first trades message holds the last 30 trades and says so nowhere; books are whole, contexts and
candles carry no time of their own.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import orjson

from simulator.book import BookChange, Levels
from simulator.candles import INTERVALS_MS
from simulator.feeds import BookFeed, Feed, Frames, Stream, TimedFeed, TradeFeed
from simulator.kline_streams import KlineRules, Update, kline_feed
from simulator.ledger import Row
from simulator.state import MarketState
from simulator.symbols import Symbol
from simulator.venues.hyperliquid.symbols import number

if TYPE_CHECKING:
    from simulator.exchange import Exchange

PAST_TRADES = 30
BOOK_PUSH_MS = 500
DEPTHS = {"": 20, "fast": 5}
CONTEXT_PUSH_MS = 1_000
KLINES = KlineRules(push_ms=500)


def message(channel: str, data: object) -> bytes:
    """One message of a channel."""
    return orjson.dumps({"channel": channel, "data": data})


def feed(stream: Stream, exchange: "Exchange") -> Feed | None:
    """What fills a stream."""
    if stream.symbol not in exchange.ledgers:
        return _empty_book(stream.symbol) if stream.kind == "books" else None
    if stream.kind == "trades":
        return _trades(stream.symbol, exchange)
    if stream.kind == "books":
        return _books(stream, exchange)
    if stream.kind == "tickers":
        return _contexts(stream.symbol, exchange)
    return _candles(stream, exchange)


# -- trades


def trade(row: Row, symbol: Symbol, tid: int) -> dict[str, object]:
    """One trade; many share a hash, and some have none."""
    digest = f"{row.ts_ms:x}{tid & 0xFF:02x}" if row.id % 7 else ""
    return {
        "coin": symbol.name,
        "side": "B" if row.side > 0 else "A",
        "px": number(row.price, symbol.price_scale),
        "sz": number(row.qty, symbol.qty_scale),
        "time": row.ts_ms,
        "hash": f"0x{digest:0>64}",
        "tid": tid,
        "users": [f"0x{row.first:040x}", f"0x{row.last + 1:040x}"],
    }


def _trades(name: str, exchange: "Exchange") -> TradeFeed:
    ledger, dialect = exchange.ledgers[name], exchange.dialect
    symbol = ledger.symbol

    def encode(rows: Sequence[Row], _now_ms: int) -> Frames:
        told = [trade(row, symbol, dialect.trade_id(symbol, row)) for row in rows]
        return (message("trades", told),)

    def welcome(now_ms: int) -> Frames:
        past = ledger.rows(ledger.next_id - PAST_TRADES, ledger.next_id)
        return encode(past, now_ms) if past else ()

    return TradeFeed(encode=encode, source="fills", welcome=welcome)


# -- books


def book(symbol: Symbol, ts_ms: int, sides: tuple[Levels, Levels]) -> dict[str, object]:
    """A whole book."""
    return {
        "coin": symbol.name,
        "time": ts_ms,
        "levels": [
            [
                {
                    "px": number(price, symbol.price_scale),
                    "sz": number(qty, symbol.qty_scale),
                    "n": 1 + qty % 5,
                }
                for price, qty in side
            ]
            for side in sides
        ],
    }


def _books(stream: Stream, exchange: "Exchange") -> BookFeed:
    truth, depth = exchange.book(stream.symbol), DEPTHS[stream.parameter]
    pushed_ms = 0

    def encode(change: BookChange, _now_ms: int) -> Frames:
        nonlocal pushed_ms
        if change.ts_ms - pushed_ms < BOOK_PUSH_MS:
            return ()
        pushed_ms = change.ts_ms
        return (message("l2Book", book(truth.symbol, change.ts_ms, truth.top(depth))),)

    def welcome(now_ms: int) -> Frames:
        whole = message("l2Book", book(truth.symbol, truth.ts_ms or now_ms, truth.top(depth)))
        return (whole, whole)  # the venue tells its first book twice

    return BookFeed(encode=encode, welcome=welcome)


def _empty_book(name: str) -> TimedFeed:
    """The book of a coin that is delisted."""

    def push(now_ms: int) -> Frames:
        return (message("l2Book", {"coin": name, "time": now_ms, "levels": [[], []]}),)

    return TimedFeed(encode=push, every_ms=BOOK_PUSH_MS)


# -- contexts


def context(state: MarketState, bid: int, ask: int) -> dict[str, object]:
    """The state of one symbol; amounts are of a day."""
    symbol = state.symbol
    price, qty = symbol.price_scale, symbol.qty_scale
    return {
        "funding": number(state.funding_rate, 8),
        "openInterest": number(state.open_interest, qty),
        "prevDayPx": number(state.open or bid, price),
        "dayNtlVlm": number(state.turnover, price + qty),
        "premium": number((state.mark - state.index) * 10**8 // state.index, 8),
        "oraclePx": number(state.index, price),
        "markPx": number(state.mark, price),
        "midPx": number((bid + ask) * 5, price + 1),
        "impactPxs": [number(bid, price), number(ask, price)],
        "dayBaseVlm": number(state.volume, qty),
    }


def context_of(name: str, exchange: "Exchange", now_ms: int) -> dict[str, object]:
    """The state of one symbol as of now."""
    bid = exchange.flow.bid(exchange.index[name])
    state = exchange.state(name, now_ms)
    return context(state, bid, bid + state.symbol.tick)


def _contexts(name: str, exchange: "Exchange") -> TimedFeed:
    def push(now_ms: int) -> Frames:
        ctx = context_of(name, exchange, now_ms)
        return (message("activeAssetCtx", {"coin": name, "ctx": ctx}),)

    return TimedFeed(encode=push, every_ms=CONTEXT_PUSH_MS, while_stopped=True)


# -- candles


def candle(update: Update, symbol: Symbol, interval: str) -> dict[str, object]:
    """One candle as it is; whether it is closed is not told."""
    told, length_ms = update.candle, INTERVALS_MS[interval]
    return {
        "t": told.open_ms,
        "T": told.open_ms + length_ms - 1,
        "s": symbol.name,
        "i": interval,
        "o": number(told.open, symbol.price_scale),
        "c": number(told.close, symbol.price_scale),
        "h": number(told.high, symbol.price_scale),
        "l": number(told.low, symbol.price_scale),
        "v": number(told.volume, symbol.qty_scale),
        "n": told.trade_count,
    }


def _candles(stream: Stream, exchange: "Exchange") -> TimedFeed:
    symbol, interval = exchange.ledgers[stream.symbol].symbol, stream.parameter

    def encode(updates: Sequence[Update], _now_ms: int) -> Frames:
        return [message("candle", candle(update, symbol, interval)) for update in updates]

    return kline_feed(exchange, stream.symbol, INTERVALS_MS[interval], KLINES, encode)
