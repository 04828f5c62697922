"""One frame of Binance to what it says, whole or not at all.

The common frame (an event in the combined wrapper) is decoded in one typed step; everything else
is read again, slowly and with a reason.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
import orjson

from ingest.decimals import digits
from ingest.exchanges.base import Ack, Inbound, Other, Rejected, Shutdown, TradeRow
from ingest.exchanges.binance.events import TYPES, Event, row_of
from ingest.exchanges.binance.fields import COIN_M, TEXT_CHARACTERS_MAX, Id
from ingest.exchanges.binance.shapes import EVENTS, shape_of
from ingest.exchanges.binance.tickers import BestPrices, book_ticker_row
from ingest.exchanges.binance.trades import NON_MARKET, AggTrade, Trade
from runtime.errors import Poison
from schemas.trades import BUY, SELL

BEST_PRICES, NAMED = b"@bookTicker", b'"e"'
POWERS = [10**n for n in range(TEXT_CHARACTERS_MAX)]
REASON_CHARACTERS_MAX = 300


class _Combined(msgspec.Struct, gc=False):
    data: Event


class _Unnamed(msgspec.Struct, gc=False):
    """The one event without a name, and one that comes often."""

    data: BestPrices


_decode = msgspec.json.Decoder(_Combined).decode
_decode_unnamed = msgspec.json.Decoder(_Unnamed).decode
_integer = msgspec.json.Decoder(Id).decode


def parse(frame: bytes) -> Sequence[Inbound]:
    """Return what the frame says; raise Poison, naming the field or the shape, if it cannot.

    A trade is put together here, since each call would cost a twentieth. The integers of JSON are
    what is read fastest, and strictly once spaces, signs and zeros around them are kept out; any
    other number is for ``digits``.
    """
    try:
        event: Any = _decode(frame).data
        kind = type(event)
        if kind is not AggTrade and kind is not Trade:
            return (row_of(event, frame),)
        if 32 in frame or 92 in frame:  # a space, and a backslash that may become one
            return _read_slowly(frame)
        whole, _, fraction = event.p.rpartition(".")
        if whole == "0":
            price_scale = len(fraction)
            price = _integer("1" + fraction) - POWERS[price_scale]
        elif whole and fraction:
            price, price_scale = _integer(whole + fraction), len(fraction)
        else:
            price, price_scale = digits(event.p)
        whole, _, fraction = event.q.rpartition(".")
        if whole == "0":
            qty_scale = len(fraction)
            qty = _integer("1" + fraction) - POWERS[qty_scale]
        elif whole and fraction:
            qty, qty_scale = _integer(whole + fraction), len(fraction)
        else:
            qty, qty_scale = digits(event.q)
        side = SELL if event.m else BUY
        # fmt: off
        if kind is Trade:
            id_ = event.t
            flags = 0 if event.X == "MARKET" else NON_MARKET
            return (TradeRow(
                "trade", event.s, id_, event.T, price, price_scale, qty, qty_scale, side, flags,
                id_, id_,
            ),)
        first, last = event.f, event.l
        if first <= last:
            return (TradeRow(
                "aggTrade", event.s, event.a, event.T, price, price_scale, qty, qty_scale, side, 0,
                first, last,
            ),)
        # fmt: on
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
        pass
    return _read_slowly(frame)


def _read_slowly(frame: bytes) -> Sequence[Inbound]:
    if BEST_PRICES in frame and NAMED not in frame:
        try:
            return (book_ticker_row(_decode_unnamed(frame).data),)
        except (ValueError, RecursionError):
            pass  # as below
    try:
        return _read(orjson.loads(frame), frame)
    except (ValueError, RecursionError) as e:  # orjson's and msgspec's errors are ValueErrors
        raise Poison(str(e)[:REASON_CHARACTERS_MAX], payload=frame) from e


def _read(message: Any, frame: bytes) -> Sequence[Inbound]:
    if isinstance(message, dict):
        if "stream" in message and "data" in message:
            return _read_events(message["data"], frame, is_streamed=True)
        if "id" in message and ("result" in message or "error" in message or "code" in message):
            return (_answer(message),)
        if "error" in message or ("code" in message and "msg" in message):
            return (Rejected(None, _complaint(message)),)
    return _read_events(message, frame, is_streamed=False)


def _read_events(events: Any, frame: bytes, *, is_streamed: bool) -> Sequence[Inbound]:
    if isinstance(events, list) and any(isinstance(part, dict) and "e" in part for part in events):
        return [_read_one(part, frame, is_streamed=is_streamed) for part in events]
    return (_read_one(events, frame, is_streamed=is_streamed),)


def _read_one(event: Any, frame: bytes, *, is_streamed: bool) -> Inbound:
    if not (isinstance(event, dict) and "e" in event):
        return _unnamed(event, frame, is_streamed=is_streamed)
    name = event["e"]
    if not isinstance(name, str):
        raise ValueError(f"e: {type(name).__name__} is no event name")  # noqa: TRY004 - one error
    if name == "serverShutdown":
        return Shutdown()
    if name in TYPES:
        return _event(event, name, frame)
    if name in EVENTS:
        return Other(name)
    raise ValueError(f"e: unknown event {name!r}")


def _unnamed(event: Any, frame: bytes, *, is_streamed: bool) -> Inbound:
    name = shape_of(event)
    if name is None:
        raise ValueError(f"undocumented frame: {_sketch(event)}")
    if name == "bookTicker" and isinstance(event, dict):
        return _event(event | {"e": name}, name, frame)
    # On a stream it is the best levels of spot's `@depth20`; alone it is a body of REST.
    return Other("partial_depth" if name == "depth_snapshot" and is_streamed else name)


def _event(event: dict[str, Any], name: str, frame: bytes) -> Inbound:
    if event.get("st") == COIN_M:
        return Other(f"coin_m_{name}")
    try:
        # A word about the market that nobody knows yet is no reason to refuse a trade.
        known = {key: value for key, value in event.items() if key != "st"}
        return row_of(msgspec.convert(known, TYPES[name]), frame)
    except ValueError as e:
        raise ValueError(f"{name}: {e}") from e


def _answer(message: dict[str, Any]) -> Ack | Rejected | Other:
    # Ours are numbers; recordings hold answers to clients that use text or null.
    request_id = message["id"] if type(message["id"]) is int else None
    if "error" in message or "code" in message:
        return Rejected(request_id, _complaint(message))
    return Other("answer") if request_id is None else Ack(request_id)


def _complaint(message: dict[str, Any]) -> str:
    error = message.get("error", message)
    if not isinstance(error, dict):
        return str(error)[:REASON_CHARACTERS_MAX]
    return f"{error.get('msg')} (code {error.get('code')})"[:REASON_CHARACTERS_MAX]


def _sketch(event: Any) -> str:
    if isinstance(event, dict):
        return "an object with the keys " + ", ".join(sorted(event)[:12])
    if isinstance(event, list):
        return f"a list of {len(event)}"
    return f"{type(event).__name__} {event!r:.60}"
