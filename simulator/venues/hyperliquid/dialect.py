"""Hyperliquid's market: one path, one endpoint, ids without an order."""

import re
from collections.abc import Mapping

from simulator.dialect import Answer, Asked, Dialect, Line, Opening, Rules
from simulator.exchange import Exchange
from simulator.feeds import Feed, Stream
from simulator.ledger import Row
from simulator.options import SimulatorOptions
from simulator.symbols import Symbol
from simulator.venues.hyperliquid.feeds import feed
from simulator.venues.hyperliquid.rest import Info, refusal
from simulator.venues.hyperliquid.symbols import delisted, perpetuals
from simulator.venues.hyperliquid.talk import Allowance, Conversation

PRICE = re.compile(rb'"(px|markPx|o)":"[^"]*"')
ID_BITS = 50
SYMBOL_BITS = 11
SCATTER = 0x9E3779B97F4A7C15  # odd, so that no two products are the same in the last 50 bits


class Perpetuals(Dialect):
    """The first dex; builders' dexes are not simulated."""

    exchange = "hyperliquid"
    channel = "linear"
    rows = "fills"
    funding_hours = 1

    def __init__(self, options: SimulatorOptions) -> None:
        self.rules = Rules(
            unspoken_s=options.unheard_s or 60.0,
            attempts_max=min(options.connection_attempts_max, 150),  # 30 a minute
        )
        self._rank: dict[str, int] = {}
        self._known = {symbol.name for symbol in self.idle_symbols()}
        self._allowance = Allowance()
        self._info = Info()

    def symbols(self, options: SimulatorOptions) -> list[Symbol]:
        """What trades, busiest first."""
        found = perpetuals(options.symbols, options.seed)
        self._rank = {symbol.name: rank for rank, symbol in enumerate(found)}
        self._known |= set(self._rank)
        return found

    def idle_symbols(self) -> list[Symbol]:
        """What is delisted."""
        return delisted()

    def trade_id(self, symbol: Symbol, row: Row) -> int:
        """Return the ``tid``: of no order, and no two alike over all symbols."""
        dense = row.id << SYMBOL_BITS | self._rank[symbol.name]
        return dense * SCATTER & (1 << ID_BITS) - 1

    def open(self, path: str, query: Mapping[str, str]) -> Opening | None:
        """Talk to who connects to ``/ws``."""
        del query
        return self._talk if path == "/ws" else None

    def _talk(self, line: Line) -> Conversation:
        return Conversation(line, self._known.__contains__, self._allowance)

    def feed(self, stream: Stream, exchange: Exchange) -> Feed | None:
        """What fills a stream."""
        return feed(stream, exchange)

    async def rest(self, asked: Asked, exchange: Exchange) -> Answer:
        """Answer one request."""
        return self._info.answer(asked, exchange)

    def refuse(self, retry_after_s: int, *, is_banned: bool) -> Answer:
        """The venue does not say for how long, nor that it has had enough."""
        del retry_after_s, is_banned
        return refusal()

    def spoil(self, message: bytes) -> bytes:
        """Return the message with a word for its first price."""
        return PRICE.sub(rb'"\1":"price"', message, count=1)
