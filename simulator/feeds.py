"""Streams and what fills them: a dialect makes one feed for each stream that somebody listens to.

A feed turns events of the truth into the venue's messages. It lives from the stream's first
listener to its last, so it may keep what a venue keeps per stream: a depth view, the last values.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from simulator.book import BookChange
from simulator.ledger import Row
from simulator.symbols import Symbol

Kind = Literal[
    "trades", "tickers", "books", "funding", "open-interest", "liquidations", "venue-klines"
]
KINDS: tuple[Kind, ...] = (
    "trades",
    "tickers",
    "books",
    "funding",
    "open-interest",
    "liquidations",
    "venue-klines",
)

Frames = Sequence[bytes]
Welcome = Callable[[int], Frames]
"""From now (ms) to what a new listener gets before everything else."""


class Stream(NamedTuple):
    """What one can listen to: ``kind`` is what a fault names, ``parameter`` the dialect's own."""

    kind: Kind
    symbol: str
    """Empty: of every symbol."""
    parameter: str = ""


class Forced(NamedTuple):
    """One liquidation; ``side`` is the order's: -1 sells, so a long was liquidated."""

    symbol: Symbol
    ts_ms: int
    side: int
    price: int
    qty: int


def silent(_now_ms: int) -> Frames:
    """Welcome nobody."""
    return ()


@dataclass(slots=True, kw_only=True)
class TradeFeed:
    """Gets the trades of its symbol that one tick made, oldest first.

    ``source`` "fills": single trades; "levels": what one order took at one price, summed up. Of
    the two only what the dialect's ``rows`` names is the truth that ``/sim/trades`` tells.
    """

    encode: Callable[[Sequence[Row], int], Frames]
    source: Literal["fills", "levels"]
    welcome: Welcome = silent


@dataclass(slots=True, kw_only=True)
class BookFeed:
    """Gets every change of its symbol's book, each ``simulator.book.STEP_MS``.

    ``welcome`` is the snapshot where the stream sends one; it must fit the next ``encode``. After
    a restart of the sequence ``restart`` tells all listeners of it: another welcome, if not given.
    """

    encode: Callable[[BookChange, int], Frames]
    welcome: Welcome = silent
    restart: Welcome | None = None


@dataclass(slots=True, kw_only=True)
class LiquidationFeed:
    """Gets every liquidation of its symbol, or of all."""

    encode: Callable[[Forced, int], Frames]
    welcome: Welcome = silent


@dataclass(slots=True, kw_only=True)
class TimedFeed:
    """Is asked every ``every_ms`` whether it has something to say."""

    encode: Callable[[int], Frames]
    every_ms: int
    welcome: Welcome = silent
    while_stopped: bool = False
    """Also when no trading goes on: candles close all the same."""


Feed = TradeFeed | BookFeed | LiquidationFeed | TimedFeed
