"""Hyperliquid's names and decimals: five significant digits, cheap coins by the thousand.

A price has at most ``6 - szDecimals`` decimals, and every number is written with at least one.
"""

from dataclasses import replace

from simulator.numbers import decimal_text, trimmed
from simulator.symbols import Symbol, traded

SIGNIFICANT_DIGITS = 5
PRICE_DECIMALS_MAX = 6
CHEAP_BELOW_E3 = 50
"""In thousandths of a dollar: a cheaper coin is quoted per thousand, as kPEPE is."""


def perpetuals(count: int, seed: int) -> list[Symbol]:
    """The first ``count`` symbols, busiest first."""
    return [_perpetual(symbol) for symbol in traded("linear", count, seed)]


def delisted() -> list[Symbol]:
    """What ``meta`` still names, and nobody trades."""
    known = [Symbol("MATIC", "MATIC", "USDC", 4, 1, 1, 5_000, "delisted")]
    return [*known, replace(known[0], name="FTM", base="FTM")]


def number(units: int, scale: int) -> str:
    """A number as the venue writes it: no zeros at the end, but one decimal at least.

    >>> number(6801200, 2), number(5, 3), number(7, 0)
    ('68012.0', '0.005', '7.0')
    """
    text = trimmed(decimal_text(units, scale))
    return text if "." in text else f"{text}.0"


def _perpetual(symbol: Symbol) -> Symbol:
    price, scale, base = symbol.start_price, symbol.price_scale, symbol.base
    if price * 1_000 < CHEAP_BELOW_E3 * 10**scale:
        price, base = price * 1_000, f"k{base}"
    whole_digits = len(str(price // 10**scale)) if price >= 10**scale else 0
    qty_scale = min(whole_digits, SIGNIFICANT_DIGITS)
    price_scale = max(0, min(PRICE_DECIMALS_MAX - qty_scale, SIGNIFICANT_DIGITS - whole_digits))
    return Symbol(
        base, base, "USDC", price_scale, 1, qty_scale, price * 10**price_scale // 10**scale
    )
