"""One frame of Bybit v5 to what it says, whole or not at all.

The envelope is read first and its ``data`` left as bytes, so the order of keys means nothing; then
the topic says how to read the data. A refusal answers for a whole request and names one topic of
it, so it is told as the request's: whoever asked has to ask again, one by one.
"""

import re
from collections.abc import Sequence
from typing import Any

from msgspec import Raw, Struct, json

from ingest.exchanges.base import Ack, Inbound, Other, Rejected
from ingest.exchanges.bybit.books import book
from ingest.exchanges.bybit.events import klines, liquidations
from ingest.exchanges.bybit.fields import TimeMs
from ingest.exchanges.bybit.tickers import tickers
from ingest.exchanges.bybit.topics import OTHERS, foreign, is_option
from ingest.exchanges.bybit.trades import KIND, trades
from runtime.errors import Poison

REASON_CHARACTERS_MAX = 300
OURS = frozenset({KIND, "orderbook", "tickers", "kline", "allLiquidation"})
DETAILED = frozenset({"orderbook", "kline"})  # a depth or an interval stands before the symbol
OTHER_BOOKS = frozenset({"rpi", "full"})
ALREADY = "error:already subscribed"
_NAMED = re.compile(r"topic:(\S+)|\[([^\]\s]+)\]")


class _Frame(Struct, gc=False):
    topic: str = ""
    type: str = ""
    ts: TimeMs | None = None
    cts: TimeMs | None = None
    data: Raw = Raw()
    id: Any = None
    """Only options have it."""
    op: str = ""
    success: bool | None = None
    ret_msg: str = ""
    req_id: str = ""


_decode = json.Decoder(_Frame).decode


def parse_spot(frame: bytes) -> Sequence[Inbound]:
    """Return what a frame of ``/v5/public/spot`` says; raise Poison if it cannot be read."""
    return _parse(frame, is_linear=False)


def parse_linear(frame: bytes) -> Sequence[Inbound]:
    """Return what a frame of ``/v5/public/linear`` says; raise Poison if it cannot be read."""
    return _parse(frame, is_linear=True)


def _parse(frame: bytes, *, is_linear: bool) -> Sequence[Inbound]:
    topic = ""
    try:
        told = _decode(frame)
        topic = told.topic
        return _read(told, is_linear=is_linear) if topic else (_answer(told),)
    except (ValueError, RecursionError) as e:  # msgspec's errors are ValueErrors
        where = f"{topic[:60]}: " if topic else ""
        raise Poison(f"{where}{e}"[:REASON_CHARACTERS_MAX], payload=frame) from e


def _read(told: _Frame, *, is_linear: bool) -> Sequence[Inbound]:
    word, _, rest = told.topic.partition(".")
    if word in OTHERS:
        return (Other(OTHERS[word]),)
    if word not in OURS:
        raise ValueError("unknown topic")
    if told.id is not None:
        return (Other(f"option_{word}"),)
    detail, _, symbol = rest.partition(".") if word in DETAILED else ("", "", rest)
    if (market := foreign(symbol, is_linear=is_linear)) is not None:
        return (Other(f"{market}_{word}"),)
    if word == "orderbook" and detail in OTHER_BOOKS:
        return (Other(f"orderbook_{detail}"),)
    return _rows(told, word, detail, symbol)


def _rows(told: _Frame, word: str, detail: str, symbol: str) -> Sequence[Inbound]:
    match word:
        case "publicTrade":
            rows = trades(told.data)  # an option's topic names its coin, its trades the contract
            return (Other(f"option_{word}"),) if rows and is_option(rows[0].symbol) else rows
        case "orderbook" if detail.isdecimal():
            ts = told.cts or _time(told)
            return (book(told.data, stream=f"{word}.{detail}", type_=told.type, ts=ts),)
        case "tickers":
            return tickers(told.data, type_=told.type, ts=_time(told))
        case "kline" if symbol:
            return klines(told.data, symbol=symbol, ts=_time(told))
        case "allLiquidation":
            return liquidations(told.data)
    raise ValueError("no depth or interval before the symbol")


def _time(told: _Frame) -> int:
    if told.ts is None:
        raise ValueError("ts is missing")
    return told.ts


def _answer(told: _Frame) -> Inbound:
    if told.op == "pong" or told.ret_msg == "pong":
        return Other("pong")
    if told.success is None:
        raise ValueError("neither a topic nor an answer")
    request_id = int(told.req_id) if re.fullmatch("[0-9]{1,9}", told.req_id) else None
    if told.success:
        return Ack(request_id) if told.op in ("subscribe", "unsubscribe") else Other("answer")
    named = _NAMED.search(told.ret_msg)
    topic = (named[1] or named[2]) if named else ""
    if topic and told.ret_msg.startswith(ALREADY):
        return Ack(None, topic)
    reason = told.ret_msg[:REASON_CHARACTERS_MAX] or "refused without a reason"
    return Rejected(request_id, reason, "" if request_id is not None else topic)
