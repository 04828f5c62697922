"""The JSON requests of a WebSocket client and Binance's answers to them; no socket in sight."""

import json
from typing import NamedTuple

from simulator.dialect import Line
from simulator.feeds import Stream
from simulator.venues.binance.market import Market
from simulator.venues.binance.streams import (
    STREAM_NAME,
    name_of,
    read,
    silent,
    word_of,
    wrapped,
)

POLICY_VIOLATION = 1_008
METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")
UNKNOWN_PROPERTY, WRONG_TYPE, INVALID_REQUEST, INVALID_JSON = range(4)


class _Wrong(Exception):  # noqa: N818 - answered, never seen outside
    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Target(NamedTuple):
    """Where a path leads."""

    tier: str
    is_combined: bool
    names: list[str]


def read_path(path: str, query: str) -> Target | None:
    """Tier, whether combined, and the streams of a path; nothing if it leads nowhere."""
    tier, _, rest = path.strip("/").partition("/")
    if tier in ("ws", "stream"):
        tier, rest = "", path.strip("/")
    form, _, names = rest.partition("/")
    if form not in ("ws", "stream") or (form == "stream" and names):
        return None
    wanted = names if form == "ws" else query
    return Target(
        tier, form == "stream", [s for s in wanted.split("/") if STREAM_NAME.fullmatch(s)]
    )


class Desk:
    """Answers the requests of one connection, which came in by one path."""

    def __init__(self, line: Line, market: Market, target: Target) -> None:
        self._line = line
        self._market = market
        self._served = market.routes[target.tier]
        if target.is_combined:
            line.wrap = wrapped
        self._subscribe(target.names)

    def hear(self, text: str, now_s: float) -> None:
        """Do what a request asks and say so."""
        del now_s  # how often one may ask is the session's to watch
        request_id: object = None
        names: list[str] = []
        try:
            request = _parse(text)
            request_id = self._id(request)
            result, names = self._do(request)
            answer: dict[str, object] = {"result": result, "id": request_id}
        except _Wrong as e:
            answer = {"error": {"code": e.code, "msg": str(e)}, "id": request_id}
        if self._has_room(names):  # too much asked is not acknowledged
            self._line.reply(json.dumps(answer, separators=(",", ":")).encode())
        self._subscribe(names)

    def _has_room(self, names: list[str]) -> bool:
        wanted = dict.fromkeys((*self._line.streams, *map(self._stream, names)))
        return len(wanted) <= self._market.streams_max

    def _subscribe(self, names: list[str]) -> None:
        """Add streams; those that this path does not serve are accepted and stay silent."""
        if not self._has_room(names):
            self._line.close(POLICY_VIOLATION, "Too many streams")
            return
        for name in names:
            self._line.subscribe(self._stream(name))

    def _stream(self, name: str) -> Stream:
        return read(name) if word_of(name) in self._served else silent(name)

    def _id(self, request: dict[str, object]) -> object:
        request_id = request.get("id")
        if isinstance(request_id, int) and not isinstance(request_id, bool) and request_id >= 0:
            return request_id
        if self._market.is_spot and isinstance(request_id, str) and len(request_id) <= 36:
            return request_id
        raise _Wrong(INVALID_REQUEST, "Invalid request: request ID must be an unsigned integer")

    def _do(self, request: dict[str, object]) -> tuple[object, list[str]]:
        """The result of a request, and what it subscribes."""
        method = request.get("method")
        if method is None:
            raise _Wrong(INVALID_REQUEST, "Invalid request: missing field `method`")
        if method not in METHODS:
            raise _Wrong(
                INVALID_REQUEST,
                f"Invalid request: unknown variant `{method}`, expected one of"
                f" {', '.join(f'`{m}`' for m in METHODS)}",
            )
        if method == "LIST_SUBSCRIPTIONS":
            return list(map(name_of, self._line.streams)), []
        if method in ("SET_PROPERTY", "GET_PROPERTY"):
            return self._property(method, request.get("params")), []
        names = _names(request.get("params"))
        if method == "SUBSCRIBE":
            return None, names
        for name in names:
            self._line.unsubscribe(self._stream(name))
        return None, []

    def _property(self, method: object, params: object) -> bool | None:
        if not isinstance(params, list) or not params or not isinstance(params[0], str):
            raise _Wrong(INVALID_REQUEST, "Invalid request: property name must be a string")
        if params[0] != "combined":
            raise _Wrong(UNKNOWN_PROPERTY, "Unknown property")
        if method == "GET_PROPERTY":
            return self._line.wrap is not None
        if len(params) != 2 or not isinstance(params[1], bool):
            raise _Wrong(WRONG_TYPE, "Invalid value type: expected Boolean")
        self._line.wrap = wrapped if params[1] else None
        return None


def _parse(text: str) -> dict[str, object]:
    try:
        request = json.loads(text)
    except ValueError as e:
        where = getattr(e, "colno", 1)
        raise _Wrong(
            INVALID_JSON, f"Invalid JSON: expected value at line 1 column {where}"
        ) from None
    if not isinstance(request, dict):
        raise _Wrong(INVALID_REQUEST, "Invalid request: expected an object")
    return request


def _names(params: object) -> list[str]:
    if not isinstance(params, list) or not params:
        raise _Wrong(INVALID_REQUEST, "Invalid request: missing field `params`")
    for stream in params:
        if not isinstance(stream, str) or not STREAM_NAME.fullmatch(stream):
            raise _Wrong(INVALID_REQUEST, "Invalid request: invalid stream")
    return params
