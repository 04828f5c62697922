"""One frame of Hyperliquid to what it says, whole or not at all.

The first trades frame after subscribing is history: about 30 trades up to 50 s old, in a frame
like any other. One frame alone cannot tell, so their flags are 0; their ids are told again, and
whoever drops repeated ids drops them.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import orjson

from ingest.exchanges.base import Ack, Inbound, Other, Rejected
from ingest.exchanges.hyperliquid.contexts import context_rows
from ingest.exchanges.hyperliquid.rows import book_row, kline_row, trade_rows
from ingest.exchanges.hyperliquid.shapes import CHANNELS, shape_of
from ingest.exchanges.hyperliquid.topics import topic_of
from runtime.errors import Poison

REASON_CHARACTERS_MAX = 300
# What was asked for is so already: an error only in the venue's words.
SETTLED = ("Already subscribed", "Already unsubscribed")

READERS: Mapping[str, Callable[[msgspec.Raw], Sequence[Inbound]]] = {
    "trades": trade_rows,
    "l2Book": book_row,
    "activeAssetCtx": context_rows,
    "candle": kline_row,
}


class _Envelope(msgspec.Struct, gc=False):
    channel: str
    data: msgspec.Raw = msgspec.Raw(b"null")


_decode = msgspec.json.Decoder(_Envelope).decode


def parse(frame: bytes) -> Sequence[Inbound]:
    """Return what the frame says; raise Poison, naming the field or the shape, if it cannot."""
    try:
        envelope = _decode(frame)
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
        return (_without_channel(frame),)
    read = READERS.get(envelope.channel)
    try:
        return (_control(envelope),) if read is None else read(envelope.data)
    except (ValueError, RecursionError) as e:
        reason = f"{envelope.channel}: {e}"[:REASON_CHARACTERS_MAX]
        raise Poison(reason, payload=frame) from e


def _control(envelope: _Envelope) -> Inbound:
    if envelope.channel == "subscriptionResponse":
        answer = orjson.loads(bytes(envelope.data))
        if not isinstance(answer, dict):
            raise ValueError("no object")
        return Ack(None, topic_of(answer.get("subscription")))
    if envelope.channel == "error":
        return _complaint(orjson.loads(bytes(envelope.data)))
    if envelope.channel not in CHANNELS:
        raise ValueError("unknown channel")
    return Other(envelope.channel)


def _complaint(said: Any) -> Ack | Rejected:
    """Read ``Already subscribed: {...}`` or ``Error parsing JSON into ...: {...}``."""
    if not isinstance(said, str):
        raise ValueError("no text")  # noqa: TRY004 - one error for all that is unreadable
    topic = _named_in(said)
    if topic and said.startswith(SETTLED):
        return Ack(None, topic)
    return Rejected(None, said[:REASON_CHARACTERS_MAX], topic)


def _named_in(said: str) -> str:
    """Return the topic of the request or subscription that a complaint quotes, or ""."""
    _, brace, rest = said.partition("{")
    try:
        quoted = orjson.loads(brace + rest)
    except ValueError:
        return ""
    return topic_of(quoted.get("subscription", quoted))


def _without_channel(frame: bytes) -> Inbound:
    """Name a body of the REST API, which recordings mix in."""
    try:
        name = shape_of(orjson.loads(frame))
    except ValueError as e:
        raise Poison(str(e)[:REASON_CHARACTERS_MAX], payload=frame) from e
    if name is None:
        raise Poison("undocumented frame without a channel", payload=frame)
    return Other(name)
