"""The simulator's own endpoints under ``/sim``: its truth, its switches and its faults."""

import asyncio
import re
import time
from collections.abc import Mapping

from simulator.candles import Candle, fold
from simulator.exchange import Exchange
from simulator.faults import BadRequestError, Fault
from simulator.ledger import Ledger

ROWS_MAX = 100_000  # in one answer
GARBAGE = b'{"e":"trade","E":17'


def trades(exchange: Exchange, query: Mapping[str, str]) -> dict[str, object]:
    """Rows of the truth as columns, from ``from_id`` on."""
    ledger = _ledger(exchange, query)
    limit = min(_int(query, "limit", 1_000), ROWS_MAX)
    low = max(_int(query, "from_id", 0), ledger.first_kept_id)
    part = ledger.copy(low, low + limit)
    rows = part.rows(low, low + limit)
    venue, symbol = exchange.venue, ledger.symbol
    return {
        "id": [row.id for row in rows],
        "ts": [row.ts_ms for row in rows],
        "price": [venue.price_text(symbol, row.price) for row in rows],
        "qty": [venue.qty_text(symbol, row.qty) for row in rows],
        "side": [row.side for row in rows],
        # A spot row is one trade, whatever its place in an aggregate.
        "first": [row.first for row in rows],
        "last": [row.last for row in rows],
        "sent_ns": part.sent_ns.tolist(),
    }


async def klines(exchange: Exchange, query: Mapping[str, str]) -> list[dict[str, object]]:
    """Candles of the rows of [from_ms, to_ms), only where something traded and all is kept."""
    ledger = _ledger(exchange, query)
    length_ms = _int(query, "interval_ms", 60_000)
    if length_ms < 1:
        raise BadRequestError("interval_ms is at least 1")
    from_ms, to_ms = _int(query, "from_ms", 0), _int(query, "to_ms", 2**62)
    low, high = ledger.id_at(from_ms), ledger.id_at(to_ms)
    part = ledger.copy(low, high)
    candles = await asyncio.to_thread(lambda: fold(part.rows(low, high), length_ms))
    whole = [c for c in candles if c.open_ms >= ledger.complete_from_ms]
    return [_candle(exchange, ledger, candle) for candle in whole]


def _candle(exchange: Exchange, ledger: Ledger, candle: Candle) -> dict[str, object]:
    venue, symbol = exchange.venue, ledger.symbol
    return {
        "timestamp": candle.open_ms,
        "open": venue.price_text(symbol, candle.open),
        "high": venue.price_text(symbol, candle.high),
        "low": venue.price_text(symbol, candle.low),
        "close": venue.price_text(symbol, candle.close),
        "volume": venue.qty_text(symbol, candle.volume),
        "quote_volume": venue.quote_text(symbol, candle.quote_volume),
        "taker_buy_volume": venue.qty_text(symbol, candle.taker_buy_volume),
        "taker_buy_quote_volume": venue.quote_text(symbol, candle.taker_buy_quote_volume),
        "trade_count": candle.trade_count,
        "first_id": candle.first_id,
        "last_id": candle.last_id,
    }


def inflict(exchange: Exchange, fault: Fault) -> int:
    """Make a fault happen; how many sockets, symbols or messages it touches."""
    now_ms = time.time_ns() // 1_000_000
    trouble, hub = exchange.trouble, exchange.hub
    if fault.symbol and fault.symbol not in exchange.ledgers:
        raise BadRequestError(f"{fault.symbol} does not trade here")
    match fault.kind:
        case "disconnect":
            return hub.drop_all()
        case "silence":
            trouble.silent_until_ms[fault.symbol] = now_ms + fault.seconds * 1_000
            return 1 if fault.symbol else len(exchange.symbols)
        case "delay":
            trouble.to_delay[fault.symbol] = (fault.count, int(fault.seconds * 1_000))
            return 1
        case "garbage":
            return _garbage(exchange, fault)
    repeated = trouble.last(fault.symbol, fault.count if fault.kind == "duplicate" else 1)
    for stream, payload in repeated:
        spoiled = re.sub(rb'"p":"[^"]*"', b'"p":"abc"', payload)
        hub.publish(stream, payload if fault.kind == "duplicate" else spoiled)
    hub.flush()
    return len(repeated)


def _garbage(exchange: Exchange, fault: Fault) -> int:
    wanted = {exchange.stream(n) for n in exchange.ledgers if fault.symbol in ("", n)}
    hit = [c for c in exchange.hub.connections if wanted & c.streams.keys()]
    for connection in hit:
        connection.reply(GARBAGE)
    return len(hit)


def _ledger(exchange: Exchange, query: Mapping[str, str]) -> Ledger:
    ledger = exchange.ledgers.get(query.get("symbol", ""))
    if ledger is None:
        raise BadRequestError(f"symbol {query.get('symbol', '')!r} does not trade here")
    return ledger


def _int(query: Mapping[str, str], name: str, default: int) -> int:
    try:
        return int(query.get(name, default))
    except ValueError:
        raise BadRequestError(f"{name} is a whole number") from None
