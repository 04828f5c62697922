"""What differs between the two markets: paths, limits, heartbeats, number texts."""

from dataclasses import dataclass

from simulator.options import SimulatorOptions
from simulator.symbols import Symbol

STREAM_KINDS = ("trade", "aggTrade", "kline")


@dataclass(frozen=True, slots=True)
class Venue:
    """The rules of one market."""

    market: str
    api: str  # REST paths begin with it
    canonical: str  # the stream whose ids are dense and whose rows are the truth
    routes: dict[str, frozenset[str]]  # WebSocket path tier -> stream kinds that it serves
    streams_max: int
    messages_per_s_max: int
    ping_s: float
    pong_timeout_s: float
    kline_push_ms: int
    weight_per_minute: int
    # Numbers are padded to this many decimals; 0: exactly those of tick and step.
    decimals_min: int

    def price_text(self, symbol: Symbol, units: int) -> str:
        """A price as the venue writes it."""
        return decimal_text(units, symbol.price_scale, self.decimals_min)

    def qty_text(self, symbol: Symbol, units: int) -> str:
        """A quantity as the venue writes it."""
        return decimal_text(units, symbol.qty_scale, self.decimals_min)

    def quote_text(self, symbol: Symbol, units: int) -> str:
        """A quote amount (price times quantity) as the venue writes it."""
        return decimal_text(units, symbol.price_scale + symbol.qty_scale, self.decimals_min)


def decimal_text(units: int, scale: int, decimals_min: int) -> str:
    """``units * 10**-scale`` as exact text; units are not negative.

    >>> decimal_text(2814510, 2, 0), decimal_text(5, 3, 8), decimal_text(7, 0, 0)
    ('28145.10', '0.00500000', '7')
    """
    if scale < decimals_min:
        units *= 10 ** (decimals_min - scale)
        scale = decimals_min
    if not scale:
        return str(units)
    digits = f"{units:0{scale + 1}d}"
    return f"{digits[:-scale]}.{digits[-scale:]}"


def venue(market: str, options: SimulatorOptions) -> Venue:
    """The rules of ``market`` ("spot" or "linear")."""
    if market == "spot":
        return Venue(
            market="spot",
            api="/api/v3",
            canonical="trade",
            routes={"": frozenset(STREAM_KINDS)},
            streams_max=1_024,
            messages_per_s_max=5,
            ping_s=options.spot_ping_s,
            pong_timeout_s=options.spot_pong_timeout_s,
            kline_push_ms=2_000,
            weight_per_minute=6_000,
            decimals_min=8,
        )
    return Venue(
        market="linear",
        api="/fapi/v1",
        canonical="aggTrade",
        # A path without a tier, or with the wrong one, acknowledges and stays silent.
        routes={
            "": frozenset(),
            "market": frozenset({"aggTrade", "kline"}),
            "public": frozenset({"trade"}),
            "private": frozenset(),
        },
        streams_max=200,
        messages_per_s_max=10,
        ping_s=options.linear_ping_s,
        pong_timeout_s=options.linear_pong_timeout_s,
        kline_push_ms=250,
        weight_per_minute=2_400,
        decimals_min=0,
    )
