"""What can be made to go wrong with a market, on demand and within bounds."""

import heapq
import json
from collections import deque
from dataclasses import dataclass, field

from simulator.options import MARKETS

KINDS = ("disconnect", "silence", "duplicate", "delay", "garbage", "text_number")
COUNT_MAX = 1_000
SECONDS_MAX = 600.0
HELD_ROWS_MAX = 10_000


class BadRequestError(ValueError):
    """A request to the simulator itself makes no sense; the message says why."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One request; ``symbol`` empty means every symbol of the market."""

    kind: str
    market: str
    symbol: str = ""
    seconds: float = 1.0
    count: int = 1


def read_fault(body: bytes) -> Fault:
    """Read the JSON of a request, or say what is wrong with it."""
    try:
        wish = json.loads(body)
    except ValueError:
        raise BadRequestError("the body is not JSON") from None
    if not isinstance(wish, dict):
        raise BadRequestError("the body is not a JSON object")
    unknown = set(wish) - {"kind", "market", "symbol", "seconds", "count"}
    if unknown:
        raise BadRequestError(f"unknown field {min(unknown)!r}")
    if wish.get("kind") not in KINDS:
        raise BadRequestError(f"kind is one of {', '.join(KINDS)}")
    if wish.get("market") not in MARKETS:
        raise BadRequestError(f"market is one of {', '.join(MARKETS)}")
    seconds, count = wish.get("seconds", 1.0), wish.get("count", 1)
    if not _number(seconds) or not 0 < seconds <= SECONDS_MAX:
        raise BadRequestError(f"seconds is a number above 0, at most {SECONDS_MAX:g}")
    if not _number(count) or count != int(count) or not 1 <= count <= COUNT_MAX:
        raise BadRequestError(f"count is a whole number from 1 to {COUNT_MAX}")
    symbol = wish.get("symbol") or ""
    if not isinstance(symbol, str):
        raise BadRequestError("symbol is text")
    if wish["kind"] == "delay" and not symbol:
        raise BadRequestError("delay needs a symbol")
    return Fault(wish["kind"], wish["market"], symbol.upper(), float(seconds), int(count))


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass(slots=True)
class Trouble:
    """The faults under way in one market; symbols are named, "" stands for all."""

    silent_until_ms: dict[str, float] = field(default_factory=dict)
    # symbol -> rows still to hold back, and for how long
    to_delay: dict[str, tuple[int, int]] = field(default_factory=dict)
    held: list[tuple[int, int, str, int]] = field(default_factory=list)  # heap by due time
    # The last canonical messages, to be repeated: (symbol, stream, payload).
    recent: deque[tuple[str, str, bytes]] = field(default_factory=lambda: deque(maxlen=COUNT_MAX))
    order: int = 0

    def silent(self, symbol: str, now_ms: int) -> bool:
        """Whether nothing of ``symbol`` may be sent now."""
        if not self.silent_until_ms:
            return False
        for name in ("", symbol):
            if self.silent_until_ms.get(name, 0.0) > now_ms:
                return True
            self.silent_until_ms.pop(name, None)
        return False

    def hold(self, symbol: str, row_id: int, now_ms: int) -> bool:
        """Keep a row back if its symbol is being delayed and there is room."""
        wish = self.to_delay.get(symbol)
        if wish is None or len(self.held) >= HELD_ROWS_MAX:
            return False
        left, delay_ms = wish
        self.order += 1
        heapq.heappush(self.held, (now_ms + delay_ms, self.order, symbol, row_id))
        if left > 1:
            self.to_delay[symbol] = (left - 1, delay_ms)
        else:
            del self.to_delay[symbol]
        return True

    def due(self, now_ms: int) -> list[tuple[str, int]]:
        """Take out the held rows whose time has come."""
        rows = []
        while self.held and self.held[0][0] <= now_ms:
            _, _, symbol, row_id = heapq.heappop(self.held)
            rows.append((symbol, row_id))
        return rows

    def last(self, symbol: str, count: int) -> list[tuple[str, bytes]]:
        """The last ``count`` messages of a symbol (or of all), oldest first."""
        found = [(s, p) for name, s, p in self.recent if symbol in ("", name)]
        return found[-count:]
