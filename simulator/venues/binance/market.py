"""What differs between Binance's two markets: paths, limits, number texts."""

from dataclasses import dataclass

from simulator.numbers import decimal_text
from simulator.symbols import Symbol

LINEAR_ID_STEP = 3


@dataclass(frozen=True, slots=True)
class Market:
    """The rules of one market."""

    channel: str
    api: str  # REST paths begin with it
    routes: dict[str, frozenset[str]]  # WebSocket path tier -> stream kinds that it serves
    streams_max: int
    kline_push_ms: int
    weight_per_minute: int
    # Numbers are padded to this many decimals; 0: exactly those of tick and step.
    decimals_min: int

    @property
    def is_spot(self) -> bool:
        """Whether this is the spot market."""
        return self.channel == "spot"

    def price_text(self, symbol: Symbol, units: int) -> str:
        """A price as the venue writes it."""
        return decimal_text(units, symbol.price_scale, self.decimals_min)

    def qty_text(self, symbol: Symbol, units: int) -> str:
        """A quantity as the venue writes it."""
        return decimal_text(units, symbol.qty_scale, self.decimals_min)

    def quote_text(self, symbol: Symbol, units: int) -> str:
        """A quote amount (price times quantity) as the venue writes it."""
        return decimal_text(units, symbol.price_scale + symbol.qty_scale, self.decimals_min)

    def total_text(self, symbol: Symbol, units: int) -> str:
        """The quote amount of a whole day: USD-M cuts it to two decimals."""
        if self.is_spot:
            return self.quote_text(symbol, units)
        return decimal_text(units * 100 // 10 ** (symbol.price_scale + symbol.qty_scale), 2)

    def update_id(self, book_id: int) -> int:
        """The book's update id: USD-M counts those of other symbols in between."""
        return book_id if self.is_spot else book_id * LINEAR_ID_STEP


SPOT = Market(
    channel="spot",
    api="/api/v3",
    routes={"": frozenset({"trade", "aggTrade", "kline", "depth", "bookTicker", "ticker"})},
    streams_max=1_024,
    kline_push_ms=2_000,
    weight_per_minute=6_000,
    decimals_min=8,
)
LINEAR = Market(
    channel="linear",
    api="/fapi/v1",
    # A path without a tier, or with the wrong one, acknowledges and stays silent.
    routes={
        "": frozenset(),
        "market": frozenset({"aggTrade", "kline", "markPrice", "ticker", "forceOrder"}),
        "public": frozenset({"trade", "depth", "bookTicker"}),
        "private": frozenset(),
    },
    streams_max=200,
    kline_push_ms=250,
    weight_per_minute=2_400,
    decimals_min=0,
)
