"""Binance's stream names, and what fills each stream."""

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from simulator.book import STEP_MS, BookChange, Levels
from simulator.candles import INTERVALS_MS
from simulator.feeds import (
    BookFeed,
    Feed,
    Frames,
    Kind,
    LiquidationFeed,
    Stream,
    TimedFeed,
    TradeFeed,
)
from simulator.kline_streams import KlineRules, Update, kline_feed
from simulator.ledger import Row
from simulator.venues.binance import messages
from simulator.venues.binance.market import Market

if TYPE_CHECKING:
    from simulator.exchange import Exchange

STREAM_NAME = re.compile(r"!?[^\s@!/]+(@[^\s@!/]+)*")
KIND_OF: dict[str, Kind] = {
    "trade": "trades",
    "aggTrade": "trades",
    "depth": "books",
    "bookTicker": "tickers",
    "ticker": "tickers",
    "markPrice": "funding",
    "forceOrder": "liquidations",
    "kline": "venue-klines",
}
TICKER_MS = {True: 1_000, False: 2_000}  # by whether it is spot
DEPTH_MS = {
    True: {"depth": 1_000, "depth@100ms": 100},
    False: {"depth": 200, "depth@500ms": 500, "depth@100ms": 100, "depth@0ms": 100},
}
MARK_MS = {"markPrice": 3_000, "markPrice@1s": 1_000}
ALL_LIQUIDATIONS = "!forceOrder@arr"


def word_of(name: str) -> str:
    """What a stream name asks for: ``depth`` of ``btcusdt@depth@100ms``."""
    if name == ALL_LIQUIDATIONS:
        return "forceOrder"
    return name.partition("@")[2].partition("@")[0].partition("_")[0]


def read(name: str) -> Stream:
    """The stream of a name; one that does not exist is as silent as the venue's."""
    kind = KIND_OF.get(word_of(name))
    symbol, _, parameter = name.partition("@")
    if kind is None or name == ALL_LIQUIDATIONS or symbol != symbol.lower():
        return Stream(kind or "trades", "", name)
    return Stream(kind, symbol.upper(), parameter)


def silent(name: str) -> Stream:
    """A stream that this path does not serve."""
    return Stream(KIND_OF.get(word_of(name), "trades"), "", f"silent:{name}")


def name_of(stream: Stream) -> str:
    """The name under which a stream was asked for."""
    if not stream.symbol:
        return stream.parameter.removeprefix("silent:")
    return f"{stream.symbol.lower()}@{stream.parameter}"


def wrapped(stream: Stream, message: bytes) -> bytes:
    """The combined form of a message."""
    return b'{"stream":"' + name_of(stream).encode() + b'","data":' + message + b"}"


def feed(stream: Stream, exchange: "Exchange", market: Market) -> Feed | None:
    """What fills a stream; nothing where there is no such stream."""
    if stream.parameter == ALL_LIQUIDATIONS and not market.is_spot:
        return _liquidations("forceOrder", exchange, market, "")
    make = FEEDS.get(stream.parameter.partition("@")[0].partition("_")[0])
    if make is None or stream.symbol not in exchange.ledgers:
        return None
    return make(stream.parameter, exchange, market, stream.symbol)


def _trades(word: str, exchange: "Exchange", market: Market, name: str) -> Feed | None:
    symbol = exchange.ledgers[name].symbol
    if word not in ("trade", "aggTrade"):
        return None
    is_single = word == "trade"
    write = messages.trade if is_single else messages.aggregate_trade

    def encode(rows: Sequence[Row], now_ms: int) -> Frames:
        return [write(market, symbol, row, now_ms) for row in rows]

    return TradeFeed(encode=encode, source="fills" if is_single else "levels")


