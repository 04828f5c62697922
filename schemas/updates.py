"""What the other raw topics carry: the updates of one exchange, channel, kind, partition and tick.

Rows stand in the order in which they came; ``ts`` is the venue's time in ms (0: it tells none),
``recv_ns`` ours.
Numbers are exact: JSON numbers with all their digits, or integers with their scale (books).
"""

from decimal import Decimal
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from schemas.trades import Channel, ExchangeName, Int64, Millis, Scale

Level = tuple[Int64, Int64]
"""Price and quantity; quantity 0 takes the price out of the book."""


def _camel(name: str) -> str:
    """``price_24h_pcnt`` is ``price24hPcnt``: a part that begins with a digit stays as it is."""
    first, *others = name.split("_")
    return first + "".join(part[0].upper() + part[1:] for part in others)


class Ticker(msgspec.Struct, frozen=True, omit_defaults=True, rename=_camel):
    """What a venue says about the state of a symbol; a field left out has not changed."""

    symbol: str
    ts: Millis
    is_snapshot: bool
    """True: fields left out do not exist; False: they are as they were."""
    last_price: Decimal | None = None
    last_size: Decimal | None = None
    tick_direction: str | None = None
    price_24h_pcnt: Decimal | None = None
    """A fraction: 0.01 is one percent."""
    prev_price_24h: Decimal | None = None
    prev_price_1h: Decimal | None = None
    high_price_24h: Decimal | None = None
    low_price_24h: Decimal | None = None
    volume_24h: Decimal | None = None
    """In the base coin."""
    turnover_24h: Decimal | None = None
    """In the quote coin."""
    trade_count_24h: int | None = None
    bid1_price: Decimal | None = None
    bid1_size: Decimal | None = None
    ask1_price: Decimal | None = None
    ask1_size: Decimal | None = None
    mark_price: Decimal | None = None
    index_price: Decimal | None = None
    usd_index_price: Decimal | None = None
    open_interest: Decimal | None = None
    """In the base coin."""
    open_interest_value: Decimal | None = None
    funding_rate: Decimal | None = None
    next_funding_time: Millis | None = None
    funding_interval_hour: Decimal | None = None
    funding_cap: Decimal | None = None
    update_id: int | None = None
    """Of the book, where the venue ties its best prices to it."""


class Book(msgspec.Struct, frozen=True, omit_defaults=True):
    """A snapshot replaces the book, a delta changes it; the chain was checked at ingest.

    ``first_id..last_id`` are the venue's update ids inside, ``prev_id`` the one before; a reader
    starts at a snapshot and applies the deltas after it, in order.
    """

    symbol: str
    ts: Millis
    type: Literal["snapshot", "delta"]
    first_id: int
    last_id: int
    price_scale: Scale
    qty_scale: Scale
    bids: list[Level]
    asks: list[Level]
    prev_id: int | None = None


class Funding(msgspec.Struct, frozen=True, omit_defaults=True):
    """Funding and the prices it is made of; what a venue does not tell is left out."""

    symbol: str
    ts: Millis
    funding_rate: Decimal | None = None
    """Of the interval that is running: 0.0001 is 0.01 percent."""
    next_funding_ms: Millis | None = None
    interval_hours: Decimal | None = None
    mark_price: Decimal | None = None
    index_price: Decimal | None = None


class OpenInterest(msgspec.Struct, frozen=True, omit_defaults=True):
    """The open contracts of a symbol, in the base coin; ``value`` in the quote coin."""

    symbol: str
    ts: Millis
    open_interest: Decimal
    value: Decimal | None = None


class Liquidation(msgspec.Struct, frozen=True, omit_defaults=True):
    """A forced order; ``side`` is the ORDER's: -1 sells, so a long was liquidated."""

    symbol: str
    ts: Millis
    side: int
    price: Decimal
    """What the venue tells: the order's, the bankruptcy's or the average price."""
    qty: Decimal
    """In the base coin."""
    is_history: bool = False
    """Told on subscribing, not as it happened."""


class VenueKline(msgspec.Struct, frozen=True, omit_defaults=True):
    """A venue's own candle; ``timestamp`` is its open time and ``interval`` its length, in ms.

    A month and a week have no fixed length: ``interval`` is 30 and 7 days, ``name`` tells.
    """

    symbol: str
    interval: int
    name: str
    """The venue's own word for the interval."""
    timestamp: Millis
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    """In the base coin."""
    closed: bool
    ts: Millis
    """The venue's time of this update."""
    quote_volume: Decimal | None = None
    taker_buy_volume: Decimal | None = None
    taker_buy_quote_volume: Decimal | None = None
    trade_count: int | None = None


class _Updates(msgspec.Struct, kw_only=True):
    exchange: ExchangeName
    channel: Channel
    recv_ns: Int64
    """When the ingestor had the youngest of them, in ns since 1970."""
    v: Literal[1] = 1


class TickerUpdates(_Updates, kw_only=True):
    """The value of ``md.tickers.v1``."""

    data: Annotated[list[Ticker], Meta(min_length=1)]
    data_type: Literal["tickers"] = "tickers"


class BookUpdates(_Updates, kw_only=True):
    """The value of ``md.books.v1``."""

    data: Annotated[list[Book], Meta(min_length=1)]
    data_type: Literal["books"] = "books"


class FundingUpdates(_Updates, kw_only=True):
    """The value of ``md.funding.v1``."""

    data: Annotated[list[Funding], Meta(min_length=1)]
    data_type: Literal["funding"] = "funding"


class OpenInterestUpdates(_Updates, kw_only=True):
    """The value of ``md.open-interest.v1``."""

    data: Annotated[list[OpenInterest], Meta(min_length=1)]
    data_type: Literal["open-interest"] = "open-interest"


class LiquidationUpdates(_Updates, kw_only=True):
    """The value of ``md.liquidations.v1``."""

    data: Annotated[list[Liquidation], Meta(min_length=1)]
    data_type: Literal["liquidations"] = "liquidations"


class VenueKlineUpdates(_Updates, kw_only=True):
    """The value of ``md.venue-klines.v1``."""

    data: Annotated[list[VenueKline], Meta(min_length=1)]
    data_type: Literal["venue-klines"] = "venue-klines"


Update = Ticker | Book | Funding | OpenInterest | Liquidation | VenueKline
Updates = (
    TickerUpdates
    | BookUpdates
    | FundingUpdates
    | OpenInterestUpdates
    | LiquidationUpdates
    | VenueKlineUpdates
)

encode_updates = msgspec.json.Encoder(decimal_format="number").encode
