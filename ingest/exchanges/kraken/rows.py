"""Kraken's trades and candles, typed, and their way to rows."""

from collections.abc import Sequence
from typing import Annotated, Literal

from msgspec import Meta, Raw, Struct
from msgspec.json import Decoder

from ingest.decimals import digits
from ingest.exchanges.base import TradeRow
from ingest.exchanges.kraken.numbers import exact, milliseconds, written
from schemas.numbers import INT64_MAX
from schemas.trades import BUY, SELL, Flag
from schemas.updates import VenueKline

Id = Annotated[int, Meta(ge=0, le=INT64_MAX)]
Text = Annotated[str, Meta(min_length=1, max_length=40)]
MINUTE_MS = 60_000


class _Trade(Struct, gc=False):
    symbol: Text
    side: Literal["buy", "sell"]
    price: Raw
    qty: Raw
    trade_id: Id
    timestamp: str


class _Candle(Struct, gc=False):
    symbol: Text
    open: Raw
    high: Raw
    low: Raw
    close: Raw
    trades: Id
    volume: Raw
    interval: Literal[1, 5, 15, 30, 60, 240, 1440, 10080, 21600]
    interval_begin: str
    """``timestamp``, its end, is deprecated."""


_trades = Decoder(list[_Trade]).decode
_candles = Decoder(list[_Candle]).decode


def trade_rows(data: Raw, *, is_snapshot: bool) -> Sequence[TradeRow]:
    """Return the trades; a snapshot repeats the last 50, so they are flagged as history."""
    flags = Flag.HISTORY.value if is_snapshot else 0
    return [_trade_row(trade, flags) for trade in _trades(data)]


def _trade_row(trade: _Trade, flags: int) -> TradeRow:
    price, price_scale = digits(written("price", trade.price))
    qty, qty_scale = digits(written("qty", trade.qty))
    return TradeRow(
        "trade",
        trade.symbol,
        trade.trade_id,
        milliseconds("timestamp", trade.timestamp),
        price,
        price_scale,
        qty,
        qty_scale,
        BUY if trade.side == "buy" else SELL,
        flags,
        trade.trade_id,
        trade.trade_id,
    )


def kline_rows(data: Raw, sent: str | None) -> Sequence[VenueKline]:
    """Return the candles as of ``sent``; one that ended before it was sent is closed.

    Candles are sent when there are trades, so nobody says that the running one has ended until
    the next one begins. ``vwap`` is cut to the decimals of the price: no quote volume follows
    from it.
    """
    sent_ms = None if sent is None else milliseconds("timestamp", sent)
    return [_kline_row(candle, sent_ms) for candle in _candles(data)]


def _kline_row(candle: _Candle, sent_ms: int | None) -> VenueKline:
    begin_ms = milliseconds("interval_begin", candle.interval_begin)
    length_ms = candle.interval * MINUTE_MS
    return VenueKline(
        symbol=candle.symbol,
        interval=length_ms,
        name=str(candle.interval),
        timestamp=begin_ms,
        open=exact("open", candle.open),
        high=exact("high", candle.high),
        low=exact("low", candle.low),
        close=exact("close", candle.close),
        volume=exact("volume", candle.volume),
        closed=sent_ms is not None and sent_ms >= begin_ms + length_ms,
        ts=begin_ms if sent_ms is None else sent_ms,
        trade_count=candle.trades,
    )