def _depth(word: str, exchange: "Exchange", market: Market, name: str) -> Feed | None:
    every_ms = DEPTH_MS[market.is_spot].get(word)
    if every_ms is None:
        return None
    exchange.book(name)
    depth = _Depth(market, every_ms // STEP_MS)
    return BookFeed(encode=depth.encode, restart=depth.restart)


def _book_ticker(word: str, exchange: "Exchange", market: Market, name: str) -> Feed | None:
    if word != "bookTicker":
        return None
    exchange.book(name)
    return BookFeed(encode=_BookTicker(exchange, market).encode)


def _ticker(word: str, exchange: "Exchange", market: Market, name: str) -> Feed | None:
    if word != "ticker":
        return None

    def encode(now_ms: int) -> Frames:
        state, best = exchange.state(name, now_ms), exchange.book(name).best()
        return [messages.ticker(market, state, best, now_ms)] if state.last else []

    return TimedFeed(encode=encode, every_ms=TICKER_MS[market.is_spot])


def _mark_price(word: str, exchange: "Exchange", market: Market, name: str) -> Feed | None:
    every_ms = MARK_MS.get(word)
    if every_ms is None or market.is_spot:
        return None

    def encode(now_ms: int) -> Frames:
        return [messages.mark_price(exchange.state(name, now_ms), now_ms)]

    return TimedFeed(encode=encode, every_ms=every_ms)


def _liquidations(word: str, exchange: "Exchange", market: Market, name: str) -> Feed | None:
    del exchange, name
    if word != "forceOrder" or market.is_spot:
        return None
    return LiquidationFeed(encode=lambda f, now_ms: [messages.force_order(market, f, now_ms)])


def _klines(word: str, exchange: "Exchange", market: Market, name: str) -> Feed | None:
    symbol, interval = exchange.ledgers[name].symbol, word.partition("_")[2]
    length_ms = INTERVALS_MS.get(interval)
    if length_ms is None or (interval == "1s" and not market.is_spot):
        return None

    def encode(updates: Sequence[Update], now_ms: int) -> Frames:
        return [
            messages.kline(
                market, symbol, candle, (interval, length_ms), closed=closed, event_ms=now_ms
            )
            for candle, closed in updates
        ]

    push_ms = 1_000 if interval == "1s" else market.kline_push_ms
    return kline_feed(exchange, name, length_ms, KlineRules(push_ms=push_ms), encode)


class _Depth:
    """The changes of several steps in one update."""

    def __init__(self, market: Market, steps: int) -> None:
        self._market = market
        self._steps = steps
        self._changes: list[BookChange] = []

    def encode(self, change: BookChange, now_ms: int) -> Frames:
        """Collect a change; every so many, tell what they came to."""
        self._changes.append(change)
        if len(self._changes) < self._steps:
            return ()
        changes, self._changes = self._changes, []
        ids = changes[0].prev_id, changes[0].first_id, change.last_id
        bids, asks = ([c.bids for c in changes], [c.asks for c in changes])
        sides = sorted(_merged(bids), reverse=True), sorted(_merged(asks))
        return [messages.depth(self._market, change.symbol, ids, sides, (now_ms, change.ts_ms))]

    def restart(self, _now_ms: int) -> Frames:
        """Forget what belongs to the sequence that ended."""
        self._changes = []
        return ()


def _merged(sides: Sequence[Levels]) -> Levels:
    last: dict[int, int] = {}
    for side in sides:
        last.update(side)
    return list(last.items())


class _BookTicker:
    """The best prices whenever they change."""

    def __init__(self, exchange: "Exchange", market: Market) -> None:
        self._exchange = exchange
        self._market = market
        self._told: messages.Best | None = None

    def encode(self, change: BookChange, now_ms: int) -> Frames:
        """Tell the best prices if they are new."""
        best = self._exchange.book(change.symbol.name).best()
        if best == self._told:
            return ()
        self._told = best
        times = now_ms, change.ts_ms
        return [messages.book_ticker(self._market, change.symbol, best, change.last_id, times)]


FEEDS: dict[str, Callable[[str, "Exchange", Market, str], Feed | None]] = {
    "trade": _trades,
    "aggTrade": _trades,
    "depth": _depth,
    "bookTicker": _book_ticker,
    "ticker": _ticker,
    "markPrice": _mark_price,
    "forceOrder": _liquidations,
    "kline": _klines,
}
