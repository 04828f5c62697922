"""The exchanges that can be streamed: one module or folder each, one line here."""

from ingest.exchanges import binance, bybit, hyperliquid, kraken, okx
from ingest.exchanges.base import Exchange
from runtime.errors import Misconfigured

EXCHANGES: dict[str, Exchange] = {
    "binance": binance.EXCHANGE,
    "bybit": bybit.EXCHANGE,
    "hyperliquid": hyperliquid.EXCHANGE,
    "kraken": kraken.EXCHANGE,
    "okx": okx.EXCHANGE,
}


def exchange(name: str) -> Exchange:
    """Return the exchange of that name; raise Misconfigured listing the known ones."""
    found = EXCHANGES.get(name)
    if found is None:
        known = ", ".join(sorted(EXCHANGES))
        raise Misconfigured(
            "STREAMER_EXCHANGE", f"{name!r} is unknown", remedy=f"Known exchanges: {known}."
        )
    return found
