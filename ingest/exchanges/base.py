"""What an exchange is: a value made of data and pure functions. The feed owns all I/O.

Two vocabularies never mix: a venue's words (``aggTrade``, ``T``, ``m``) stay inside its folder,
and what leaves ``parse`` is one of the types below.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from schemas.trades import Channel


class TradeRow(msgspec.Struct, frozen=True, gc=False):
    """One trade as its frame told it: each number with the decimals it was written with."""

    kind: str
    """The venue's stream; ids of two streams are two series and never mix."""
    symbol: str
    id: int
    ts: int
    """The venue's trade time, ms."""
    price: int
    price_scale: int
    qty: int
    qty_scale: int
    side: int
    flags: int
    first: int
    """First and last trade id inside an aggregate; the id itself for a single trade."""
    last: int


class Ack(msgspec.Struct, frozen=True):
    """The venue accepted a request."""

    request_id: int


class Rejected(msgspec.Struct, frozen=True):
    """The venue refused a request, or complains about the connection (``request_id`` None)."""

    request_id: int | None
    reason: str


class Shutdown(msgspec.Struct, frozen=True):
    """The venue is about to close this connection."""


class Other(msgspec.Struct, frozen=True):
    """A documented frame that is not ours to store."""

    kind: str


Control = Ack | Rejected | Shutdown | Other
Inbound = TradeRow | Control


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """One symbol of one market; the scales are where a text starts, not where it must end."""

    symbol: str
    unified: str
    """``BTC/USDT`` for spot, ``BTC/USDT:USDT`` for a contract settled in USDT."""
    status: str
    is_streamed: bool
    price_scale: int
    qty_scale: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a venue allows, with a margin where its documents disagree."""

    streams_per_socket_max: int
    streams_per_request_max: int
    requests_per_s_max: int
    connections_per_5_min_max: int
    lifetime_s: float
    """The venue ends every connection at this age."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """One channel of an exchange."""

    channel: Channel
    socket_path: str
    """Put after the WebSocket URL of the settings; the connection opens without streams."""
    instruments_path: str
    """Put after the REST URL of the settings."""
    tickers_path: str
    trade_kind: str
    """The ``TradeRow.kind`` that is streamed."""
    dense_ids: bool
    """Ids grow by one per symbol, so a jump is a gap."""
    limits: Limits
    stream: Callable[[str], str]
    """Symbol to the name of its trade stream."""
    instruments: Callable[[bytes], list[Instrument]]
    trade_counts: Callable[[bytes], dict[str, int]]
    """Body of ``tickers_path`` to trades per symbol and day; turnovers in rupiah and in bitcoin
    could not be compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A venue. It never sees a socket or a clock."""

    name: str
    markets: Mapping[Channel, Market]
    ping_interval_s: float | None
    """How often *we* must ping; None where the venue pings and the library answers."""
    subscribe: Callable[[Sequence[str], int], bytes]
    unsubscribe: Callable[[Sequence[str], int], bytes]
    parse: Callable[[bytes], Sequence[Inbound]]
    """Read one frame whole, or raise Poison and publish nothing of it."""
