"""Binance as a dialect: which words go where."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from simulator.archive.published import Published
from simulator.book import Book
from simulator.dialect import Answer, Asked, Dialect, Opening, Rules
from simulator.feeds import Feed, Stream
from simulator.options import SimulatorOptions
from simulator.symbols import Symbol, idle, traded
from simulator.venues.binance import archive, streams
from simulator.venues.binance.market import LINEAR, SPOT, Market
from simulator.venues.binance.requests import Desk, read_path
from simulator.venues.binance.rest import Rest, refused

if TYPE_CHECKING:
    from simulator.exchange import Exchange

RESTART_STEP = 1_000_000
ALL_MS = 1 << 60
PRICE = re.compile(rb'("p":|"b":|"o":|\[\[)"-?\d[^"]*"')


class Binance(Dialect):
    """One of the two markets."""

    exchange = "binance"

    def __init__(
        self, market: Market, rules: Rules, insurance_fund_share: float, horizon_h: float = 0.0
    ) -> None:
        self.channel = market.channel
        self.rows = "fills" if market.is_spot else "levels"
        self.rules = rules
        self.insurance_fund_share = insurance_fund_share
        self.market = market
        horizon_ms = int(horizon_h * 3_600_000) or ALL_MS
        self._rest = Rest(market, self.idle_symbols(), horizon_ms)

    def symbols(self, options: SimulatorOptions) -> list[Symbol]:
        """Return the symbols that trade."""
        return traded(self.channel, options.symbols, options.seed)

    def idle_symbols(self) -> list[Symbol]:
        """Return what exchangeInfo lists beside them."""
        return idle(self.channel)

    def book_id(self, book: Book) -> int:
        """Return the update id that a snapshot would tell."""
        return self.market.update_id(book.last_id)

    def archive(self, path: str, exchange: "Exchange") -> Published | None:
        """Return the file at a path of data.binance.vision."""
        return archive.find(path, exchange, self.market)

    def open(self, path: str, query: Mapping[str, str]) -> Opening | None:
        """How to talk on a path; None where there is none."""
        target = read_path(path, query.get("streams", ""))
        if target is None or target.tier not in self.market.routes:
            return None
        return lambda line: Desk(line, self.market, target)

    def feed(self, stream: Stream, exchange: "Exchange") -> Feed | None:
        """What fills a stream."""
        return streams.feed(stream, exchange, self.market)

    async def rest(self, asked: Asked, exchange: "Exchange") -> Answer:
        """Answer one request."""
        return await self._rest.answer(asked, exchange)

    def refuse(self, retry_after_s: int, *, is_banned: bool) -> Answer:
        """429, and 418 for who asked on."""
        return refused(self.market.weight_per_minute, retry_after_s, is_banned=is_banned)

    def restarted_id(self, last_id: int) -> int:
        """Ids never go back: the chain breaks instead."""
        return last_id + RESTART_STEP

    def spoil(self, message: bytes) -> bytes:
        """Write ``abc`` for the first price."""
        return PRICE.sub(rb'\1"abc"', message, count=1)


def spot(options: SimulatorOptions) -> Dialect:
    """The spot market."""
    rules = Rules(
        ping_s=options.spot_ping_s,
        pong_timeout_s=options.spot_pong_timeout_s,
        messages_per_s_max=5,
        lifetime_s=options.connection_lifetime_s,
        attempts_max=options.connection_attempts_max,
    )
    return Binance(SPOT, rules, 0.0)


def linear(options: SimulatorOptions) -> Dialect:
    """USD-M futures."""
    rules = Rules(
        ping_s=options.linear_ping_s,
        pong_timeout_s=options.linear_pong_timeout_s,
        messages_per_s_max=10,
        lifetime_s=options.connection_lifetime_s,
        attempts_max=options.connection_attempts_max,
    )
    return Binance(LINEAR, rules, options.insurance_fund_share, options.linear_horizon_h)
