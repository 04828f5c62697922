"""Which kinds each exchange can be asked for, by channel, and how they come.

The ingestors declare it in code; this table is for those who may not read that code.
"""

from collections.abc import Mapping

from schemas.streams import Kind, Transport
from schemas.trades import Channel

Kinds = Mapping[Kind, Transport]

_SPOT: Kinds = {"trades": "ws", "books": "ws", "tickers": "ws", "venue-klines": "ws"}
_LINEAR: Kinds = {
    **_SPOT,
    "funding": "ws",
    "open-interest": "ws",
    "liquidations": "ws",
}

CAPABILITIES: Mapping[str, Mapping[Channel, Kinds]] = {
    "binance": {"spot": _SPOT, "linear": {**_LINEAR, "open-interest": "http"}},
    "bybit": {"spot": _SPOT, "linear": _LINEAR},
    "hyperliquid": {
        "linear": {kind: how for kind, how in _LINEAR.items() if kind != "liquidations"}
    },
    "kraken": {"spot": {kind: how for kind, how in _SPOT.items() if kind != "tickers"}},
    "okx": {"spot": _SPOT, "linear": _LINEAR},
}
