"""Query parameters as Binance checks them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from simulator.symbols import Symbol
from simulator.venues.binance.market import Market

if TYPE_CHECKING:
    from simulator.exchange import Exchange

DIGITS_MAX = 20


class RefusedError(Exception):
    """A request that is answered with an error code of the venue."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def mandatory(query: Mapping[str, str], name: str) -> str:
    """Return a parameter that must be there."""
    text = query.get(name, "")
    if not text:
        raise RefusedError(
            -1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."
        )
    return text


def symbol_of(query: Mapping[str, str], exchange: "Exchange") -> Symbol:
    """Return the symbol that is asked about."""
    ledger = exchange.ledgers.get(mandatory(query, "symbol"))
    if ledger is None:
        raise RefusedError(-1121, "Invalid symbol.")
    return ledger.symbol


def limit_of(market: Market, query: Mapping[str, str], default: int, most: int) -> int:
    """Return how many rows are asked for: spot cuts what is too much, USD-M refuses it."""
    limit = whole(query, "limit")
    if limit is None:
        return default
    if limit == 0 or (limit > most and not market.is_spot):
        raise RefusedError(-1130, "Data sent for parameter 'limit' is not valid.")
    return min(limit, most)


def whole(query: Mapping[str, str], name: str) -> int | None:
    """Return a whole number, if it was sent."""
    text = query.get(name)
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > DIGITS_MAX:
        raise RefusedError(
            -1100,
            f"Illegal characters found in parameter '{name}'; legal range is '^[0-9]{{1,20}}$'.",
        )
    return int(text)
