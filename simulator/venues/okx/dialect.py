"""OKX v5 as a dialect: which words go where."""

import math
import re
from collections.abc import Mapping
from itertools import count
from typing import Any, Literal

from simulator.archive.published import Published
from simulator.dialect import Answer, Asked, Dialect, Opening, Rules
from simulator.exchange import Exchange
from simulator.feeds import Feed, Stream
from simulator.ledger import Row
from simulator.options import SimulatorOptions
from simulator.symbols import Symbol
from simulator.venues.okx import archive, listing
from simulator.venues.okx.channels import KIND_OF, stream_of
from simulator.venues.okx.feeds import feed
from simulator.venues.okx.rest import Rest, refused
from simulator.venues.okx.talk import Conversation

PRICE = re.compile(rb'("(?:px|bkPx|last|fundingRate|markPx|idxPx|oiCcy)":|\[\[)"[^"]*"')
UNSPOKEN_S = 30.0
ATTEMPTS_MAX = 900  # three a second


class Okx(Dialect):
    """One of the two markets."""

    exchange = "okx"
    rows = "levels"

    def __init__(self, channel: Literal["spot", "linear"], options: SimulatorOptions) -> None:
        self.channel = channel
        self.rules = Rules(
            unspoken_s=options.unheard_s or UNSPOKEN_S,
            lifetime_s=math.inf,
            attempts_max=min(options.connection_attempts_max, ATTEMPTS_MAX),
        )
        self._rest = Rest("SPOT" if channel == "spot" else "SWAP", self.idle_symbols())
        self._names: frozenset[str] = frozenset()
        self._connections = count(0xA4D3AE55)

    def symbols(self, options: SimulatorOptions) -> list[Symbol]:
        """Return the symbols that trade."""
        found = listing.traded(self.channel, options.symbols, options.seed)
        self._names = frozenset(symbol.name for symbol in found)
        return found

    def idle_symbols(self) -> list[Symbol]:
        """Return what is listed beside them."""
        return listing.idle(self.channel)

    def trade_id(self, symbol: Symbol, row: Row) -> int:
        """Return the id of the last trade in a row."""
        del symbol
        return row.last

    def archive(self, path: str, exchange: Exchange) -> Published | None:
        """Return the file at a path of OKX's static host."""
        return archive.find(path, exchange)

    def open(self, path: str, query: Mapping[str, str]) -> Opening | None:
        """How to talk on the public and on the business path."""
        del query
        if path not in KIND_OF:
            return None

        def find(arg: dict[str, Any]) -> Stream | None:
            is_linear = self.channel == "linear"
            return stream_of(arg, path, is_linear=is_linear, trades=self._names.__contains__)

        return lambda line: Conversation(line, f"{next(self._connections):x}", find)

    def feed(self, stream: Stream, exchange: Exchange) -> Feed | None:
        """What fills a stream."""
        return feed(stream, exchange)

    async def rest(self, asked: Asked, exchange: Exchange) -> Answer:
        """Answer one request."""
        return await self._rest.answer(asked, exchange)

    def refuse(self, retry_after_s: int, *, is_banned: bool) -> Answer:
        """The same in both cases."""
        del retry_after_s, is_banned
        return refused()

    def spoil(self, message: bytes) -> bytes:
        """Write ``abc`` for the first price."""
        return PRICE.sub(rb'\1"abc"', message, count=1)


def spot(options: SimulatorOptions) -> Dialect:
    """Pairs, in coins."""
    return Okx("spot", options)


def linear(options: SimulatorOptions) -> Dialect:
    """Perpetual swaps settled in USDT, in contracts."""
    return Okx("linear", options)
