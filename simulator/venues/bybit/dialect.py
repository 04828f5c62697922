"""Bybit v5 as a dialect: which words go where."""

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from simulator.archive.published import Published
from simulator.dialect import Answer, Asked, Dialect, Opening, Rules
from simulator.feeds import Feed, Stream
from simulator.ledger import Row
from simulator.options import SimulatorOptions
from simulator.symbols import Symbol, traded
from simulator.venues.bybit import archive, listing
from simulator.venues.bybit.books import book_feed
from simulator.venues.bybit.events import candle_feed, liquidation_feed
from simulator.venues.bybit.rest import Rest, refused
from simulator.venues.bybit.talk import Conversation
from simulator.venues.bybit.tickers import ticker_feed
from simulator.venues.bybit.trades import linear_uid, sequence, spot_id, trade_feed

if TYPE_CHECKING:
    from simulator.exchange import Exchange

PRICE = re.compile(rb'("p":|"open":|"lastPrice":|"markPrice":|\[\[)"[^"]*"')
UNHEARD_S = 60.0  # a client that is silent for longer forgot to ping


class Bybit(Dialect):
    """One of the two markets."""

    exchange = "bybit"

    def __init__(self, channel: Literal["spot", "linear"], options: SimulatorOptions) -> None:
        self.channel = channel
        self.rules = Rules(
            unheard_s=UNHEARD_S if options.unheard_s is None else options.unheard_s,
            lifetime_s=math.inf,
            attempts_max=options.connection_attempts_max,
        )
        self._is_linear = channel == "linear"
        self._rest = Rest(channel)
        self._names: frozenset[str] = frozenset()

    def symbols(self, options: SimulatorOptions) -> list[Symbol]:
        """Return the symbols that trade."""
        found = traded(self.channel, options.symbols, options.seed)
        self._names = frozenset(symbol.name for symbol in found)
        return [replace(symbol, status=listing.TRADING) for symbol in found]

    def idle_symbols(self) -> list[Symbol]:
        """Return what is listed beside them."""
        return listing.idle(self.channel)

    def trade_id(self, symbol: Symbol, row: Row) -> int:
        """Spot's number, and linear's order: its trades have no number."""
        del symbol
        return sequence(row.ts_ms) if self._is_linear else spot_id(row)

    def trade_uid(self, symbol: Symbol, row: Row) -> str:
        """Linear's UUID."""
        return linear_uid(symbol, row) if self._is_linear else ""

    def archive(self, path: str, exchange: "Exchange") -> Published | None:
        """Return the file at a path of public.bybit.com."""
        return archive.find(path, exchange, is_linear=self._is_linear)

    def open(self, path: str, query: Mapping[str, str]) -> Opening | None:
        """How to talk on the market's one path."""
        del query
        if path != f"/v5/public/{self.channel}":
            return None
        return lambda line: Conversation(
            line, is_linear=self._is_linear, trades=self._names.__contains__
        )

    def feed(self, stream: Stream, exchange: "Exchange") -> Feed | None:
        """What fills a stream."""
        symbol, is_linear = exchange.ledgers[stream.symbol].symbol, self._is_linear
        match stream.kind:
            case "trades":
                return trade_feed(symbol, is_linear=is_linear)
            case "books":
                book = exchange.book(symbol.name)
                return book_feed(symbol, book, stream.parameter, is_linear=is_linear)
            case "tickers":
                return ticker_feed(exchange, symbol, is_linear=is_linear)
            case "venue-klines":
                return candle_feed(exchange, symbol, stream.parameter)
            case "liquidations":
                return liquidation_feed(symbol)
        return None

    async def rest(self, asked: Asked, exchange: "Exchange") -> Answer:
        """Answer one request."""
        return await self._rest.answer(asked, exchange)

    def refuse(self, retry_after_s: int, *, is_banned: bool) -> Answer:
        """403 in both cases, and never for how long."""
        del retry_after_s, is_banned
        return refused()

    def spoil(self, message: bytes) -> bytes:
        """Write ``abc`` for the first price."""
        return PRICE.sub(rb'\1"abc"', message, count=1)


def spot(options: SimulatorOptions) -> Dialect:
    """The spot market."""
    return Bybit("spot", options)


def linear(options: SimulatorOptions) -> Dialect:
    """Contracts in USDT."""
    return Bybit("linear", options)
