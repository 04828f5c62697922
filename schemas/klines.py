"""Kline: one candle as a plain row, numbers exact, in the envelope of ``md.klines.v1``.

``(exchange, channel, symbol, interval, anchor, timestamp)`` is its identity. Of two rows with one
identity the higher ``rev`` is true; at equal ``rev`` a closed candle beats an open one.
"""

from decimal import Decimal
from typing import Literal

import msgspec

from schemas.intervals import Interval
from schemas.streams import Kind
from schemas.trades import Channel

Cause = Literal["live", "late", "rest", "archive", "venue"]
Quality = Literal["proven", "assumed", "gap"]


class Kline(msgspec.Struct, frozen=True):
    """A candle; ``timestamp`` is its open time and ``interval`` its length, both in ms."""

    symbol: str
    """The venue's own name."""
    interval: int
    """The candle's length in ms; of a month 30 days, whatever its calendar says."""
    timestamp: int
    """Its open time in ms since 1970: a multiple of the length, where there is no ``anchor``."""
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    """In the base coin."""
    quote_volume: Decimal
    """In the quote coin: the sum of price times quantity."""
    taker_buy_volume: Decimal
    """The part of ``volume`` whose taker bought."""
    taker_buy_quote_volume: Decimal
    """The part of ``quote_volume`` whose taker bought."""
    trade_count: int
    """As the venue counts: an aggregate counts the trades inside it."""
    first_id: int
    """The id of its first trade by (time, id); by (time, arrival) where ids have no order."""
    last_id: int
    """The id of its last trade, by the same order."""
    closed: bool
    """False while it still grows; a closed candle may be corrected by a higher ``rev``."""
    rev: int
    """The offset of the last trade record that changed it: a trade inside, or its proof."""
    cause: Cause
    """Why this revision exists: a trade in time, a late one, or where a fetched one came from."""
    quality: Quality
    """proven: no id is missing, up to the trade after it; gap: ``missing`` ids may belong here, or
    (0) the stream began inside it; assumed: nothing speaks against it, and nothing proves it."""
    missing: int
    """How many ids that may belong here never came."""
    anchor: str = ""
    """Where its windows open, where that is not the epoch: mon, month, tz=Asia/Tokyo, funding."""

    @property
    def frame(self) -> Interval:
        """Return its interval: length and anchor together are part of its identity."""
        return Interval(self.interval, self.anchor)

    @property
    def version(self) -> int:
        """Return the number by which the later of two revisions is told."""
        return 2 * self.rev + self.closed


class KlineEnvelope(msgspec.Struct, frozen=True):
    """The value of ``md.klines.v1`` and ``md.klines-live.v1``: candles of one symbol."""

    exchange: str
    channel: Channel
    data: list[Kline]
    recv_ms: int
    """When the newest trade in it was received by the ingestor."""
    data_type: Literal["klines"] = "klines"


class Price(msgspec.Struct, frozen=True):
    """The last price of a symbol; ``ts`` is the venue's time in ms."""

    symbol: str
    """The venue's own name."""
    price: Decimal
    ts: int
    """The venue's time of that trade, in ms since 1970."""
    rev: int
    """The offset of the trade record it came with."""


class PriceEnvelope(msgspec.Struct, frozen=True):
    """The value of ``md.prices.v1``."""

    exchange: str
    channel: Channel
    data: list[Price]
    recv_ms: int
    data_type: Literal["price"] = "price"


class Gap(msgspec.Struct, frozen=True):
    """Ids ``first_id..last_id`` never came; their times lie in ``[from_ms, to_ms]``."""

    symbol: str
    """The venue's own name."""
    first_id: int
    last_id: int
    from_ms: int
    """The time of the trade before the gap."""
    to_ms: int
    """The time of the trade after the gap."""
    missing: int
    """How many of its ids are still missing."""
    state: Literal["found", "recovering", "recovered", "unrecoverable"]
    rev: int
    """The offset of the trade record that changed it."""


class GapEnvelope(msgspec.Struct, frozen=True, tag_field="data_type", tag="gaps"):
    """The value of ``md.gaps.v1`` about ids, as the processor tells it."""

    exchange: str
    channel: Channel
    data: list[Gap]


GapReason = Literal["silent", "disconnected", "hole", "crossed", "checksum", "refused"]


class StreamGap(msgspec.Struct, frozen=True, kw_only=True):
    """A stream did not deliver, or could not be trusted, from ``from_ms`` on (our clock)."""

    symbol: str
    """The venue's own name; empty: every symbol of the socket."""
    kind: Kind
    reason: GapReason
    """silent: acknowledged, and no data though the venue trades; hole, crossed, checksum: a book
    lost its chain, its best prices met, or it differs from the venue's own."""
    state: Literal["found", "recovered", "unrecoverable"]
    """recovered: the stream is whole again, and, told once more, its trades are fetched too;
    unrecoverable: they can no longer be had."""
    from_ms: int
    to_ms: int = 0
    """When it was whole again; 0 while it is not."""
    detail: str = ""


class StreamGapEnvelope(msgspec.Struct, frozen=True, tag_field="data_type", tag="stream-gaps"):
    """The value of ``md.gaps.v1`` about streams, as the ingestor tells it."""

    exchange: str
    channel: Channel
    data: list[StreamGap]


decode_klines = msgspec.json.Decoder(KlineEnvelope).decode
decode_prices = msgspec.json.Decoder(PriceEnvelope).decode
decode_gaps = msgspec.json.Decoder(GapEnvelope | StreamGapEnvelope).decode
decode_id_gaps = msgspec.json.Decoder(GapEnvelope).decode
