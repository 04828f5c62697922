"""One frame of OKX v5 to what it says, whole or not at all.

The envelope names the channel, and the channel names the reader of its data; trades as they come
are decoded in one typed step. Older API versions (``{"table": ...}``) are refused.
https://www.okx.com/docs-v5/en/#order-book-trading-market-data
"""

import re
from collections.abc import Callable, Sequence
from typing import TypeVar

import orjson
from msgspec import json

from ingest.exchanges.base import Ack, Inbound, Other, Rejected, Shutdown
from ingest.exchanges.okx import rows
from ingest.exchanges.okx.shapes import (
    BOOKS,
    OTHER_CANDLES,
    OTHER_EVENTS,
    OTHERS,
    TOPS,
    Depth,
    Event,
    FundingRate,
    IndexTicker,
    Liquidations,
    MarkPrice,
    OpenInterest,
    Push,
    Ticker,
    Trade,
    Trades,
)
from runtime.errors import Poison

REASON_CHARACTERS_MAX = 300
TRADES_BEGIN = b'{"arg":{"channel":"trades",'
CLOSING = "64008"  # "The connection will soon be closed for a service upgrade."

Reader = Callable[[Push], Sequence[Inbound]]
_S = TypeVar("_S")
_T = TypeVar("_T", bound=Inbound)


def _each(shape: type[_S], read: Callable[[_S], _T]) -> Reader:
    decode = json.Decoder(list[shape], strict=False).decode  # type: ignore[valid-type]
    return lambda push: [read(row) for row in decode(push.data)]


_decode_depths = json.Decoder(list[Depth], strict=False).decode
_decode_candles = json.Decoder(list[list[str]]).decode
_decode_liquidations = json.Decoder(list[Liquidations], strict=False).decode
_decode_trades = json.Decoder(Trades, strict=False).decode
_decode_push = json.Decoder(Push).decode
_decode_event = json.Decoder(Event, strict=False).decode


def _books(push: Push) -> Sequence[Inbound]:
    symbol, channel = push.arg.instId, push.arg.channel
    if channel not in TOPS and push.action not in ("snapshot", "update"):
        raise ValueError(f"action: {push.action!r:.40} is neither snapshot nor update")
    if not symbol:
        raise ValueError("arg: no instId")
    is_snapshot = push.action != "update"
    return [
        rows.book(symbol, channel, depth, is_snapshot=is_snapshot)
        for depth in _decode_depths(push.data)
    ]


def _liquidations(push: Push) -> Sequence[Inbound]:
    return [
        rows.liquidation(of.instId, detail)
        for of in _decode_liquidations(push.data)
        for detail in of.details
    ]


def _candles(push: Push) -> Sequence[Inbound]:
    name, interval_ms = rows.interval(push.arg.channel)
    return [
        rows.candle(push.arg.instId, name, interval_ms, columns)
        for columns in _decode_candles(push.data)
    ]


READERS: dict[str, Reader] = {
    "trades": _each(Trade, lambda t: rows.trade(t, "trades")),
    "trades-all": _each(Trade, lambda t: rows.trade(t, "trades-all")),
    "tickers": _each(Ticker, rows.ticker),
    "funding-rate": _each(FundingRate, rows.funding_rate),
    "mark-price": _each(MarkPrice, rows.mark_price),
    "index-tickers": _each(IndexTicker, rows.index_price),
    "open-interest": _each(OpenInterest, rows.open_interest),
    "liquidation-orders": _liquidations,
    **dict.fromkeys(BOOKS | TOPS, _books),
}


def parse(frame: bytes) -> Sequence[Inbound]:
    """Return what the frame says; raise Poison, naming the field or the shape, if it cannot."""
    if frame.startswith(TRADES_BEGIN):
        try:
            return [rows.trade(each, "trades") for each in _decode_trades(frame).data]
        except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
            pass  # the way below finds out what is wrong
    if frame == b"pong":  # the one frame that is not JSON
        return (Other("pong"),)
    try:
        push = _decode_push(frame)
    except (ValueError, RecursionError):
        push = None  # no data: the way below finds out what it is
    try:
        return _control(frame) if push is None else _read(push)
    except (ValueError, RecursionError) as e:  # orjson's and msgspec's errors are ValueErrors
        raise Poison(str(e)[:REASON_CHARACTERS_MAX], payload=frame) from e


def _read(push: Push) -> Sequence[Inbound]:
    channel = push.arg.channel
    reader = READERS.get(channel)
    if reader is None:
        if channel in OTHERS or channel.startswith(OTHER_CANDLES):
            return (Other(channel),)
        if not channel.startswith("candle"):
            raise ValueError(f"unknown channel {channel!r:.60}")
        reader = _candles
    try:
        return reader(push)
    except ValueError as e:
        raise ValueError(f"{channel}: {e}") from e


def _control(frame: bytes) -> Sequence[Inbound]:
    message = orjson.loads(frame)
    if not isinstance(message, dict):
        raise ValueError(f"undocumented frame: {type(message).__name__} {message!r:.60}")  # noqa: TRY004 - one error
    if "event" in message:
        return (_event(_decode_event(frame)),)
    if isinstance(message.get("code"), str) and isinstance(message.get("data"), list):
        return (Other("rest_body"),)
    if "table" in message:
        raise ValueError("a frame of API v3, which ended in 2022")
    raise ValueError("undocumented frame: the keys " + ", ".join(sorted(message)[:12]))


def _event(event: Event) -> Inbound:
    if event.event in ("subscribe", "unsubscribe"):
        if event.arg is None:
            raise ValueError(f"{event.event}: no arg")
        return Ack(None, topic=event.arg.topic)
    if event.event in ("error", "channel-conn-count-error"):
        reason = f"{event.msg or event.event} (code {event.code})"[:REASON_CHARACTERS_MAX]
        return Rejected(_number(event.id), reason, topic=_topic_of(event))
    if event.event == "notice" and event.code == CLOSING:
        return Shutdown()
    if event.event in OTHER_EVENTS:
        return Other(event.event)
    raise ValueError(f"unknown event {event.event!r:.60}")


# Code 60018: "Wrong URL or channel:candle1m,instId:BTC-USDT doesn't exist. Please use the ..."
_COMPLAINT = re.compile(
    r"channel:(?P<channel>[\w-]+),(?:instId|instType|instFamily):(?P<of>[\w-]+)"
)


def _topic_of(event: Event) -> str:
    if event.arg is not None:
        return event.arg.topic
    found = _COMPLAINT.search(event.msg)
    return f"{found['channel']}:{found['of']}" if found else ""


def _number(request_id: str) -> int | None:
    # Ours are numbers; recordings hold answers to clients that use text, or none.
    if request_id.isascii() and request_id.isdigit() and len(request_id) < 19:
        return int(request_id)
    return None
