"""OKX's channels: where each lives, and the stream that an argument of a request names."""

from collections.abc import Callable, Mapping
from typing import Any

from simulator.candles import INTERVALS_MS
from simulator.feeds import Kind, Stream
from simulator.venues.okx.listing import SWAP

PUBLIC = "/ws/v5/public"
BUSINESS = "/ws/v5/business"
LIQUIDATIONS = "liquidation-orders"
INDEX = "index-tickers"
CANDLE = "candle"
KIND_OF: Mapping[str, Mapping[str, Kind]] = {
    PUBLIC: {
        "trades": "trades",
        "books": "books",
        "tickers": "tickers",
        "funding-rate": "funding",
        "mark-price": "funding",
        INDEX: "funding",
        "open-interest": "open-interest",
        LIQUIDATIONS: "liquidations",
    },
    BUSINESS: {"trades-all": "trades"},
}
SPOT = frozenset({"trades", "trades-all", "books", "tickers"})
"""What there is of spot pairs, candles aside."""
# Days of plain 6H and longer begin in Hong Kong; only those of UTC are made here.
_BARS = {
    "1s": "1s", "1m": "1m", "3m": "3m", "5m": "5m", "15m": "15m", "30m": "30m",
    "1H": "1h", "2H": "2h", "4H": "4h",
    "6Hutc": "6h", "12Hutc": "12h", "1Dutc": "1d", "1Wutc": "1w",
}  # fmt: skip
BARS_MS = {bar: INTERVALS_MS[name] for bar, name in _BARS.items()}


def stream_of(
    arg: Mapping[str, Any], path: str, *, is_linear: bool, trades: Callable[[str], bool]
) -> Stream | None:
    """Return the stream of an argument; None where this path has no such channel or instrument."""
    channel, name = arg.get("channel"), arg.get("instId", "")
    if not isinstance(channel, str) or not isinstance(name, str):
        return None
    if path == BUSINESS and channel.removeprefix(CANDLE) in BARS_MS:
        kind: Kind | None = "venue-klines"
    else:
        kind = KIND_OF[path].get(channel)
        if not is_linear and channel not in SPOT:
            kind = None
    if kind is None:
        return None
    if channel == LIQUIDATIONS:
        return Stream(kind, "", channel) if arg.get("instType") == "SWAP" else None
    if channel == INDEX:
        name += SWAP
    return Stream(kind, name, channel) if trades(name) else None
