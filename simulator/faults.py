"""What can be made to go wrong with a market, on demand and within bounds."""

import heapq
import json
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from simulator.feeds import KINDS, Kind, Stream
from simulator.options import CHANNELS

FAULTS: dict[str, Kind | None] = {
    # The kind of stream that is hit unless the wish names one; None: every kind.
    "disconnect": None,
    "silence": None,
    "hole": "books",
    "duplicate": "trades",
    "late": "trades",
    "reset": "books",
    "crossed": "books",
    "rate_limit": None,
    "big_frame": "trades",
    "garbage": None,
    "text_number": "trades",
}
ALIASES = {"delay": "late"}
SECONDS = {"late": 2.0, "crossed": 5.0, "rate_limit": 5.0}  # unless told; else one second
TEXTS = ("kind", "exchange", "market", "symbol", "stream")
BOOKS_ONLY = ("reset", "crossed")
COUNT_MAX = 1_000
SECONDS_MAX = 600.0
HELD_MAX = 10_000
RECENT_MESSAGES = 1_000  # of each kind
RECENT_BYTES_MAX = 16_384
"""A bigger message is not kept to be repeated."""
ASKS_BEFORE_BAN = 3


class BadRequestError(ValueError):
    """A request to the simulator itself makes no sense; the message says why."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One request; ``symbol`` empty means every symbol, ``stream`` empty the fault's usual kind."""

    kind: str
    market: str
    symbol: str = ""
    seconds: float = 1.0
    count: int = 1
    stream: str = ""
    exchange: str = ""


def read_fault(body: bytes) -> Fault:
    """Read the JSON of a request, or say what is wrong with it."""
    wish = _object(body)
    for name in TEXTS:
        if not isinstance(wish.setdefault(name, ""), str):
            raise BadRequestError(f"{name} is text")
    kind = ALIASES.get(wish["kind"], wish["kind"])
    if kind not in FAULTS:
        raise BadRequestError(f"kind is one of {', '.join(FAULTS)}")
    if wish["market"] not in CHANNELS:
        raise BadRequestError(f"market is one of {', '.join(CHANNELS)}")
    seconds, count = wish.get("seconds", SECONDS.get(kind, 1.0)), wish.get("count", 1)
    if not _number(seconds) or not 0 < seconds <= SECONDS_MAX:
        raise BadRequestError(f"seconds is a number above 0, at most {SECONDS_MAX:g}")
    if not _number(count) or count != int(count) or not 1 <= count <= COUNT_MAX:
        raise BadRequestError(f"count is a whole number from 1 to {COUNT_MAX}")
    stream = wish["stream"]
    if stream and stream not in KINDS:
        raise BadRequestError(f"stream is one of {', '.join(KINDS)}")
    if kind in BOOKS_ONLY and stream not in ("", "books"):
        raise BadRequestError(f"{kind} happens to books")
    return Fault(
        kind, wish["market"], wish["symbol"], float(seconds), int(count), stream, wish["exchange"]
    )


def _object(body: bytes) -> dict[str, Any]:
    try:
        wish = json.loads(body)
    except ValueError:
        raise BadRequestError("the body is not JSON") from None
    if not isinstance(wish, dict):
        raise BadRequestError("the body is not a JSON object")
    unknown = set(wish) - {*TEXTS, "seconds", "count"}
    if unknown:
        raise BadRequestError(f"unknown field {min(unknown)!r}")
    return wish


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass(slots=True)
class _Wish:
    """So many messages still to be hit, until then; ``late_ms`` is how long they are held."""

    left: int
    until_ms: int
    late_ms: int = 0


# A kind of stream ("" for all) and a symbol ("" for all).
Target = tuple[str, str]


