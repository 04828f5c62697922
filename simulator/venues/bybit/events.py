"""``kline`` and ``allLiquidation``: lists of events; a candle that closed comes before the next.

A candle opens at the close before it, and its high and low include that price.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import orjson

from simulator.feeds import Forced, Frames, LiquidationFeed, TimedFeed
from simulator.kline_streams import KlineRules, Update, kline_feed
from simulator.symbols import Symbol
from simulator.venues.bybit.texts import TURNOVER_DECIMALS, price_text, qty_text, quote_text
from simulator.venues.bybit.topics import INTERVALS_MS

if TYPE_CHECKING:
    from simulator.exchange import Exchange

RULES = KlineRules(push_ms=1_000, opens_at_close=True, is_without_holes=True)


def candle_feed(exchange: "Exchange", symbol: Symbol, interval: str) -> TimedFeed:
    """Return what tells the candles of a symbol."""
    length_ms = INTERVALS_MS[interval]

    def told(updates: Sequence[Update], now_ms: int) -> Frames:
        message = {
            "topic": f"kline.{interval}.{symbol.name}",
            "data": [_candle(symbol, update, interval, now_ms) for update in updates],
            "ts": now_ms,
            "type": "snapshot",
        }
        return (orjson.dumps(message),)

    return kline_feed(exchange, symbol.name, length_ms, RULES, told)


def _candle(symbol: Symbol, update: Update, interval: str, now_ms: int) -> dict[str, object]:
    candle = update.candle
    prices = {
        "open": candle.open,
        "close": candle.close,
        "high": candle.high,
        "low": candle.low,
    }
    end_ms = candle.open_ms + INTERVALS_MS[interval] - 1
    return {
        "start": candle.open_ms,
        "end": end_ms,
        "interval": interval,
        **{name: price_text(symbol, price, is_linear=False) for name, price in prices.items()},
        "volume": qty_text(symbol, candle.volume, is_linear=False),
        "turnover": quote_text(symbol, candle.quote_volume, TURNOVER_DECIMALS),
        "confirm": update.closed,
        "timestamp": min(now_ms, end_ms),
    }


def liquidation_feed(symbol: Symbol) -> LiquidationFeed:
    """Return what tells the liquidations of a symbol: ``S`` is the position's side."""

    def told(forced: Forced, now_ms: int) -> Frames:
        event = {
            "T": forced.ts_ms,
            "s": symbol.name,
            "S": "Buy" if forced.side < 0 else "Sell",
            "v": qty_text(symbol, forced.qty, is_linear=True),
            "p": price_text(symbol, forced.price, is_linear=True),
        }
        message = {
            "topic": f"allLiquidation.{symbol.name}",
            "type": "snapshot",
            "ts": max(now_ms, forced.ts_ms),
            "data": [event],
        }
        return (orjson.dumps(message),)

    return LiquidationFeed(encode=told)
