"""Faults happen: a wish becomes trouble, or strikes at once."""

import time

from simulator.delivery import BIG_BOOK_LEVELS
from simulator.exchange import Exchange
from simulator.faults import ALIASES, BOOKS_ONLY, FAULTS, BadRequestError, Fault

GARBAGE = b'{"e":"trade","E":17'


def inflict(exchange: Exchange, fault: Fault) -> int:
    """Make a fault happen; how many sockets, symbols, streams or messages it touches."""
    now_ms = time.time_ns() // 1_000_000
    trouble = exchange.trouble
    symbols = _symbols(exchange, fault)
    kind = fault.stream or FAULTS[ALIASES.get(fault.kind, fault.kind)] or ""
    until_ms = now_ms + fault.seconds * 1_000
    touched = 1
    match fault.kind:
        case "disconnect":
            touched = exchange.delivery.cut_all()
        case "silence":
            trouble.silent_until_ms[kind, fault.symbol] = until_ms
            touched = len(symbols)
        case "rate_limit":
            trouble.limited_until_ms, trouble.asks_while_limited = until_ms, 0
        case "garbage":
            touched = _garbage(exchange, kind, fault.symbol)
        case "reset":
            touched = sum(exchange.delivery.restart_book(name, now_ms) for name in symbols)
        case "crossed":
            for name in symbols:
                exchange.book(name).crossed_until_ms = int(until_ms)
            touched = len(symbols)
        case "duplicate" | "text_number":
            touched = _repeat(exchange, fault, kind)
        case _:  # hole, late, big_frame: it hits what comes next
            _wish(exchange, fault, kind, symbols, now_ms)
    return touched


def _symbols(exchange: Exchange, fault: Fault) -> list[str]:
    """The symbols that a fault is about: a book that nobody looks at needs none."""
    if not fault.symbol:
        return exchange.books if fault.kind in BOOKS_ONLY else list(exchange.ledgers)
    if fault.symbol not in exchange.ledgers:
        raise BadRequestError(f"{fault.symbol} does not trade here")
    return [fault.symbol]


def _wish(exchange: Exchange, fault: Fault, kind: str, symbols: list[str], now_ms: int) -> None:
    exchange.trouble.wish(fault, now_ms)
    if fault.kind == "big_frame" and kind == "books":
        for name in symbols[:1]:
            until_ms = now_ms + int(fault.seconds * 1_000)
            exchange.book(name).deepen(BIG_BOOK_LEVELS, until_ms)


def _garbage(exchange: Exchange, kind: str, symbol: str) -> int:
    hit = [
        connection
        for connection in exchange.hub.connections
        if any(
            kind in ("", stream.kind) and symbol in ("", stream.symbol)
            for stream in connection.streams
        )
    ]
    for connection in hit:
        connection.reply(GARBAGE)
    return len(hit)


def _repeat(exchange: Exchange, fault: Fault, kind: str) -> int:
    """Send the last messages again; ``text_number`` spoils the last one."""
    is_spoiled = fault.kind == "text_number"
    repeated = exchange.trouble.last(kind, fault.symbol, 1 if is_spoiled else fault.count)
    for stream, message in repeated:
        exchange.hub.publish(stream, exchange.dialect.spoil(message) if is_spoiled else message)
    exchange.hub.flush()
    return len(repeated)
