"""What Hyperliquid understands of a client; an unknown coin costs the whole connection."""

import json
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import orjson

from simulator.candles import INTERVALS_MS
from simulator.dialect import Line
from simulator.feeds import Stream
from simulator.venues.hyperliquid.feeds import message

MESSAGES_PER_MINUTE_MAX = 2_000
SUBSCRIPTIONS_MAX = 1_000  # of an address; here of a connection
GOING_AWAY = 1_001
INTERVALS = tuple(name for name in INTERVALS_MS if name not in ("1s", "6h"))


CHANGES = ("subscribe", "unsubscribe")


class Wanted(NamedTuple):
    """A subscription: our stream, and the venue's object with its defaults filled in."""

    stream: Stream
    told: dict[str, Any]


class Allowance:
    """What all connections together may do; the simulator has one client address."""

    def __init__(self) -> None:
        self._heard_s: deque[float] = deque(maxlen=MESSAGES_PER_MINUTE_MAX)

    def is_used_up(self, now_s: float) -> bool:
        """Count one message; whether it is one more than a minute may hold."""
        heard = self._heard_s
        full = len(heard) == MESSAGES_PER_MINUTE_MAX and now_s - heard[0] < 60.0
        heard.append(now_s)
        return full


class Conversation:
    """One connection; it has no memory but its streams."""

    def __init__(self, line: Line, knows: Callable[[str], bool], allowance: Allowance) -> None:
        self._line = line
        self._knows = knows
        self._allowance = allowance

    def hear(self, text: str, now_s: float) -> None:
        """Act on one frame."""
        if self._allowance.is_used_up(now_s):
            self._line.close(GOING_AWAY, "Too many messages")
            return
        try:
            request = orjson.loads(text)
        except ValueError:
            request = None
        method = str(request.get("method")) if isinstance(request, dict) else ""
        if method == "ping":
            self._line.reply(b'{"channel":"pong"}')
            return
        wanted = _read(request.get("subscription")) if method in CHANGES else None
        if wanted is None:
            said = f"Error parsing JSON into valid websocket request: {text}"
            self._line.reply(message("error", said))
        elif not self._knows(wanted.stream.symbol):
            self._line.close(GOING_AWAY, "")  # it says nothing
        else:
            self._change(method, wanted)

    def _change(self, method: str, wanted: Wanted) -> None:
        line, stream = self._line, wanted.stream
        subscribes = method == "subscribe"
        if subscribes == (stream in line.streams):
            line.reply(message("error", f"Already {method}d: {_compact(wanted.told)}"))
            return
        if subscribes and len(line.streams) >= SUBSCRIPTIONS_MAX:
            line.reply(message("error", f"Too many subscriptions: {_compact(wanted.told)}"))
            return
        answer = {"method": method, "subscription": wanted.told}
        line.reply(message("subscriptionResponse", answer))
        (line.subscribe if subscribes else line.unsubscribe)(stream)


def _compact(told: dict[str, Any]) -> str:
    return json.dumps(told, separators=(",", ":"))


def _read(wish: object) -> Wanted | None:
    """Return what is wanted, or None where the venue cannot read it."""
    if not (isinstance(wish, dict) and isinstance(wish.get("coin"), str)):
        return None
    coin, told = wish["coin"], {"type": wish.get("type"), "coin": wish["coin"]}
    match wish.get("type"):
        case "trades":
            return Wanted(Stream("trades", coin), told)
        case "l2Book":
            fast = wish.get("fast") is True
            told |= {"nSigFigs": None, "mantissa": None, "fast": fast}
            return Wanted(Stream("books", coin, "fast" if fast else ""), told)
        case "activeAssetCtx":
            return Wanted(Stream("tickers", coin), told)
        case "candle" if wish.get("interval") in INTERVALS:
            interval = wish["interval"]
            return Wanted(Stream("venue-klines", coin, interval), told | {"interval": interval})
    return None
