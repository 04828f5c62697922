"""The symbols that are traded: real-looking names, ticks and steps, then generated names.

``price_scale + qty_scale`` never exceeds 8: a quote volume fits the venue's eight decimals.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from random import Random

# base, quote, price, spot (decimals of price, of quantity), linear (of price, tick, of quantity)
_Row = tuple[str, str, str, tuple[int, int], tuple[int, int, int]]
_KNOWN: tuple[_Row, ...] = (
    ("BTC", "USDT", "68012.40", (2, 5), (2, 10, 3)),
    ("ETH", "USDT", "3521.07", (2, 4), (2, 1, 3)),
    ("SOL", "USDT", "172.43", (2, 3), (4, 100, 0)),
    ("BNB", "USDT", "601.20", (2, 3), (3, 10, 2)),
    ("XRP", "USDT", "0.6214", (4, 0), (4, 1, 1)),
    ("DOGE", "USDT", "0.15832", (5, 0), (6, 10, 0)),
    ("ADA", "USDT", "0.4521", (4, 1), (5, 10, 0)),
    ("AVAX", "USDT", "35.61", (2, 2), (4, 10, 0)),
    ("LINK", "USDT", "17.42", (2, 2), (3, 1, 2)),
    ("TRX", "USDT", "0.1213", (4, 1), (5, 1, 0)),
    ("LTC", "USDT", "83.47", (2, 3), (2, 1, 3)),
    ("NEAR", "USDT", "7.352", (3, 1), (4, 10, 0)),
    ("DOT", "USDT", "7.133", (3, 2), (3, 1, 1)),
    ("UNI", "USDT", "9.842", (3, 2), (4, 10, 0)),
    ("ATOM", "USDT", "8.531", (3, 2), (3, 1, 2)),
    ("ARB", "USDT", "1.0932", (4, 1), (6, 100, 1)),
    ("OP", "USDT", "2.481", (3, 2), (7, 1000, 1)),
    ("SUI", "USDT", "1.0513", (4, 1), (6, 100, 1)),
    ("FIL", "USDT", "5.972", (3, 2), (3, 1, 1)),
    ("APT", "USDT", "8.913", (3, 2), (5, 100, 1)),
    ("INJ", "USDT", "24.51", (2, 2), (6, 1000, 1)),
    ("ETC", "USDT", "28.12", (2, 2), (3, 1, 2)),
    ("AAVE", "USDT", "94.11", (2, 3), (2, 1, 1)),
    ("GALA", "USDT", "0.04312", (5, 0), (5, 1, 0)),
)


@dataclass(frozen=True, slots=True)
class Symbol:
    """One instrument under the venue's name; numbers are integers of ``10 ** -scale``."""

    name: str
    base: str
    quote: str
    price_scale: int
    tick: int
    qty_scale: int
    start_price: int
    status: str = "TRADING"
    lot: int = 1
    """Every quantity is a multiple of it, in units of ``10 ** -qty_scale``."""
    contract_exponent: int = 0
    """One contract is ``10 ** contract_exponent`` base coins; quantities here are in base coins."""


def traded(market: str, count: int, seed: int) -> list[Symbol]:
    """The first ``count`` symbols of a market, busiest first."""
    known = [_known(market, row) for row in _KNOWN[:count]]
    return known + list(
        islice(_generated(market, seed, {s.base for s in known}), count - len(known))
    )


def idle(market: str) -> list[Symbol]:
    """Symbols that are listed but do not trade: every real exchangeInfo has some."""
    status = "BREAK" if market == "spot" else "PENDING_TRADING"
    return [Symbol(b + "USDT", b, "USDT", 4, 1, 1, 10_000, status) for b in ("BCC", "VEN", "NANO")]


def _known(market: str, row: _Row) -> Symbol:
    base, quote, price, spot, linear = row
    price_scale, tick, qty_scale = (spot[0], 1, spot[1]) if market == "spot" else linear
    whole, _, fraction = price.partition(".")
    units = int(whole + fraction.ljust(price_scale, "0")[:price_scale])
    return Symbol(
        base + quote, base, quote, price_scale, tick, qty_scale, max(units // tick, 100) * tick
    )


def _generated(market: str, seed: int, taken: set[str]) -> Iterator[Symbol]:
    """Endless pronounceable names; prices from 0.001 to 500 with four to five digits."""
    rng = Random(f"{seed}:{market}:names")
    taken = taken | {row[0] for row in _KNOWN} | {"BCC", "VEN", "NANO"}
    while True:
        base = "".join(rng.choice("BDFGKLMNPRSTVZ") + rng.choice("AEIOU") for _ in range(2))
        base += rng.choice("NRSTXK")
        if base in taken:
            continue
        taken.add(base)
        price_scale = rng.choice((2, 3, 4, 5, 6))
        tick = 1 if market == "spot" else rng.choice((1, 1, 10))
        units = rng.randrange(1_500, 50_000) // tick * tick
        qty_scale = rng.choice((0, 1, 2)) if price_scale < 5 else 0
        yield Symbol(base + "USDT", base, "USDT", price_scale, tick, qty_scale, units)
