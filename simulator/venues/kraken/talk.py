"""What Kraken understands of a client's frames; every symbol of a request has its own answer."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from simulator.dialect import Line
from simulator.feeds import Kind, Stream
from simulator.venues.kraken import words
from simulator.venues.kraken.feeds import BEAT, DEPTHS, INTERVALS, SNAPSHOT

KINDS: Mapping[str, Kind] = {"trade": "trades", "book": "books", "ohlc": "venue-klines"}
CHANGES = ("subscribe", "unsubscribe")


class Refusal(Exception):  # noqa: N818 - never leaves this module
    """The venue's words to who asks for what there is not."""


class Conversation:
    """One connection."""

    def __init__(self, line: Line, knows: Callable[[str], bool], number: int) -> None:
        self._line = line
        self._knows = knows
        status = {"version": "2.0.10", "system": "online", "api_version": "v2"}
        told = orjson.dumps(status | {"connection_id": number}).decode()
        line.reply(words.message("status", "update", told))

    def hear(self, text: str, now_s: float) -> None:
        """Act on one frame."""
        del now_s
        try:
            request = orjson.loads(text)
        except ValueError:
            request = None
        if not isinstance(request, dict):
            self._answer({}, error="Malformed request", success=False)
            return
        method, params = request.get("method"), request.get("params")
        if method == "ping":
            self._answer(request, method="pong")
        elif method not in CHANGES or not isinstance(params, dict):
            self._answer(request, error="Unsupported method or malformed params", success=False)
        else:
            symbols = params.get("symbol")
            for symbol in symbols if isinstance(symbols, list) else []:
                self._change(request, params, str(symbol))

    def _change(self, request: Mapping[str, Any], params: Mapping[str, Any], symbol: str) -> None:
        line, method = self._line, request["method"]
        try:
            result = self._result(params, symbol)
            stream = self._stream(result, symbol)
            held = self._held(stream, subscribes=method == "subscribe")
        except Refusal as e:
            self._answer(request, error=str(e), method=method, success=False, symbol=symbol)
            return
        self._answer(request, method=method, result=result, success=True)
        if held is not None:
            line.unsubscribe(held)
            return
        line.subscribe(stream)
        if BEAT not in line.streams:
            line.subscribe(BEAT)

    def _held(self, stream: Stream, *, subscribes: bool) -> Stream | None:
        """Return what must be given up: the stream of this symbol, with whatever parameter."""
        held = next((s for s in self._line.streams if s[:2] == stream[:2]), None)
        if subscribes and held:
            raise Refusal("Already subscribed")
        if not subscribes and not held:
            raise Refusal("Subscription Not Found")
        return held

    def _result(self, params: Mapping[str, Any], symbol: str) -> dict[str, Any]:
        """Return what was asked for with its defaults filled in."""
        channel = str(params.get("channel"))
        if channel not in KINDS:
            raise Refusal(f"Invalid channel {channel}")
        if not self._knows(symbol):
            raise Refusal(f"Currency pair not supported {symbol}")
        snapshot = params.get("snapshot", channel != "trade")
        result = {"channel": channel, "snapshot": bool(snapshot), "symbol": symbol}
        if channel == "book":
            result["depth"] = _one_of(DEPTHS, params.get("depth", DEPTHS[0]), "depth")
        if channel == "ohlc":
            minutes = params.get("interval", INTERVALS[0])
            result["interval"] = _one_of(INTERVALS, minutes, "ohlc interval")
            result["warnings"] = ["timestamp is deprecated, use interval_begin"]
        return result

    @staticmethod
    def _stream(result: Mapping[str, Any], symbol: str) -> Stream:
        parameter = str(result.get("depth", result.get("interval", "")))
        parameter += SNAPSHOT if result["snapshot"] else ""
        return Stream(KINDS[result["channel"]], symbol, parameter)

    def _answer(self, request: Mapping[str, Any], **told: object) -> None:
        now = words.time(time.time_ns() // 1_000_000)
        number = {"req_id": request["req_id"]} if "req_id" in request else {}
        self._line.reply(orjson.dumps({**told, **number, "time_in": now, "time_out": now}))


def _one_of(known: Sequence[int], wanted: object, name: str) -> int:
    if type(wanted) is not int or wanted not in known:
        raise Refusal(f"Subscription {name} not supported")
    return wanted
