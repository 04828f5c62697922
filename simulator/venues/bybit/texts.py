"""How Bybit writes numbers: linear keeps every decimal of the tick, spot and klines none too many.

Values are integers of a symbol's scales; a product of price and quantity has the sum of both.
"""

from simulator.numbers import decimal_text, trimmed
from simulator.symbols import Symbol

VALUE_DECIMALS = 2
TURNOVER_DECIMALS = 4


def price_text(symbol: Symbol, price: int, *, is_linear: bool) -> str:
    """Return a price as trades and books tell it."""
    text = decimal_text(price, symbol.price_scale)
    return text if is_linear else trimmed(text)


def qty_text(symbol: Symbol, qty: int, *, is_linear: bool) -> str:
    """Return a quantity as trades and books tell it; a level without any is ``0``."""
    text = decimal_text(qty, symbol.qty_scale)
    return text if is_linear and qty else trimmed(text)


def quote_text(symbol: Symbol, amount: int, decimals: int) -> str:
    """Return an amount of quote coins, rounded down to so many decimals."""
    scale = symbol.price_scale + symbol.qty_scale
    if scale > decimals:
        amount, scale = amount // 10 ** (scale - decimals), decimals
    return decimal_text(amount, scale, decimals)


def percent_text(change: int, first: int) -> str:
    """Return a change as a fraction of the first price, to six decimals."""
    return decimal_text(change * 1_000_000 // first if first else 0, 6)
