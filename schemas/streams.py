"""What can be streamed of a symbol, and by which transport.

A stream is ``(exchange, channel, symbol, kind, transport)``. Its kind names one raw topic.
"""

from typing import Literal, NamedTuple

from schemas.trades import Channel

Kind = Literal[
    "trades", "tickers", "books", "funding", "open-interest", "liquidations", "venue-klines"
]
Transport = Literal["ws", "http"]

KINDS: tuple[Kind, ...] = (
    "trades",
    "tickers",
    "books",
    "funding",
    "open-interest",
    "liquidations",
    "venue-klines",
)


class StreamKey(NamedTuple):
    """The identity of one stream; as text it is its key on ``md.control.v1``."""

    exchange: str
    channel: Channel
    symbol: str
    kind: Kind
    transport: Transport

    def __str__(self) -> str:
        return ":".join(self)


def stream_key(text: str) -> StreamKey:
    """Read a key as ``str`` wrote it; raise ValueError. A symbol may hold colons."""
    match text.split(":"):
        case [exchange, "spot" | "linear" as channel, *symbol, kind, "ws" | "http" as transport]:
            if exchange and any(symbol) and kind in KINDS:
                return StreamKey(exchange, channel, ":".join(symbol), kind, transport)
    raise ValueError(f"{text!r} is no exchange:channel:symbol:kind:transport")
