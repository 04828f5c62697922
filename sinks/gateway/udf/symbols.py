"""Symbols as TradingView names and describes them: ``binance.linear:BTCUSDT``.

A name without an exchange is of ``STREAMER_EXCHANGE``; without a channel linear comes first.
"""

from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

from fastapi import HTTPException

from schemas.clickhouse.pieces import Series
from schemas.control import InstrumentRow
from schemas.intervals import Interval
from sinks.gateway import names
from sinks.gateway.control import StreamTable
from sinks.gateway.data.asked import near
from sinks.gateway.data.symbols import Symbols
from sinks.gateway.hub import Hub
from sinks.gateway.names import Market, Unknown
from sinks.gateway.udf.resolutions import multipliers, resolutions_of
from sinks.gateway.warehouse import QueryTooBig, WarehouseAway

SCALE_MAX = 18  # decimals
SCALE_DEFAULT = 2
SEARCH_MAX = 100


class Listing(NamedTuple):
    """A symbol of a market, with what its exchange says of it, where that was told."""

    market: Market
    symbol: str
    row: InstrumentRow | None = None

    @property
    def series(self) -> Series:
        """Return its name in the warehouse."""
        return Series(*self.market, self.symbol)

    @property
    def ticker(self) -> str:
        """Return the name by which it is asked for."""
        return f"{self.market[0]}.{self.market[1]}:{self.symbol}"

    @property
    def description(self) -> str:
        """Return what a person reads."""
        unified = self.row.unified if self.row else self.symbol
        return f"{unified} {self.market[0]} {self.market[1]}"


class Listings:
    """Finds symbols by name."""

    def __init__(self, table: StreamTable, hub: Hub, stored: Symbols, exchange: str) -> None:
        self._table = table
        self._hub = hub
        self._stored = stored
        self._exchange = exchange

    async def find(self, text: str) -> Listing:
        """Return the symbol of a name; raise Unknown with those that are near."""
        exchange, colon, symbol = text.partition(":")
        if colon and _is_exchange(exchange):
            markets = names.markets(exchange)
        else:
            markets, symbol = names.markets(self._exchange), text
        every = [each for market in markets for each in self._of(market)]
        for wanted in (symbol, symbol.upper()):
            for listing in every:
                if listing.symbol == wanted:
                    return listing
        for market in markets:
            if await self._is_stored(Series(*market, symbol)):
                return Listing(market, symbol)
        like = near(symbol, (each.symbol for each in every))
        raise Unknown(f"unknown symbol {text}", like)

    def search(self, query: str, exchange: str, limit: int) -> list[Listing]:
        """Return the symbols whose names hold a text, those that begin with it first."""
        part = query.rpartition(":")[2].upper()
        markets = names.markets(exchange) if _is_exchange(exchange) else self._markets()
        found = [
            each
            for market in markets
            for each in self._of(market)
            if part in each.symbol.upper() or part in each.description.upper()
        ]
        found.sort(key=lambda each: (not each.symbol.upper().startswith(part), each.symbol))
        return found[: min(limit, SEARCH_MAX)]

    def exchanges(self) -> list[str]:
        """Return the exchanges that have symbols."""
        return sorted({market[0] for market in self._markets()})

    def _markets(self) -> list[Market]:
        """Return the markets of which anything was heard."""
        exchanges = {key.exchange for key in self._hub.history.series}
        told = [
            market for name in exchanges if _is_exchange(name) for market in names.markets(name)
        ]
        return sorted({*self._table.instruments, *told})

    def _of(self, market: Market) -> Iterator[Listing]:
        """Yield what streams or could stream; what only was is not offered, but found."""
        listed = self._table.instruments.get(market, {})
        yield from (Listing(market, row.symbol, row) for row in listed.values())
        told = {key.symbol for key in self._hub.history.series if key[:2] == market}
        yield from (Listing(market, symbol) for symbol in sorted(told - listed.keys()))

    async def _is_stored(self, series: Series) -> bool:
        try:
            await self._stored.check(series)
        except (HTTPException, WarehouseAway, QueryTooBig):
            return False
        return True


def described(listing: Listing, made: list[Interval], closes: list[str]) -> dict[str, Any]:
    """Return a symbol as TradingView reads it; ``closes`` tell the scale where nobody else does."""
    offered = resolutions_of(made)
    minmov, pricescale = scale_of(listing.row.tick if listing.row else _tick(closes))
    exchange = listing.market[0]
    return {
        "name": listing.symbol,
        "ticker": listing.ticker,
        "full_name": listing.ticker,
        "description": listing.description,
        "type": "crypto",
        "session": "24x7",
        "timezone": "Etc/UTC",
        **dict.fromkeys(("exchange", "exchange-listed", "exchange-traded"), exchange),
        "listed_exchange": exchange,
        "minmov": minmov,
        "minmov2": 0,
        "pricescale": pricescale,
        "pointvalue": 1,
        "format": "price",
        "has_intraday": True,
        "intraday_multipliers": multipliers(offered, ""),
        "has_seconds": bool(multipliers(offered, "S")),
        "seconds_multipliers": multipliers(offered, "S"),
        "has_daily": True,
        "daily_multipliers": multipliers(offered, "D"),
        "has_weekly_and_monthly": True,
        "weekly_multipliers": multipliers(offered, "W"),
        "monthly_multipliers": multipliers(offered, "M"),
        "supported_resolutions": offered,
        "volume_precision": _decimals(listing.row.step) if listing.row else 8,
        "visible_plots_set": "ohlcv",
        "data_status": "streaming",
    }


def scale_of(tick: str) -> tuple[int, int]:
    """Return a tick as TradingView's fraction ``minmov / pricescale``: 0.50 is 5 / 10."""
    try:
        step = Decimal(tick)
    except InvalidOperation:
        step = Decimal(0)
    if not step.is_finite() or step <= 0:
        return 1, 10**SCALE_DEFAULT
    decimals = _decimals(tick)
    return max(int(step.scaleb(decimals)), 1), 10**decimals


def _decimals(text: str) -> int:
    try:
        exponent = Decimal(text).normalize().as_tuple().exponent
    except InvalidOperation:
        return SCALE_DEFAULT
    return min(max(-exponent, 0), SCALE_MAX) if isinstance(exponent, int) else SCALE_DEFAULT


def _tick(closes: list[str]) -> str:
    """Return the smallest step that some prices can be told in."""
    decimals = max((len(text.partition(".")[2]) for text in closes), default=SCALE_DEFAULT)
    return f"{Decimal(1).scaleb(-decimals):f}"


def _is_exchange(text: str) -> bool:
    try:
        names.markets(text)
    except Unknown:
        return False
    return True
