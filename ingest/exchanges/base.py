"""What an exchange is: a value made of data and pure functions. The feed owns all I/O.

Two vocabularies never mix: a venue's words (``aggTrade``, ``T``, ``m``) stay inside its folder,
and what leaves ``parse`` is one of the types below or of ``schemas.updates``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import msgspec

from schemas.streams import Kind
from schemas.trades import Channel, IdRule
from schemas.updates import Funding, Liquidation, OpenInterest, Ticker, VenueKline


class TradeRow(msgspec.Struct, frozen=True, gc=False):
    """One trade as its frame told it: each number with the decimals it was written with."""

    kind: str
    """The venue's stream; ids of two streams are two series and never mix."""
    symbol: str
    id: int
    """The gap key; where the venue has none (``Market.ids`` "unique"), a number that tells trades
    apart, or, with ``uid``, the order that the venue gives them."""
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
    uid: str = ""
    """The venue's own id where it is no number."""


class BookRow(msgspec.Struct, frozen=True, gc=False):
    """A book's snapshot or change as its frame told it; quantity "0" (any zeros) deletes."""

    symbol: str
    ts: int
    """The venue's time, ms: of the matching engine where it is told."""
    is_snapshot: bool
    first_id: int
    last_id: int
    prev_id: int | None
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]
    checksum: int | None = None
    """Of the book after this update, where the venue tells one that is not fixed."""
    stream: str = ""
    """Which of the venue's books of this symbol, where it has several; they never mix."""


class Ack(msgspec.Struct, frozen=True):
    """The venue accepted a request: all of it (``request_id``), or one topic of it."""

    request_id: int | None
    topic: str = ""


class Rejected(msgspec.Struct, frozen=True):
    """The venue refused a request or a topic, or complains about the connection (both empty)."""

    request_id: int | None
    reason: str
    topic: str = ""


class Shutdown(msgspec.Struct, frozen=True):
    """The venue is about to close this connection."""


class Other(msgspec.Struct, frozen=True):
    """A documented frame that is not ours to store (pongs among them)."""

    kind: str


Control = Ack | Rejected | Shutdown | Other
Data = TradeRow | BookRow | Ticker | Funding | OpenInterest | Liquidation | VenueKline
Inbound = Data | Control

KIND_OF: Mapping[type[Data], Kind] = {
    TradeRow: "trades",
    BookRow: "books",
    Ticker: "tickers",
    Funding: "funding",
    OpenInterest: "open-interest",
    Liquidation: "liquidations",
    VenueKline: "venue-klines",
}


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
    """Of quantities in the base coin."""
    tick: str = "1"
    step: str = "1"
    """In the venue's unit of quantity."""
    contract_size: str = "1"
    """Base coins of one unit in which the venue tells quantities."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a venue allows, with a margin where its documents disagree."""

    streams_per_socket_max: int
    streams_per_request_max: int
    requests_per_s_max: int
    connections_per_5_min_max: int
    lifetime_s: float
    """The venue ends every connection at this age; infinite where it does not."""
    request_bytes_max: int = 1 << 16
    requests_per_hour_max: int | None = None
    """Of one connection."""
    topic_chars_per_socket_max: int | None = None
    connections_per_s_max: int = 10
    connections_max: int | None = None
    """Of one address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """The text that *we* must send; None where the venue pings and the library answers."""

    frame: bytes
    interval_s: float
    timeout_s: float
    """Without any frame for so long after a ping, the connection is dead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One REST request: GET, or POST where it has a body; ``path`` comes after the REST URL."""

    path: str
    weight: int
    """In the units of the market's ``rest_budget``."""
    body: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestBudget:
    """How much weight one address may use in a window, and the header that tells what was used."""

    weight_max: int
    window_s: float
    used_header: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """Where a venue tells its time: that it answers, and how far our clock is from its."""

    request: Request
    read: Callable[[bytes], int]
    """Body to ms since 1970; raises Poison."""
    resolution_ms: int = 1
    """What is told is up to so much older than it says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """A kind that comes over a socket."""

    kind: Kind
    path: str
    """Put after the WebSocket URL; the connection opens without streams."""
    topics: Callable[[str], Sequence[str]]
    """Symbol to the venue's names of what to subscribe; ``subscribe`` and Ack speak of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Poll:
    """A kind that the venue does not stream: asked again and again over REST."""

    kind: Kind
    request: Callable[[str], Request]
    """By symbol; a poll that answers for all symbols at once ignores it and sets ``is_bulk``."""
    read: Callable[[bytes, int], Sequence[Data]]
    """Body and the time of its receipt in ms (for venues that tell none) to rows; raises Poison."""
    every_s: float
    is_bulk: bool = False


class Chain(Enum):
    """What a book update is to the book at hand."""

    NEXT = "next"
    OLD = "old"
    """Already in the book: ignored."""
    HOLE = "hole"
    """Something between was missed: the book is void until a snapshot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BookRule:
    """How a venue's book is kept whole. Snapshots always replace the book."""

    chain: Callable[[int, BookRow, bool], Chain]
    """(last id in the book, a delta, is it the first one after a REST snapshot) to its place."""
    snapshot: Callable[[str], Request] | None = None
    """By symbol, where the stream sends none; None: it does, and subscribing again brings one."""
    read_snapshot: Callable[[bytes, str, int], BookRow] | None = None
    """Body, symbol and receive time in ms; raises Poison."""
    is_whole: bool = False
    """Every frame is the whole book, and its id a time: an older frame came late."""
    depth: int = 0
    """Levels a side that the stream keeps; below it a book is not known. 0: all."""
    checksum: Callable[[Sequence[tuple[str, str]], Sequence[tuple[str, str]]], int] | None = None
    """Best levels first, texts as received, to what ``BookRow.checksum`` must be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """One channel of an exchange."""

    channel: Channel
    rest_url: str
    """The venue's own address; a setting overrides it."""
    socket_url: str
    symbol_form: str = r"\S+"
    """A pattern that the name of every symbol matches, to find slips of the pen."""
    clock: Clock | None = None
    """None: the venue tells no time; ``activity`` then is what shows that it answers."""
    limits: Limits
    rest_budget: RestBudget
    subscriptions: Sequence[Subscription]
    """In the order of importance, one a kind."""
    polls: Sequence[Poll] = ()
    parse: Callable[[bytes], Sequence[Inbound]]
    """Read one frame whole, or raise Poison and publish nothing of it."""
    trade_kind: str
    """The ``TradeRow.kind`` that is streamed."""
    ids: IdRule
    book: BookRule | None = None
    instruments: Sequence[Request]
    """Asked one after the other; the answers belong together."""
    read_instruments: Callable[[Sequence[bytes]], list[Instrument]]
    """Raises Poison. One symbol that cannot be read is left out, not all."""
    next_page: Callable[[bytes], Request | None] = lambda _: None
    """What to ask after this answer to one of ``instruments``."""
    activity: Request
    read_activity: Callable[[bytes], dict[str, float]]
    """How busy each symbol is, as a number that can be compared between symbols."""
    in_base: Callable[[Data, str], Data] | None = None
    """(row, contract size) to the row in base coins, where the venue tells contracts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A venue. It never sees a socket or a clock."""

    name: str
    markets: Mapping[Channel, Market]
    heartbeat: Heartbeat | None
    subscribe: Callable[[Sequence[str], int], bytes]
    """Topics and a request id (small, grows by one per connection) to the frame."""
    unsubscribe: Callable[[Sequence[str], int], bytes]
