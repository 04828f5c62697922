"""MarketStats: the last 24 hours of a symbol, from its closed candles of one minute."""

from decimal import Decimal
from typing import Literal

import msgspec

from schemas.klines import Quality
from schemas.trades import Channel


class MarketStats(msgspec.Struct, frozen=True):
    """24 hours that end with a whole minute; prices are null in hours without a trade.

    Of two rows of a symbol the higher ``rev`` is true, equal ones are the same.
    """

    symbol: str
    """The venue's own name."""
    from_ms: int
    """``to_ms`` less 24 hours."""
    to_ms: int
    """The end of the newest minute that is known to be over."""
    open_price: Decimal | None
    """Of its first candle with a trade."""
    high_price: Decimal | None
    low_price: Decimal | None
    last_price: Decimal
    """The close of the newest candle, even where that is older."""
    change: Decimal | None
    """``last_price - open_price``."""
    change_percent: Decimal | None
    """``100 * change / open_price``, 6 decimals."""
    weighted_avg_price: Decimal | None
    """``quote_volume / volume``, 16 digits."""
    volume: Decimal
    """In the base coin."""
    quote_volume: Decimal
    """In the quote coin."""
    taker_buy_share: Decimal | None
    """The part of ``volume`` whose taker bought: 0 to 1, 6 decimals."""
    trade_count: int
    minutes: int
    """How many of the 1,440 minutes are covered; the rest lies before the first known candle."""
    candles: int
    """How many of them have a candle with a trade."""
    gap_minutes: int
    """How many of them have a candle whose quality is gap."""
    quality: Quality
    """gap: minutes are not covered, or a candle is a gap; proven: every candle with a trade is;
    assumed: nothing speaks against it, and nothing proves it."""
    rev: int
    """The offset of the record on ``md.klines.v1`` that changed it last."""


class MarketStatsEnvelope(msgspec.Struct, frozen=True):
    """The value of ``md.market-stats.v1``."""

    exchange: str
    channel: Channel
    data: list[MarketStats]
    recv_ms: int
    """When the ingestor had the newest trade in the record of ``rev``."""
    data_type: Literal["market-stats"] = "market-stats"


decode_stats = msgspec.json.Decoder(MarketStatsEnvelope).decode
