"""What REST tells of the past: the newest trades and candles, newest first, no cursor."""

import asyncio
from collections.abc import Mapping

from simulator.candles import Candle, fold, open_time, series
from simulator.ledger import Ledger
from simulator.symbols import Symbol
from simulator.venues.bybit.texts import TURNOVER_DECIMALS, price_text, qty_text, quote_text
from simulator.venues.bybit.trades import RPI_EVERY, linear_uid, sequence, spot_id

CANDLES_MAX = 1_000


def recent_trades(ledger: Ledger, limit: int, *, is_linear: bool) -> list[dict[str, object]]:
    """Return the newest trades, the youngest first."""
    symbol = ledger.symbol
    rows = ledger.rows(max(ledger.next_id - limit, ledger.first_id), ledger.next_id)
    return [
        {
            "execId": linear_uid(symbol, row) if is_linear else str(spot_id(row)),
            "symbol": symbol.name,
            "price": price_text(symbol, row.price, is_linear=is_linear),
            "size": qty_text(symbol, row.qty, is_linear=is_linear),
            "side": "Buy" if row.side > 0 else "Sell",
            "time": str(row.ts_ms),
            "isBlockTrade": False,
            "isRPITrade": row.id % RPI_EVERY == 0,
            "seq": str(sequence(row.ts_ms)),
        }
        for row in reversed(rows)
    ]


async def klines(
    ledger: Ledger, length_ms: int, query: Mapping[str, int], now_ms: int
) -> list[list[str]]:
    """Return candles, the youngest first; only of times whose trades are all kept."""
    limit = min(query.get("limit", 200), CANDLES_MAX)
    last_ms = open_time(min(query.get("end", now_ms), now_ms), length_ms)
    kept_ms = max(ledger.ts_ms[0], ledger.complete_from_ms) if len(ledger) else now_ms
    first_ms = open_time(kept_ms + length_ms - 1, length_ms)
    if "start" in query:
        first_ms = max(first_ms, open_time(query["start"] + length_ms - 1, length_ms))
    opens_ms = range(max(first_ms, last_ms - (limit - 1) * length_ms), last_ms + 1, length_ms)
    if not opens_ms:
        return []
    low, high = ledger.id_at(opens_ms[0]), ledger.id_at(opens_ms[-1] + length_ms)
    before = ledger.rows(low - 1, low)
    rows = ledger.copy(low, high)
    candles = await asyncio.to_thread(lambda: fold(rows.rows(low, high), length_ms))
    close = before[0].price if before else None
    told = [
        _candle(ledger.symbol, candle)
        for candle in _chained(series(candles, opens_ms, close), close)
    ]
    return told[::-1]


def _chained(candles: list[Candle], close: int | None) -> list[Candle]:
    """Let each candle open at the close before it."""
    for candle in candles:
        if close is not None:
            candle.open = close
            candle.high, candle.low = max(candle.high, close), min(candle.low, close)
        close = candle.close
    return candles


def _candle(symbol: Symbol, candle: Candle) -> list[str]:
    prices = (candle.open, candle.high, candle.low, candle.close)
    return [
        str(candle.open_ms),
        *(price_text(symbol, price, is_linear=False) for price in prices),
        qty_text(symbol, candle.volume, is_linear=False),
        quote_text(symbol, candle.quote_volume, TURNOVER_DECIMALS),
    ]
