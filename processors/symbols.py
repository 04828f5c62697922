"""SymbolFold: a fold that keeps a state a symbol, and publishes the newest of each, conflated.

What is published is a function of the records up to ``rev`` and of nothing else; the clock only
says how often. A partition that is taken over publishes all of its symbols once: whether the last
of them had left before the crash is not known.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Generic, NamedTuple, TypeVar

from processors.changelog import is_slot
from processors.fold import Output, Partitions, taken
from schemas.topics import Topic, symbol_key

LAGGING_FACTOR = 8  # while catching up every state is stale anyway: publish fewer
NEVER_MS = -(2**62)


class Market(NamedTuple):
    """One exchange and channel on one partition."""

    partition: int
    exchange: str
    channel: str


class SymbolState:
    """What every state has; ``rev`` is the offset of the last record that changed it."""

    __slots__ = ("key", "market", "recv_ms", "rev", "sent_ms", "symbol")

    def __init__(self, market: Market, symbol: str) -> None:
        self.market = market
        self.symbol = symbol
        self.key = symbol_key(market.exchange, market.channel, symbol)
        self.rev = -1
        self.recv_ms = 0
        self.sent_ms = NEVER_MS

    def value(self) -> bytes:
        """Return what is published."""
        raise NotImplementedError

    def records(self) -> Iterable[tuple[bytes, bytes]]:
        """Return what the changelog needs, in the order of writing."""
        return ((self.key, self.value()),)


S = TypeVar("S", bound=SymbolState)


class SymbolFold(Generic[S]):
    """See the module; ``_restored`` is what a fold with a changelog adds to its ``apply``."""

    reads: tuple[Topic, ...]
    writes: tuple[Topic, ...]

    def __init__(self, every_ms: int) -> None:
        self._every_ms = every_ms
        self._markets: dict[Market, dict[str, S]] = {}
        self._fresh: dict[S, None] = {}  # changed since it was published
        self._dirty: dict[S, int] = {}  # changed since the last checkpoint, with the partition

    def tick(self, now_ms: int, caught_up: Collection[int]) -> None:
        """Nothing here is the clock's."""

    def outputs(self, now_ms: int, caught_up: Collection[int]) -> Iterator[Output]:
        """Yield what is due; once it is exhausted only what is throttled waits."""
        slow_ms = self._every_ms * LAGGING_FACTOR
        due = []
        for state in self._fresh:
            every_ms = self._every_ms if state.market.partition in caught_up else slow_ms
            # A clock that was set back must not silence a symbol.
            if not 0 <= now_ms - state.sent_ms < every_ms:
                due.append(state)
        for state in due:
            del self._fresh[state]
            state.sent_ms = now_ms
            yield Output(self.writes[0], state.key, state.value())

    def take_dirty(self, partitions: Partitions = None) -> list[tuple[int, bytes, bytes]]:
        """Return (partition, key, record) of what changed since it was taken last."""
        return [
            (partition, key, value)
            for state, partition in taken(self._dirty, partitions).items()
            for key, value in state.records()
        ]

    def restore(self, partition: int, states: Mapping[bytes, bytes]) -> None:
        """Take over a partition with the records of ``take_dirty``; raise ``UnknownState``."""
        self.drop(partition)
        for key, value in states.items():
            if not is_slot(key):
                exchange, channel, symbol = key.decode().split(":", 2)
                state = self._restored(Market(partition, exchange, channel), symbol, value, states)
                self._markets.setdefault(state.market, {})[symbol] = state
                self._fresh[state] = None

    def drop(self, partition: int) -> None:
        """Forget a partition that another worker owns now."""
        for market in [m for m in self._markets if m.partition == partition]:
            for state in self._markets.pop(market).values():
                self._forget(state)

    def _restored(
        self, market: Market, symbol: str, value: bytes, states: Mapping[bytes, bytes]
    ) -> S:
        raise NotImplementedError

    def _changed(self, state: S, offset: int, recv_ms: int) -> None:
        state.rev, state.recv_ms = offset, recv_ms
        self._fresh[state] = None
        self._dirty[state] = state.market.partition

    def _forget(self, state: S) -> None:
        self._fresh.pop(state, None)
        self._dirty.pop(state, None)
