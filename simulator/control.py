"""The simulator's own questions under ``/sim``: what is true of a market, as of now."""

import asyncio
from collections.abc import Iterator, Mapping

from simulator.book import Levels
from simulator.candles import Candle, fold
from simulator.exchange import Exchange
from simulator.faults import BadRequestError
from simulator.inflict import GARBAGE, inflict
from simulator.ledger import Ledger, Row
from simulator.numbers import decimal_text
from simulator.symbols import Symbol

__all__ = ["GARBAGE", "books", "inflict", "klines", "liquidations", "states", "trades"]

ROWS_MAX = 100_000  # in one answer
Json = dict[str, object]


def trades(exchange: Exchange, query: Mapping[str, str]) -> Json:
    """Rows of the truth as columns, from row ``from_row`` on (or ``from_id``, the same here).

    ``row`` is the place in the truth and grows by one; ``id`` is the venue's own number.
    """
    ledger = _ledger(exchange, query)
    limit = min(_int(query, "limit", 1_000), ROWS_MAX)
    wanted = _int(query, "from_row", _int(query, "from_id", 0))
    low = max(wanted, ledger.first_id)
    rows = ledger.rows(low, low + limit)
    kept_from = max(low, ledger.first_kept_id)
    sent_ns = ledger.copy(kept_from, low + limit).sent_ns.tolist()
    dialect, symbol = exchange.dialect, ledger.symbol
    return {
        "row": [row.id for row in rows],
        "id": [dialect.trade_id(symbol, row) for row in rows],
        "uid": [dialect.trade_uid(symbol, row) for row in rows],
        "ts": [row.ts_ms for row in rows],
        "price": [decimal_text(row.price, symbol.price_scale) for row in rows],
        "qty": [decimal_text(row.qty, symbol.qty_scale) for row in rows],
        "side": [row.side for row in rows],
        # A single trade is one trade, whatever its place in an aggregate.
        "first": [row.first for row in rows],
        "last": [row.last for row in rows],
        "count": [row.last - row.first + 1 for row in rows],
        "sent_ns": [0] * (len(rows) - len(sent_ns)) + sent_ns,
    }


async def klines(exchange: Exchange, query: Mapping[str, str]) -> list[Json]:
    """Candles of the rows of [from_ms, to_ms), only where something traded and all is kept."""
    ledger = _ledger(exchange, query)
    length_ms = _int(query, "interval_ms", 60_000)
    if length_ms < 1:
        raise BadRequestError("interval_ms is at least 1")
    kept_ms = ledger.past.until_ms if ledger.past else 0  # the past is told to who asks for it
    from_ms, to_ms = _int(query, "from_ms", kept_ms), _int(query, "to_ms", 2**62)
    low, high = ledger.id_at(from_ms), ledger.id_at(to_ms)
    part = ledger.copy(max(low, ledger.first_kept_id), high)
    part.past = ledger.past
    candles = await asyncio.to_thread(lambda: fold(_each(part, low, high), length_ms))
    whole = [c for c in candles if c.open_ms >= ledger.complete_from_ms or c.open_ms < kept_ms]
    return [_candle(exchange, part, candle) for candle in whole]


def _each(ledger: Ledger, low: int, high: int) -> Iterator[Row]:
    for at in range(low, high, ROWS_MAX):
        yield from ledger.rows(at, min(at + ROWS_MAX, high))


def _candle(exchange: Exchange, ledger: Ledger, candle: Candle) -> Json:
    symbol = ledger.symbol
    price_scale, qty_scale = symbol.price_scale, symbol.qty_scale
    first, last = (
        exchange.dialect.trade_id(symbol, ledger.rows(row_id, row_id + 1)[0])
        for row_id in (candle.first_id, candle.last_id)
    )
    return {
        "timestamp": candle.open_ms,
        "open": decimal_text(candle.open, price_scale),
        "high": decimal_text(candle.high, price_scale),
        "low": decimal_text(candle.low, price_scale),
        "close": decimal_text(candle.close, price_scale),
        "volume": decimal_text(candle.volume, qty_scale),
        "quote_volume": decimal_text(candle.quote_volume, price_scale + qty_scale),
        "taker_buy_volume": decimal_text(candle.taker_buy_volume, qty_scale),
        "taker_buy_quote_volume": decimal_text(
            candle.taker_buy_quote_volume, price_scale + qty_scale
        ),
        "trade_count": candle.trade_count,
        "first_id": first,
        "last_id": last,
    }


def books(exchange: Exchange, query: Mapping[str, str]) -> Json:
    """The book of a symbol as it stands, best levels first, in base coins.

    ``tops`` adds the best levels after each of its last changes.
    """
    symbol = _ledger(exchange, query).symbol
    book = exchange.book(symbol.name)
    bids, asks = book.top(max(1, min(_int(query, "depth", ROWS_MAX), ROWS_MAX)))
    told: dict[str, object] = {
        "id": book.last_id,
        "number": book.number,
        "ts": book.ts_ms,
        "bids": _levels(symbol, bids),
        "asks": _levels(symbol, asks),
    }
    if "tops" in query:  # a venue may tell its book rarely: what it told was true a moment ago
        told["tops"] = [
            {"ts": ts_ms, "bids": _levels(symbol, best_bids), "asks": _levels(symbol, best_asks)}
            for ts_ms, best_bids, best_asks in book.tops
        ]
    return told


def _levels(symbol: Symbol, levels: Levels) -> list[list[str]]:
    return [
        [decimal_text(price, symbol.price_scale), decimal_text(qty, symbol.qty_scale)]
        for price, qty in levels
    ]


def states(exchange: Exchange, query: Mapping[str, str], now_ms: int) -> Json:
    """Mark, index, funding and open interest of a symbol, and its statistics."""
    symbol = _ledger(exchange, query).symbol
    state = exchange.state(symbol.name, now_ms)
    prices = ("mark", "index", "last", "open", "high", "low")
    amounts = ("open_interest", "volume", "last_qty")
    return {
        "ts": state.ts_ms,
        **{name: decimal_text(getattr(state, name), symbol.price_scale) for name in prices},
        **{name: decimal_text(getattr(state, name), symbol.qty_scale) for name in amounts},
        "turnover": decimal_text(state.turnover, symbol.price_scale + symbol.qty_scale),
        "trades": state.trades,
        "funding_rate": decimal_text(state.funding_rate, 8),
        "next_funding_ms": state.next_funding_ms,
    }


def liquidations(exchange: Exchange, query: Mapping[str, str]) -> list[Json]:
    """The liquidations of a symbol, or of all; the newest 10,000 are kept."""
    name = query.get("symbol", "")
    return [
        {
            "symbol": forced.symbol.name,
            "ts": forced.ts_ms,
            "side": forced.side,
            "price": decimal_text(forced.price, forced.symbol.price_scale),
            "qty": decimal_text(forced.qty, forced.symbol.qty_scale),
        }
        for forced in exchange.liquidations
        if name in ("", forced.symbol.name)
    ]


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