@dataclass(slots=True)
class Trouble:
    """The faults under way in one market, and what they need: the last messages, those held."""

    silent_until_ms: dict[Target, float] = field(default_factory=dict)
    wishes: dict[tuple[str, *Target], _Wish] = field(default_factory=dict)
    held_rows: list[tuple[int, int, str, int]] = field(default_factory=list)  # heap by due time
    held_messages: list[tuple[int, int, Stream, bytes]] = field(default_factory=list)
    recent: dict[str, deque[tuple[Stream, bytes]]] = field(
        default_factory=lambda: {kind: deque(maxlen=RECENT_MESSAGES) for kind in KINDS}
    )
    limited_until_ms: float = 0.0
    asks_while_limited: int = 0
    order: int = 0

    def silent(self, kind: str, symbol: str, now_ms: int) -> bool:
        """Whether nothing of such a stream may be sent now."""
        if not self.silent_until_ms:
            return False
        for target in ((kind, symbol), (kind, ""), ("", symbol), ("", "")):
            if self.silent_until_ms.get(target, 0.0) > now_ms:
                return True
            self.silent_until_ms.pop(target, None)
        return False

    def wish(self, fault: Fault, now_ms: int) -> None:
        """Hit the next ``count`` messages of the fault's streams, whenever they come."""
        name = ALIASES.get(fault.kind, fault.kind)
        kind = fault.stream or FAULTS[name] or ""
        self.wishes[name, kind, fault.symbol] = _Wish(
            fault.count, now_ms + int(SECONDS_MAX * 1_000), int(fault.seconds * 1_000)
        )

    def hit(self, fault: str, kind: str, symbol: str, now_ms: int) -> _Wish | None:
        """The wish that the next message of such a stream fulfils, now one less."""
        if not self.wishes:
            return None
        for target in ((fault, kind, symbol), (fault, kind, "")):
            wish = self.wishes.get(target)
            if wish is None:
                continue
            wish.left -= 1
            if wish.left <= 0 or now_ms >= wish.until_ms:
                del self.wishes[target]
            if now_ms < wish.until_ms:
                return wish
        return None

    # -- held back

    def hold_row(self, symbol: str, row_id: int, now_ms: int) -> bool:
        """Keep a row back if its symbol's trades are to be late and there is room."""
        if len(self.held_rows) >= HELD_MAX:
            return False
        wish = self.hit("late", "trades", symbol, now_ms)
        if wish is None:
            return False
        self.order += 1
        heapq.heappush(self.held_rows, (now_ms + wish.late_ms, self.order, symbol, row_id))
        return True

    def hold_message(self, stream: Stream, message: bytes, now_ms: int) -> bool:
        """Keep a message of another kind back: it leaves as it is, after younger ones."""
        if len(self.held_messages) >= HELD_MAX:
            return False
        wish = self.hit("late", stream.kind, stream.symbol, now_ms)
        if wish is None:
            return False
        self.order += 1
        heapq.heappush(self.held_messages, (now_ms + wish.late_ms, self.order, stream, message))
        return True

    def due_rows(self, now_ms: int) -> list[tuple[str, int]]:
        """Take out the held rows whose time has come."""
        rows = []
        while self.held_rows and self.held_rows[0][0] <= now_ms:
            _, _, symbol, row_id = heapq.heappop(self.held_rows)
            rows.append((symbol, row_id))
        return rows

    def due_messages(self, now_ms: int) -> list[tuple[Stream, bytes]]:
        """Take out the held messages whose time has come."""
        messages = []
        while self.held_messages and self.held_messages[0][0] <= now_ms:
            _, _, stream, message = heapq.heappop(self.held_messages)
            messages.append((stream, message))
        return messages

    # -- what was sent

    def remember(self, stream: Stream, message: bytes) -> None:
        """Keep a message to be repeated or spoiled."""
        if len(message) <= RECENT_BYTES_MAX:
            self.recent[stream.kind].append((stream, message))

    def last(self, kind: str, symbol: str, count: int) -> list[tuple[Stream, bytes]]:
        """The last ``count`` messages of a kind and a symbol (or of all), oldest first."""
        found = [
            (stream, message)
            for stream, message in self.recent[kind]
            if symbol in ("", stream.symbol)
        ]
        return found[-count:]

    # -- REST

    def refuses(self, now_ms: int) -> tuple[int, bool] | None:
        """Whether REST is refused now: for how many seconds, and whether as a ban."""
        if now_ms >= self.limited_until_ms:
            self.asks_while_limited = 0
            return None
        self.asks_while_limited += 1
        left_s = -int((now_ms - self.limited_until_ms) // 1_000)
        return left_s, self.asks_while_limited > ASKS_BEFORE_BAN
