"""One kind: what is known of it, and who is told what. No I/O and no clock.

Nobody is told anything before the past has been read.
"""

from collections import defaultdict
from collections.abc import Iterator
from collections.abc import Set as AbstractSet

from sinks.gateway.clients import Audience, Client, Turn
from sinks.gateway.envelopes import SNAPSHOT_ROWS_MAX, market_head, updates_text
from sinks.gateway.kinds import known
from sinks.gateway.kinds.known import KNOWN, Latest
from sinks.gateway.kinds.rows import Market, Row
from sinks.gateway.outbox import row_update
from sinks.gateway.protocol import ANY, Kind, KindKey, is_of

MESSAGE_BYTES_MAX = 512 << 10  # of a snapshot; clients' libraries refuse messages of 1 MiB
EVERY_SYMBOL = ""
"""The symbol of what is told of a whole socket: it concerns whoever wants any symbol of it."""
_Place = tuple[str, str]


class Board:
    """All of one kind; ``take`` what is on its topic."""

    def __init__(self, kind: Kind, turn: Turn) -> None:
        self.kind = kind
        self._turn = turn
        self.is_ready = False
        """Whether the past has been read."""
        self.subscribers: defaultdict[KindKey, set[Client]] = defaultdict(set)
        """By key as asked."""
        self._known = KNOWN[kind]()
        self._audiences: dict[_Place, dict[str, Audience]] = {}
        """Who gets every change, by exchange and channel, by symbol, of all that is known."""
        self._heads: dict[_Place, str] = {}

    def add(self, client: Client, key: KindKey) -> None:
        """Tell a client every change of what the key covers."""
        self.subscribers[key].add(client)
        for market in self._covered(key):
            self._audiences[market[:2]][market[2]].add(client)

    def remove(self, client: Client, key: KindKey, others: AbstractSet[KindKey]) -> None:
        """Tell it no more of it, but what its other keys cover."""
        self.subscribers[key].discard(client)
        if not self.subscribers[key]:
            del self.subscribers[key]
        for market in self._covered(key):
            if others.isdisjoint(self._covering(market, others)):
                self._audiences[market[:2]][market[2]].discard(client)

    def forget(self) -> None:
        """Forget what is known: its topic is read no more."""
        self.is_ready = False
        self._known = KNOWN[self.kind]()
        self._audiences.clear()

    def take(self, value: bytes) -> int:
        """Take a record and tell its news; return how many rows that was for all. Raise Poison."""
        return sum(self._tell(row) for row in self._known.take(value, self._is_wanted))

    def merge(self, older: Latest) -> int:
        """Take states from before those that are known, and tell what they add."""
        latest = self._known
        if not isinstance(latest, Latest):
            return 0
        return sum(self._tell(row) for row in older.rows() if latest.put(row))

    def snapshot(self, key: KindKey) -> Iterator[str]:
        """Yield what is known under a key: messages of each exchange and channel."""
        markets = self._covered(key)
        rows_max = max(known.PAST_ROWS_MAX // max(len(markets), 1), 1)
        by_place: dict[_Place, list[Row]] = defaultdict(list)
        for market in markets:
            by_place[market[:2]] += self._known.last(market, rows_max)
        for place, rows in by_place.items() or [((key.exchange, key.channel), [])]:
            rows.sort(key=lambda row: row.order)
            yield from self._messages(place, rows)

    def _messages(self, place: _Place, rows: list[Row]) -> Iterator[str]:
        head = market_head(*place, self.kind)  # not kept: the place may be what a client made up
        recv_ms = max((row.recv_ms for row in rows), default=0)
        for at, part in enumerate(_parts(rows)):
            yield updates_text(head, recv_ms, [row.text for row in part], snapshot=not at)

    def _tell(self, row: Row) -> int:
        audience = self._audience(row.market)
        if not audience or not self.is_ready:
            return 0
        slot = (self.kind, *row.market) if self._known.is_conflated else None
        audience.give(row_update(row.text, self._head(row.market[:2]), row.recv_ms, slot))
        return len(audience)

    def _head(self, place: _Place) -> str:
        # One text for all: rows share a frame where theirs is the same object.
        head = self._heads.get(place)
        if head is None:
            head = self._heads[place] = market_head(*place, self.kind)
        return head

    def _is_wanted(self, market: Market) -> bool:
        return bool(self._audience(market))

    def _audience(self, market: Market) -> Audience:
        symbols = self._audiences.setdefault(market[:2], {})
        found = symbols.get(market[2])
        if found is None:
            found = symbols[market[2]] = Audience(self._turn)
            for key in self._asked(market):
                for client in self.subscribers[key]:
                    found.add(client)
        return found

    def _asked(self, market: Market) -> list[KindKey]:
        """Return the keys that cover a symbol, of those that somebody wants."""
        asked = self.subscribers.keys()
        return [key for key in self._covering(market, asked) if key in asked]

    def _covering(self, market: Market, among: AbstractSet[KindKey]) -> list[KindKey]:
        """Return the keys that cover a symbol; of those of a whole socket, ``among`` these."""
        exchange, channel, symbol = market
        if symbol == EVERY_SYMBOL:
            return [key for key in among if key.kind == self.kind and is_of(key, market[:2])]
        return [
            KindKey(its_exchange, its_channel, its_symbol, self.kind)
            for its_exchange in (exchange, ANY)
            for its_channel in (channel, ANY)
            for its_symbol in (symbol, ANY)
        ]

    def _covered(self, key: KindKey) -> list[Market]:
        """Return what a key covers, of all that is known."""
        found = []
        for place, symbols in self._audiences.items():
            if is_of(key, place):
                named = symbols if key.symbol == ANY else (key.symbol, EVERY_SYMBOL)
                found += [(*place, symbol) for symbol in named if symbol in symbols]
        return found


def _parts(rows: list[Row]) -> Iterator[list[Row]]:
    """Yield rows by the message, at least one message."""
    part: list[Row] = []
    size = 0
    for row in rows:
        if part and (len(part) >= SNAPSHOT_ROWS_MAX or size + len(row.text) > MESSAGE_BYTES_MAX):
            yield part
            part, size = [], 0
        part.append(row)
        size += len(row.text)
    yield part
