"""One frame of Binance to what it says, whole or not at all.

The common frame (a trade in the combined wrapper) is decoded in one typed step; everything else
is read again, slowly and with a reason.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import orjson

from ingest.exchanges.base import Ack, Inbound, Other, Rejected, Shutdown
from ingest.exchanges.binance.shapes import EVENTS, shape_of
from ingest.exchanges.binance.trades import COIN_M, AggTrade, Trade, row
from runtime.errors import Poison

TRADES: Mapping[str, type[Trade | AggTrade]] = {"trade": Trade, "aggTrade": AggTrade}
REASON_CHARACTERS_MAX = 300


class _Combined(msgspec.Struct, gc=False):
    stream: str
    data: Trade | AggTrade


_decode = msgspec.json.Decoder(_Combined).decode


def parse(frame: bytes) -> Sequence[Inbound]:
    """Return what the frame says; raise Poison, naming the field or the shape, if it cannot."""
    try:
        event = _decode(frame).data
        if event.st != COIN_M:
            return (row(event),)
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
        pass  # not the common frame: the way below finds out what it is
    try:
        return _read(orjson.loads(frame))
    except (ValueError, RecursionError) as e:  # orjson's and msgspec's errors are ValueErrors
        raise Poison(str(e)[:REASON_CHARACTERS_MAX], payload=frame) from e


def _read(message: Any) -> Sequence[Inbound]:
    if isinstance(message, dict):
        if "stream" in message and "data" in message:
            return _read_event(message["data"])
        if "id" in message and ("result" in message or "error" in message or "code" in message):
            return (_answer(message),)
        if "error" in message or ("code" in message and "msg" in message):
            return (Rejected(None, _complaint(message)),)
    return _read_event(message)


def _read_event(event: Any) -> Sequence[Inbound]:
    if isinstance(event, list) and any(isinstance(part, dict) and "e" in part for part in event):
        return [inbound for part in event for inbound in _read_one(part)]
    return _read_one(event)


def _read_one(event: Any) -> Sequence[Inbound]:
    if not (isinstance(event, dict) and "e" in event):
        name = shape_of(event)
        if name is None:
            raise ValueError(f"undocumented frame: {_sketch(event)}")
        return (Other(name),)
    name = event["e"]
    if not isinstance(name, str):
        raise ValueError(f"e: {type(name).__name__} is no event name")  # noqa: TRY004 - one error
    if name == "serverShutdown":
        return (Shutdown(),)
    if name in TRADES:
        return (_trade(event, name),)
    if name in EVENTS:
        return (Other(name),)
    raise ValueError(f"e: unknown event {name!r}")


def _trade(event: dict[str, Any], name: str) -> Inbound:
    try:
        trade = msgspec.convert(event, TRADES[name])
        return row(trade) if trade.st != COIN_M else Other(f"coin_m_{name}")
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
