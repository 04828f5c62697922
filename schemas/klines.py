"""Kline: one candle as a plain row, numbers exact, in the envelope of ``md.klines.v1``.

``(exchange, channel, symbol, interval, timestamp)`` is its identity. Of two rows with one identity
the higher ``rev`` is true; at equal ``rev`` a closed candle beats an open one.
"""

from decimal import Decimal
from typing import Literal

import msgspec

from schemas.trades import Channel

Cause = Literal["live", "late", "rest", "archive", "venue"]
Quality = Literal["proven", "assumed", "gap"]


class Kline(msgspec.Struct, frozen=True):
    """A candle; ``timestamp`` is its open time and ``interval`` its length, both in ms."""

    symbol: str
    interval: int
    timestamp: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    quote_volume: Decimal
    taker_buy_volume: Decimal
    taker_buy_quote_volume: Decimal
    trade_count: int
    first_id: int
    last_id: int
    closed: bool
    rev: int
    """The offset of the last trade record that changed it: a trade inside, or its proof."""
    cause: Cause
    quality: Quality
    """proven: no id is missing, up to the trade after it; gap: ``missing`` ids may belong here;
    assumed: nothing speaks against it, and nothing proves it."""
    missing: int

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
    price: Decimal
    ts: int
    rev: int


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
    first_id: int
    last_id: int
    from_ms: int
    to_ms: int
    missing: int
    state: Literal["found", "recovering", "recovered", "unrecoverable"]
    rev: int


class GapEnvelope(msgspec.Struct, frozen=True):
    """The value of ``md.gaps.v1``."""

    exchange: str
    channel: Channel
    data: list[Gap]
    data_type: Literal["gaps"] = "gaps"


decode_klines = msgspec.json.Decoder(KlineEnvelope).decode
decode_prices = msgspec.json.Decoder(PriceEnvelope).decode
decode_gaps = msgspec.json.Decoder(GapEnvelope).decode
