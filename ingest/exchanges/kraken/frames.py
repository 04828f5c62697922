"""One frame of Kraken's WebSocket v2 to what it says, whole or not at all.

A frame has a ``channel`` (data) or a ``method`` (an answer). Frames of v1 are arrays, and refused.
"""

from collections.abc import Sequence

import msgspec

from ingest.exchanges.base import Ack, Inbound, Other, Rejected
from ingest.exchanges.kraken.book import book_rows
from ingest.exchanges.kraken.rows import kline_rows, trade_rows
from runtime.errors import Poison

REASON_CHARACTERS_MAX = 300
OTHER_CHANNELS = frozenset(
    {"heartbeat", "status", "instrument", "ticker", "level3", "executions", "balances"}
)
# What was asked for is so already: an error only in the venue's words.
SETTLED = "Already subscribed"


class _Result(msgspec.Struct, gc=False):
    channel: str = ""
    symbol: str | None = None


class _Frame(msgspec.Struct, gc=False):
    channel: str = ""
    type: str = ""
    data: msgspec.Raw = msgspec.Raw(b"[]")
    timestamp: str | None = None
    method: str = ""
    req_id: int | None = None
    success: bool | None = None
    error: str | None = None
    result: _Result | None = None


_decode = msgspec.json.Decoder(_Frame).decode


def parse(frame: bytes) -> Sequence[Inbound]:
    """Return what the frame says; raise Poison, naming the field, if it cannot be read."""
    try:
        message = _decode(frame)
        return _data(message) if message.channel else (_answer(message),)
    except (ValueError, RecursionError) as e:  # msgspec's errors are ValueErrors
        raise Poison(str(e)[:REASON_CHARACTERS_MAX], payload=frame) from e


def _data(message: _Frame) -> Sequence[Inbound]:
    channel = message.channel
    try:
        if channel == "trade":
            return trade_rows(message.data, is_snapshot=_is_snapshot(message))
        if channel == "book":
            return book_rows(message.data, is_snapshot=_is_snapshot(message))
        if channel == "ohlc":
            return kline_rows(message.data, message.timestamp)
    except (ValueError, RecursionError) as e:
        raise ValueError(f"{channel}: {e}") from e
    if channel in OTHER_CHANNELS:
        return (Other(channel),)
    raise ValueError(f"channel: {channel!r:.40} is unknown")


def _is_snapshot(message: _Frame) -> bool:
    if message.type not in {"snapshot", "update"}:
        raise ValueError(f"type: {message.type!r:.40} is unknown")
    return message.type == "snapshot"


def _answer(message: _Frame) -> Ack | Rejected | Other:
    if message.method == "pong":
        return Other("pong")
    if message.success or (message.error or "").startswith(SETTLED):
        return Ack(message.req_id, _topic(message.result))
    if message.error is not None:
        # No channel is named, so the request's number tells which topic it was.
        return Rejected(message.req_id, message.error[:REASON_CHARACTERS_MAX])
    raise ValueError("neither a channel, nor an answer that succeeded or failed")


def _topic(result: _Result | None) -> str:
    if result is None or not (result.channel and result.symbol):
        return ""
    return f"{result.channel}:{result.symbol}"
