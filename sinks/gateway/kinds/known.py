"""What is known of each symbol of one kind, bounded: the newest state, or the last rows in order.

No I/O and no clock. ``take`` a record and get what is news in it, in order. Where ids have no
order, a trade is known again among the last thousands of its symbol only: a repeat of an older one
is told once more.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterator
from itertools import count
from typing import Any, Protocol

from schemas.trades import SymbolTrades
from sinks.gateway import metrics
from sinks.gateway.kinds import rows
from sinks.gateway.kinds.rows import Market, Row
from sinks.gateway.protocol import Kind

SYMBOLS_MAX = 20_000  # of one kind; books of 20 levels have about 2 KB each
ROWS_PER_SYMBOL = 100
PAST_ROWS_MAX = 10_000
"""Of kinds told in order, all symbols of a subscription together: each has its share."""

KEYS_PER_SYMBOL = 5_000
"""Of trades, by which a repeat is known, where they are read: about 0.6 MB."""
KEYS_MAX = 500_000  # of all symbols together: each has its share

IsWanted = Callable[[Market], bool]


class Known(Protocol):
    """What is known of one kind."""

    is_conflated: bool
    """Whether only the newest row of a symbol says anything."""

    def take(self, value: bytes, is_wanted: IsWanted) -> Iterator[Row]:
        """Take a record and yield its news, at least of what is wanted; raise Poison."""

    def last(self, market: Market, rows_max: int) -> list[Row]:
        """Return what is known of a symbol, oldest first."""


class Latest:
    """The newest state of each symbol."""

    is_conflated = True

    def __init__(self) -> None:
        self._rows: dict[Market, Row] = {}

    def take(self, value: bytes, is_wanted: IsWanted) -> Iterator[Row]:  # noqa: ARG002
        """Take a record and yield the states in it that are newer than what is known."""
        for row in rows.states(value):
            if self.put(row):
                yield row

    def put(self, row: Row) -> bool:
        """Keep a state unless a newer one is known; say whether it was news."""
        known = self._rows.get(row.market)
        if known is None:
            if not _has_room(self._rows):
                return False
        elif known.order >= row.order:
            return False
        self._rows[row.market] = row
        return True

    def last(self, market: Market, rows_max: int) -> list[Row]:  # noqa: ARG002
        """Return the newest state, if there is one."""
        row = self._rows.get(market)
        return [] if row is None else [row]

    def rows(self) -> list[Row]:
        """Return every state."""
        return list(self._rows.values())


class Told:
    """The last records about each symbol, in the order of the topic."""

    is_conflated = False

    def __init__(self) -> None:
        self._rows: dict[Market, deque[Row]] = {}
        self._number = count()

    def take(self, value: bytes, is_wanted: IsWanted) -> Iterator[Row]:  # noqa: ARG002
        """Take a record and yield its rows, numbered as they come."""
        for row in rows.gaps(value):
            numbered = row._replace(order=next(self._number))
            kept = self._rows.get(row.market)
            if kept is None:
                if not _has_room(self._rows):
                    continue
                kept = self._rows[row.market] = deque(maxlen=ROWS_PER_SYMBOL)
            kept.append(numbered)
            yield numbered

    def last(self, market: Market, rows_max: int) -> list[Row]:
        """Return the last rows of a symbol."""
        return list(self._rows.get(market, ()))[-rows_max:]


class Tapes:
    """The last trades of each symbol."""

    is_conflated = False

    def __init__(self) -> None:
        self._tapes: dict[Market, Tape] = {}

    def take(self, value: bytes, is_wanted: IsWanted) -> Iterator[Row]:
        """Take a record and yield the new trades of symbols that are wanted."""
        for market, recv_ms, group in rows.trades(value):
            tape = self._tapes.get(market)
            if tape is None:
                if not _has_room(self._tapes):
                    continue
                tape = self._tapes[market] = Tape()
            tape.put(recv_ms, group)
            if is_wanted(market):
                for text in tape.read(self._keys_max()):
                    yield Row(market, 0, recv_ms, text)

    def last(self, market: Market, rows_max: int) -> list[Row]:
        """Return the last trades of a symbol."""
        tape = self._tapes.get(market)
        if tape is None:
            return []
        for _ in tape.read(self._keys_max()):
            pass
        texts = list(tape.texts)[-rows_max:]
        return [Row(market, 0, tape.recv_ms, text) for text in texts]

    def _keys_max(self) -> int:
        share = KEYS_MAX // len(self._tapes)
        return max(min(share, KEYS_PER_SYMBOL), ROWS_PER_SYMBOL)


class Tape:
    """The last trades of one symbol; they become rows when somebody wants them."""

    __slots__ = ("_keys", "_newest", "_size", "_unread", "recv_ms", "texts")

    def __init__(self) -> None:
        self.texts: deque[str] = deque(maxlen=ROWS_PER_SYMBOL)
        self.recv_ms = 0
        self._keys: dict[int | str, None] = {}  # what tells a trade from all others, in order
        self._unread: deque[SymbolTrades] = deque()
        self._size = 0  # trades in it
        self._newest = -1

    def put(self, recv_ms: int, group: SymbolTrades) -> None:
        """Take trades in; of those that nobody read, more than are kept are forgotten."""
        self.recv_ms = max(self.recv_ms, recv_ms)
        self._unread.append(group)
        self._size += len(group)
        while self._size - len(self._unread[0]) >= ROWS_PER_SYMBOL:
            self._size -= len(self._unread.popleft())

    def read(self, keys_max: int) -> Iterator[str]:
        """Yield the trades that came since it was last read, each once among so many."""
        while self._unread:
            group = self._unread.popleft()
            self._size -= len(group)
            has_order = group.ids != "unique" and group.uid is None
            for key, text in rows.trade_rows(group):
                if key in self._keys or (has_order and self._is_repeat(key)):
                    continue
                self._keys[key] = None
                while len(self._keys) > keys_max:
                    del self._keys[next(iter(self._keys))]
                self.texts.append(text)
                yield text

    def _is_repeat(self, id_: Any) -> bool:
        """Say whether an id is older than all that are remembered; a late one is among them."""
        if id_ > self._newest:
            self._newest = id_
            return False
        return bool(id_ < next(iter(self._keys), id_))


def _has_room(known: Collection[Market]) -> bool:
    """Say whether one more symbol can be known; the rows of others are left out, and counted."""
    if len(known) < SYMBOLS_MAX:
        return True
    metrics.LEFT_OUT.inc()
    return False


KNOWN: dict[Kind, Callable[[], Known]] = {
    **dict.fromkeys(("prices", "tickers", "books", "ticks", "stats"), Latest),
    "trades": Tapes,
    "gaps": Told,
}
