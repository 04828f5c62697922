"""What OKX lists: names, contract values, and the answer to public/instruments.

A swap's size is in contracts of ``10 ** contract_exponent`` base coins; a lot is down to a
hundredth of one.
"""

from dataclasses import replace

from simulator import symbols
from simulator.numbers import decimal_text, trimmed
from simulator.symbols import Symbol

LIVE = "live"
SUSPENDED = "suspend"
LISTED_MS = 1_573_557_408_000
SWAP = "-SWAP"
_EXPONENTS = {"BTC": -2, "ETH": -1, "BNB": -2, "XRP": 2, "DOGE": 3, "ADA": 2, "TRX": 3}
_LOT_DECIMALS_MAX = 2  # of a contract

Json = dict[str, object]


def traded(channel: str, count: int, seed: int) -> list[Symbol]:
    """Return what trades, busiest first."""
    return [_named(s, channel, LIVE) for s in symbols.traded(channel, count, seed)]


def idle(channel: str) -> list[Symbol]:
    """Return what is listed beside it."""
    return [_named(s, channel, SUSPENDED) for s in symbols.idle(channel)]


def _named(symbol: Symbol, channel: str, status: str) -> Symbol:
    name = index_of(symbol)
    if channel == "spot":
        return replace(symbol, name=name, status=status)
    exponent = max(_EXPONENTS.get(symbol.base, 0), -symbol.qty_scale)
    lot = 10 ** max(symbol.qty_scale + exponent - _LOT_DECIMALS_MAX, 0)
    return replace(
        symbol, name=name + SWAP, status=status, contract_exponent=exponent, lot=symbol.lot * lot
    )


def index_of(symbol: Symbol) -> str:
    """Return the name of the index that a swap follows, which is that of the pair."""
    return f"{symbol.base}-{symbol.quote}"


def is_swap(symbol: Symbol) -> bool:
    """Say whether its sizes are contracts."""
    return symbol.name.endswith(SWAP)


def type_of(symbol: Symbol) -> str:
    """Return its instType."""
    return "SWAP" if is_swap(symbol) else "SPOT"


def price_text(symbol: Symbol, price: int) -> str:
    """Write a price without zeros at its end."""
    return trimmed(decimal_text(price, symbol.price_scale))


def base_text(symbol: Symbol, qty: int) -> str:
    """Write a quantity in base coins."""
    return trimmed(decimal_text(qty, symbol.qty_scale))


def size_text(symbol: Symbol, qty: int) -> str:
    """Write a quantity as the venue does: contracts on swaps, coins on spot."""
    return trimmed(decimal_text(qty, symbol.qty_scale + symbol.contract_exponent))


def quote_text(symbol: Symbol, amount: int) -> str:
    """Write an amount of quote coins: a sum of price times quantity."""
    return trimmed(decimal_text(amount, symbol.price_scale + symbol.qty_scale))


def instrument(symbol: Symbol) -> Json:
    """Return its row in public/instruments."""
    swap = is_swap(symbol)
    exponent, lot = symbol.contract_exponent, size_text(symbol, symbol.lot)
    value = decimal_text(10 ** max(exponent, 0), max(-exponent, 0)) if swap else ""
    return {
        "alias": "",
        "auctionEndTime": "",
        "baseCcy": "" if swap else symbol.base,
        "category": "1",
        "contTdSwTime": "",
        "ctMult": "1" if swap else "",
        "ctType": "linear" if swap else "",
        "ctVal": value,
        "ctValCcy": symbol.base if swap else "",
        "expTime": "",
        "instFamily": index_of(symbol) if swap else "",
        "instId": symbol.name,
        "instType": type_of(symbol),
        "lever": "10",
        "listTime": str(LISTED_MS),
        "lotSz": lot,
        "minSz": lot,
        "optType": "",
        "quoteCcy": "" if swap else symbol.quote,
        "ruleType": "normal",
        "settleCcy": symbol.quote if swap else "",
        "state": symbol.status,
        "stk": "",
        "tickSz": price_text(symbol, symbol.tick),
        "tradeQuoteCcyList": [] if swap else [symbol.quote],
        "uly": index_of(symbol) if swap else "",
    }


def inverse() -> Json:
    """Return the row of a swap that is settled in its base coin: listed, and not traded here."""
    linear = Symbol("BTC-USD-SWAP", "BTC", "USD", 1, 1, 0, 1, LIVE)
    inverted = {"ctType": "inverse", "ctVal": "100", "ctValCcy": "USD", "settleCcy": "BTC"}
    return instrument(linear) | inverted
