"""OKX's side of a conversation: an answer for each argument, and ``pong``."""

import json
from collections import deque
from collections.abc import Callable
from typing import Any

from simulator.dialect import Line
from simulator.feeds import Stream

REQUESTS_PER_HOUR_MAX = 480
REQUEST_BYTES_MAX = 65_536
HOUR_S = 3_600.0


class Conversation:
    """What one client's text frames mean."""

    def __init__(
        self, line: Line, connection: str, find: Callable[[dict[str, Any]], Stream | None]
    ) -> None:
        self._line = line
        self._connection = connection
        self._find = find
        """From an argument to its stream."""
        self._requests_s: deque[float] = deque(maxlen=REQUESTS_PER_HOUR_MAX)

    def hear(self, text: str, now_s: float) -> None:
        """Act on one text frame."""
        if text == "ping":
            self._line.reply(b"pong")
            return
        request = _read(text)
        if request is None:
            self._refuse({}, "60012", f"Invalid request: {text:.200}")
            return
        echo = {"id": request["id"]} if isinstance(request.get("id"), str) else {}
        if self._is_too_many(now_s):
            self._refuse(echo, "60014", "Requests too frequent.")
            return
        for arg in request["args"]:
            self._change(request["op"], arg, echo)

    def _change(self, op: str, arg: dict[str, Any], echo: dict[str, str]) -> None:
        stream = self._find(arg)
        if stream is None:
            told = ",".join(f"{name}:{value}" for name, value in arg.items())
            self._refuse(
                echo,
                "60018",
                f"Wrong URL or {told} doesn't exist. Please use the correct URL, channel and "
                "parameters referring to API document.",
            )
            return
        self._answer(echo | {"event": op, "arg": arg})
        if op == "subscribe":
            self._line.subscribe(stream)
        else:
            self._line.unsubscribe(stream)

    def _is_too_many(self, now_s: float) -> bool:
        window = self._requests_s
        if len(window) == window.maxlen and now_s - window[0] < HOUR_S:
            return True
        window.append(now_s)
        return False

    def _refuse(self, echo: dict[str, str], code: str, reason: str) -> None:
        self._answer(echo | {"event": "error", "code": code, "msg": reason})

    def _answer(self, told: dict[str, Any]) -> None:
        message = told | {"connId": self._connection}
        self._line.reply(json.dumps(message, separators=(",", ":")).encode())


def _read(text: str) -> dict[str, Any] | None:
    """Return a request to subscribe or unsubscribe; None: it is none."""
    if len(text.encode()) > REQUEST_BYTES_MAX:
        return None
    try:
        request = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(request, dict) or request.get("op") not in ("subscribe", "unsubscribe"):
        return None
    args = request.get("args")
    if not isinstance(args, list) or not args or not all(isinstance(arg, dict) for arg in args):
        return None
    return request
