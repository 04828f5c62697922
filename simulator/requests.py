"""The JSON requests of a WebSocket client and Binance's answers to them; no socket in sight."""

import json
import re
from collections.abc import Iterable

from simulator.hub import Connection, Hub
from simulator.venue import Venue

METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")
STREAM_NAME = re.compile(r"!?[^\s@!/]+(@[^\s@!/]+)*")
UNKNOWN_PROPERTY, WRONG_TYPE, INVALID_REQUEST, INVALID_JSON = range(4)


class TooManyStreams(Exception):  # noqa: N818 - the name says it
    """The connection would hold more streams than the venue allows."""


class _Wrong(Exception):  # noqa: N818 - answered, never seen outside
    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Desk:
    """Answers the requests of one connection, which came in by one path tier."""

    def __init__(self, connection: Connection, hub: Hub, venue: Venue, tier: str) -> None:
        self._connection = connection
        self._hub = hub
        self._venue = venue
        self._kinds = venue.routes[tier]

    def answer(self, text: str) -> bytes:
        """Do what a request asks and say so; raise TooManyStreams when it asks too much."""
        request_id: object = None
        try:
            request = _parse(text)
            request_id = self._id(request)
            answer: dict[str, object] = {"result": self._do(request), "id": request_id}
        except _Wrong as e:
            answer = {"error": {"code": e.code, "msg": str(e)}, "id": request_id}
        return json.dumps(answer, separators=(",", ":")).encode()

    def subscribe(self, streams: Iterable[str]) -> None:
        """Add streams; those that this path does not serve are accepted and stay silent."""
        wanted = dict.fromkeys((*self._connection.streams, *streams))
        if len(wanted) > self._venue.streams_max:
            raise TooManyStreams
        self._connection.streams = wanted
        self._hub.subscribe(self._connection, [s for s in wanted if self._serves(s)])

    def _serves(self, stream: str) -> bool:
        kind = stream.partition("@")[2].partition("_")[0]
        return kind in self._kinds

    def _id(self, request: dict[str, object]) -> object:
        request_id = request.get("id")
        if isinstance(request_id, int) and not isinstance(request_id, bool) and request_id >= 0:
            return request_id
        texts = self._venue.market == "spot"
        if texts and isinstance(request_id, str) and len(request_id) <= 36:
            return request_id
        raise _Wrong(INVALID_REQUEST, "Invalid request: request ID must be an unsigned integer")

    def _do(self, request: dict[str, object]) -> object:
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
            return list(self._connection.streams)
        if method in ("SET_PROPERTY", "GET_PROPERTY"):
            return self._property(method, request.get("params"))
        streams = _streams(request.get("params"))
        if method == "SUBSCRIBE":
            self.subscribe(streams)
        else:
            self._hub.unsubscribe(self._connection, streams)
            for stream in streams:
                self._connection.streams.pop(stream, None)
        return None

    def _property(self, method: object, params: object) -> bool | None:
        if not isinstance(params, list) or not params or not isinstance(params[0], str):
            raise _Wrong(INVALID_REQUEST, "Invalid request: property name must be a string")
        if params[0] != "combined":
            raise _Wrong(UNKNOWN_PROPERTY, "Unknown property")
        if method == "GET_PROPERTY":
            return self._connection.combined
        if len(params) != 2 or not isinstance(params[1], bool):
            raise _Wrong(WRONG_TYPE, "Invalid value type: expected Boolean")
        self._connection.combined = params[1]
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


def _streams(params: object) -> list[str]:
    if not isinstance(params, list) or not params:
        raise _Wrong(INVALID_REQUEST, "Invalid request: missing field `params`")
    for stream in params:
        if not isinstance(stream, str) or not STREAM_NAME.fullmatch(stream):
            raise _Wrong(INVALID_REQUEST, "Invalid request: invalid stream")
    return params
