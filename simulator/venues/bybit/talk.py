"""Bybit's side of a conversation: subscribe, unsubscribe, ping, and its refusals.

A request is accepted whole or refused whole, for one topic of it. What spot and linear answer
differs: an empty ``req_id`` is left out by the one and echoed by the other.
"""

import json
import uuid
from collections.abc import Callable

from simulator.dialect import Line
from simulator.venues.bybit.topics import stream_of, topic_of

SPOT_ARGS_MAX = 10  # of one request
ARGS_CHARACTERS_MAX = 21_000  # of all that one connection is subscribed to


class Conversation:
    """What one client's text frames mean."""

    def __init__(self, line: Line, *, is_linear: bool, trades: Callable[[str], bool]) -> None:
        self._line = line
        self._is_linear = is_linear
        self._trades = trades
        """Whether a symbol trades here."""
        self._conn_id = str(uuid.uuid4())

    def hear(self, text: str, now_s: float) -> None:
        """Act on one text frame."""
        del now_s  # there is no limit on requests
        try:
            request = json.loads(text)
        except ValueError:
            request = None
        if not isinstance(request, dict) or not isinstance(request.get("req_id", ""), str):
            self._answer("", "", problem=f"Failed to decode incoming data:{text:.40}")
            return
        op, req_id, args = request.get("op"), request.get("req_id", ""), request.get("args", [])
        if op == "ping":
            self._answer("ping", req_id, said="pong")
        elif op not in ("subscribe", "unsubscribe"):
            self._answer("", req_id, problem="error:invalid op")
        elif not isinstance(args, list) or not all(isinstance(topic, str) for topic in args):
            self._answer(op, req_id, problem="error:args is not a list of topics")
        elif op == "subscribe":
            self._subscribe(list(dict.fromkeys(args)), req_id)
        else:
            self._unsubscribe(args, req_id)

    def _subscribe(self, topics: list[str], req_id: str) -> None:
        problem = self._problem(topics)
        self._answer("subscribe", req_id, problem=problem)
        if problem:
            return
        for topic in topics:
            stream = stream_of(topic, is_linear=self._is_linear)
            if stream is not None:
                self._line.subscribe(stream)

    def _unsubscribe(self, topics: list[str], req_id: str) -> None:
        for topic in topics:
            stream = stream_of(topic, is_linear=self._is_linear)
            if stream is not None:
                self._line.unsubscribe(stream)
        self._answer("unsubscribe", req_id)

    def _problem(self, topics: list[str]) -> str:
        """Return why the whole request is refused, or nothing."""
        if not self._is_linear and len(topics) > SPOT_ARGS_MAX:
            return f"args size >{SPOT_ARGS_MAX}"
        known = self._line.streams
        characters = sum(len(topic_of(stream)) for stream in known) + sum(map(len, topics))
        if characters > ARGS_CHARACTERS_MAX:
            return f"error:args length >{ARGS_CHARACTERS_MAX}"
        for topic in topics:
            stream = stream_of(topic, is_linear=self._is_linear)
            if stream is None or not self._trades(stream.symbol):
                if self._is_linear:
                    return f"error:handler not found,topic:{topic}"
                return f"Invalid symbol :[{topic}]"
            if stream in known:
                return f"error:already subscribed,topic:{topic}"
        return ""

    def _answer(self, op: str, req_id: str, *, said: str = "", problem: str = "") -> None:
        if not said and not self._is_linear:
            said = op
        answer: dict[str, object] = {
            "success": not problem,
            "ret_msg": problem or said,
            "conn_id": self._conn_id,
        }
        if req_id or self._is_linear:
            answer["req_id"] = req_id
        answer["op"] = op
        self._line.reply(json.dumps(answer, separators=(",", ":")).encode())
