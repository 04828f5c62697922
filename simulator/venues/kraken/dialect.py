"""Kraken's spot market: the second version of its socket."""

import re
from collections.abc import Mapping
from itertools import count

from simulator.dialect import Answer, Asked, Dialect, Line, Opening, Rules
from simulator.exchange import Exchange
from simulator.feeds import Feed, Stream
from simulator.options import SimulatorOptions
from simulator.symbols import Symbol
from simulator.venues.kraken.feeds import feed
from simulator.venues.kraken.rest import Rest, refusal
from simulator.venues.kraken.talk import Conversation
from simulator.venues.kraken.words import idle, pairs

PRICE = re.compile(rb'"(price|open)":[0-9.]+')


class Spot(Dialect):
    """Pairs against the dollar."""

    exchange = "kraken"
    channel = "spot"
    rows = "fills"

    def __init__(self, options: SimulatorOptions) -> None:
        self.rules = Rules(
            unspoken_s=options.unheard_s or 60.0,
            attempts_max=min(options.connection_attempts_max, 75),  # 150 in 10 minutes
        )
        self._known = {symbol.name for symbol in self.idle_symbols()}
        self._numbers = count(7_734_965_360_043_499_011)
        self._rest = Rest()

    def symbols(self, options: SimulatorOptions) -> list[Symbol]:
        """What trades, busiest first."""
        found = pairs(options.symbols, options.seed)
        self._known |= {symbol.name for symbol in found}
        return found

    def idle_symbols(self) -> list[Symbol]:
        """What is listed and does not trade."""
        return idle()

    def open(self, path: str, query: Mapping[str, str]) -> Opening | None:
        """Talk to who connects to ``/v2``."""
        del query
        return self._talk if path == "/v2" else None

    def _talk(self, line: Line) -> Conversation:
        return Conversation(line, self._known.__contains__, next(self._numbers))

    def feed(self, stream: Stream, exchange: Exchange) -> Feed | None:
        """What fills a stream."""
        return feed(stream, exchange)

    async def rest(self, asked: Asked, exchange: Exchange) -> Answer:
        """Answer one request."""
        return self._rest.answer(asked, exchange)

    def refuse(self, retry_after_s: int, *, is_banned: bool) -> Answer:
        """The venue does not say for how long, nor that it has had enough."""
        del retry_after_s, is_banned
        return refusal()

    def spoil(self, message: bytes) -> bytes:
        """Return the message with a word for its first price."""
        return PRICE.sub(rb'"\1":"price"', message, count=1)
