"""How Kraken writes: JSON numbers with every decimal, times with a Z, names in two ways."""

from datetime import UTC, datetime, timedelta

from simulator.numbers import decimal_text
from simulator.symbols import Symbol, traded

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
QTY_DECIMALS = 8
OLD_NAMES = {"BTC": "XBT", "DOGE": "XDG"}
"""REST calls them so; the socket refuses these names."""


def pairs(count: int, seed: int) -> list[Symbol]:
    """The first ``count`` symbols, busiest first, against the dollar."""
    return [_pair(symbol) for symbol in traded("spot", count, seed)]


def idle() -> list[Symbol]:
    """What is listed and does not trade."""
    return [Symbol("NANO/USD", "NANO", "USD", 4, 1, 8, 10_000, "cancel_only")]


def old_name(symbol: Symbol) -> str:
    """The pair's name on the old socket."""
    base, quote = (OLD_NAMES.get(part, part) for part in (symbol.base, symbol.quote))
    return f"{base}/{quote}"


def price(symbol: Symbol, units: int) -> str:
    """A price with all its decimals."""
    return decimal_text(units, symbol.price_scale)


def qty(symbol: Symbol, units: int) -> str:
    """A quantity with all its decimals."""
    return decimal_text(units, symbol.qty_scale, QTY_DECIMALS)


def time(ms: int, decimals: int = 6) -> str:
    """A time: six decimals, in some places nine."""
    text = (EPOCH + timedelta(milliseconds=ms)).strftime("%Y-%m-%dT%H:%M:%S.%f")
    return f"{text}{'0' * (decimals - 6)}Z"


def message(channel: str, kind: str, rows: str, now_ms: int | None = None) -> bytes:
    """A message of a channel; ``rows`` is JSON already, so that no number is written anew."""
    sent = "" if now_ms is None else f',"timestamp":"{time(now_ms, 9)}"'
    return f'{{"channel":"{channel}","type":"{kind}"{sent},"data":[{rows}]}}'.encode()


def _pair(symbol: Symbol) -> Symbol:
    return Symbol(
        f"{symbol.base}/USD",
        symbol.base,
        "USD",
        symbol.price_scale,
        symbol.tick,
        symbol.qty_scale,
        symbol.start_price,
    )
