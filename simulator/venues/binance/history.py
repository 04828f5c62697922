"""Past trades and candles over REST: by id, by time, or the newest."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from simulator.candles import INTERVALS_MS, Candle, fold, open_time, series
from simulator.ledger import Ledger
from simulator.symbols import Symbol
from simulator.venues.binance.market import Market
from simulator.venues.binance.parameters import (
    RefusedError,
    limit_of,
    mandatory,
    symbol_of,
    whole,
)

if TYPE_CHECKING:
    from simulator.exchange import Exchange

HOUR_MS = 3_600_000
Json = dict[str, object]


def aggregate_trades(
    market: Market, exchange: "Exchange", query: Mapping[str, str], oldest_ms: int
) -> list[Json]:
    """``aggTrades``; what is older than ``oldest_ms`` is refused."""
    ledger = exchange.ledgers[symbol_of(query, exchange).name]
    limit = limit_of(market, query, 500, 1_000)
    from_id = whole(query, "fromId")
    start_ms, end_ms = whole(query, "startTime"), whole(query, "endTime")
    if from_id is not None and (start_ms is not None or end_ms is not None):
        raise RefusedError(-1128, "Combination of optional parameters invalid.")
    if start_ms is not None and end_ms is not None:
        if start_ms > end_ms:
            raise RefusedError(-1128, "Combination of optional parameters invalid.")
        if not market.is_spot and end_ms - start_ms >= HOUR_MS:
            raise RefusedError(-1127, "More than 1 hours between startTime and endTime.")
    low, high = 0, ledger.next_aggregate_id
    if end_ms is not None:
        high = ledger.aggregate_at(end_ms + 1)
    if from_id is not None:
        low = from_id
    elif start_ms is not None:
        low = ledger.aggregate_at(start_ms)
    else:  # the newest ones
        low = high - limit
    low = max(low, ledger.aggregate_at(0))
    if low < min(ledger.aggregate_at(oldest_ms), high):
        raise RefusedError(-1130, "Only trades of the last 24 hours are supported.")
    rows = ledger.aggregates(low, min(high, low + limit))
    symbol = ledger.symbol
    best_match = {"M": True} if market.is_spot else {}
    return [
        {
            "a": row.id,
            "p": market.price_text(symbol, row.price),
            "q": market.qty_text(symbol, row.qty),
            "f": row.first,
            "l": row.last,
            "T": row.ts_ms,
            "m": row.side < 0,
            **best_match,
        }
        for row in rows
    ]


def trades(market: Market, exchange: "Exchange", query: Mapping[str, str]) -> list[Json]:
    """``historicalTrades`` of spot: single trades from ``fromId`` on, or the newest."""
    ledger = exchange.ledgers[symbol_of(query, exchange).name]
    limit = limit_of(market, query, 500, 1_000)
    from_id = whole(query, "fromId")
    low = ledger.next_id - limit if from_id is None else from_id
    low = max(low, ledger.first_id)
    symbol = ledger.symbol
    return [
        {
            "id": row.id,
            "price": market.price_text(symbol, row.price),
            "qty": market.qty_text(symbol, row.qty),
            "quoteQty": market.quote_text(symbol, row.price * row.qty),
            "time": row.ts_ms,
            "isBuyerMaker": row.side < 0,
            "isBestMatch": True,
        }
        for row in ledger.rows(low, low + limit)
    ]


async def klines(
    market: Market, exchange: "Exchange", query: Mapping[str, str], now_ms: int
) -> list[list[object]]:
    """``klines``."""
    ledger = exchange.ledgers[symbol_of(query, exchange).name]
    name = mandatory(query, "interval")
    length_ms = INTERVALS_MS.get(name)
    if length_ms is None or (name == "1s" and not market.is_spot):
        raise RefusedError(-1120, "Invalid interval.")
    limit = limit_of(market, query, 500, 1_000 if market.is_spot else 1_500)
    start_ms, end_ms = whole(query, "startTime"), whole(query, "endTime")
    if start_ms is not None and end_ms is not None and start_ms > end_ms:
        raise RefusedError(-1128, "Combination of optional parameters invalid.")
    opens_ms = _open_times(ledger, length_ms, limit, start_ms, min(end_ms or now_ms, now_ms))
    if not opens_ms:
        return []
    low, high = ledger.id_at(opens_ms[0]), ledger.id_at(opens_ms[-1] + length_ms)
    before = ledger.rows(low - 1, low)
    rows = ledger.copy(low, high)
    candles = await asyncio.to_thread(lambda: fold(rows.rows(low, high), length_ms))
    close = before[0].price if before else None
    return [
        _kline(market, ledger.symbol, candle, length_ms)
        for candle in series(candles, opens_ms, close)
    ]


def _kline(market: Market, symbol: Symbol, candle: Candle, length_ms: int) -> list[object]:
    price, qty, quote = market.price_text, market.qty_text, market.quote_text
    return [
        candle.open_ms,
        price(symbol, candle.open),
        price(symbol, candle.high),
        price(symbol, candle.low),
        price(symbol, candle.close),
        qty(symbol, candle.volume),
        candle.open_ms + length_ms - 1,
        quote(symbol, candle.quote_volume),
        candle.trade_count,
        qty(symbol, candle.taker_buy_volume),
        quote(symbol, candle.taker_buy_quote_volume),
        "0",
    ]


def _open_times(
    ledger: Ledger, length_ms: int, limit: int, start_ms: int | None, end_ms: int
) -> range:
    """Which candles to show: whole ones only, where old rows were forgotten."""
    if not len(ledger):
        return range(0)
    last_ms = open_time(end_ms, length_ms)
    oldest_ms = open_time(max(ledger.ts_ms[0], ledger.complete_from_ms), length_ms)
    if ledger.complete_from_ms > oldest_ms:
        oldest_ms += length_ms
    if start_ms is None:
        first_ms = max(last_ms - (limit - 1) * length_ms, oldest_ms)
    else:
        first_ms = max(open_time(start_ms + length_ms - 1, length_ms), oldest_ms)
    end_of_page_ms = first_ms + limit * length_ms
    return range(first_ms, min(last_ms + 1, end_of_page_ms), length_ms)
