"""The venues that are simulated: one folder and one line each."""

from collections.abc import Mapping

from runtime.errors import Misconfigured
from simulator.dialect import Dialect, Venue
from simulator.options import SimulatorOptions
from simulator.venues import binance, bybit, hyperliquid, kraken, okx

VENUES: Mapping[str, Venue] = {
    venue.name: venue
    for venue in (binance.VENUE, bybit.VENUE, hyperliquid.VENUE, kraken.VENUE, okx.VENUE)
}


def dialects(options: SimulatorOptions) -> list[Dialect]:
    """The dialects of the markets that the options name; raise Misconfigured if there is none."""
    missing = [name for name in options.exchanges if name not in VENUES]
    if missing:
        raise Misconfigured(
            "--exchanges", f"{missing[0]} has no dialect", remedy=f"One of {', '.join(VENUES)}."
        )
    found = [
        make(options)
        for name in options.exchanges
        for channel, make in VENUES[name].channels.items()
        if channel in options.markets
    ]
    if not found:
        raise Misconfigured(
            "--markets", "no exchange has one of these", remedy="Choose spot, linear or both."
        )
    return found
