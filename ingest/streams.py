"""Which streams of one market run, and how their topics are packed on sockets; pure.

A shard is what one socket (or a hot pair of them) subscribes to. A topic may serve several kinds
(Bybit's tickers hold funding and open interest), so it stays while one of them is wanted.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ingest.exchanges.base import Market, Subscription
from schemas.streams import Kind

StreamName = tuple[Kind, str]
"""Kind and symbol."""


@dataclass(slots=True, eq=False)
class Shard:
    """The topics of one socket: what is wanted, and what its links found."""

    path: str
    wanted: dict[str, None] = field(default_factory=dict)
    exclusive: set[str] = field(default_factory=set)
    """Wanted on one socket at a time: each subscription begins with a snapshot of its own, and
    the updates of two sockets must never mix."""
    renewals: set[str] = field(default_factory=set)
    """To be subscribed anew by the links, each once."""
    active: set[str] = field(default_factory=set)
    """Acknowledged."""
    refused: dict[str, str] = field(default_factory=dict)
    """Topic to the venue's words."""

    @property
    def chars(self) -> int:
        """The length of all topics together, which some venues limit."""
        return sum(map(len, self.wanted))


class Streams:
    """The wanted streams of one market and the shards that carry them."""

    def __init__(self, market: Market, pool_size: int) -> None:
        self.shards: list[Shard] = []
        self._market = market
        self._size = min(pool_size, market.limits.streams_per_socket_max)
        self._subscriptions = {s.kind: s for s in market.subscriptions}
        self._users: dict[tuple[str, str], set[StreamName]] = {}
        self._shard_of: dict[tuple[str, str], Shard] = {}
        self._names: dict[StreamName, None] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def names(self) -> Sequence[StreamName]:
        """Return the wanted streams in the order in which they were wanted."""
        return list(self._names)

    def has(self, kind: Kind) -> bool:
        """Say whether the market streams the kind over sockets."""
        return kind in self._subscriptions

    def add(self, kind: Kind, symbol: str) -> None:
        """Want a stream; its topics go to the first shard of its path that has room."""
        self._names[kind, symbol] = None
        subscription = self._subscriptions[kind]
        for topic in subscription.topics(symbol):
            users = self._users.setdefault((subscription.path, topic), set())
            users.add((kind, symbol))
            if (subscription.path, topic) in self._shard_of:
                continue
            shard = self._with_room(subscription.path, topic)
            shard.wanted[topic] = None
            if self._is_exclusive(subscription):
                shard.exclusive.add(topic)
            self._shard_of[subscription.path, topic] = shard

    def remove(self, kind: Kind, symbol: str) -> None:
        """Want a stream no more; topics that serve no other stream leave their shard."""
        self._names.pop((kind, symbol), None)
        subscription = self._subscriptions[kind]
        for topic in subscription.topics(symbol):
            at = subscription.path, topic
            users = self._users.get(at, set())
            users.discard((kind, symbol))
            if users or at not in self._shard_of:
                continue
            shard = self._shard_of.pop(at)
            del self._users[at]
            shard.wanted.pop(topic, None)
            shard.exclusive.discard(topic)
            shard.renewals.discard(topic)
            shard.refused.pop(topic, None)

    def renew(self, kind: Kind, symbol: str) -> None:
        """Subscribe the topics of a stream anew."""
        for shard, topic in self._carried(kind, symbol):
            shard.renewals.add(topic)

    def is_active(self, kind: Kind, symbol: str) -> bool:
        """Say whether the venue acknowledged every topic of a stream."""
        return all(topic in shard.active for shard, topic in self._carried(kind, symbol))

    def is_exclusive(self, kind: Kind, symbol: str) -> bool:
        """Say whether only one socket at a time may carry a stream."""
        return any(topic in shard.exclusive for shard, topic in self._carried(kind, symbol))

    def refusal(self, kind: Kind, symbol: str) -> str:
        """Return the venue's words about a topic of a stream that it refused, or nothing."""
        words = (shard.refused.get(topic, "") for shard, topic in self._carried(kind, symbol))
        return next(filter(None, words), "")

    def streams_of(self, shard: Shard) -> Sequence[StreamName]:
        """Return the streams that a shard carries."""
        found = {name for topic in shard.wanted for name in self._users[shard.path, topic]}
        return sorted(found)

    def _carried(self, kind: Kind, symbol: str) -> Iterable[tuple[Shard, str]]:
        subscription = self._subscriptions[kind]
        for topic in subscription.topics(symbol):
            shard = self._shard_of.get((subscription.path, topic))
            if shard is not None:
                yield shard, topic

    def _is_exclusive(self, subscription: Subscription) -> bool:
        rule = self._market.book
        return subscription.kind == "books" and rule is not None and rule.snapshot is None

    def _with_room(self, path: str, topic: str) -> Shard:
        chars_max = self._market.limits.topic_chars_per_socket_max
        for shard in self.shards:
            if shard.path != path or len(shard.wanted) >= self._size:
                continue
            if chars_max is None or shard.chars + len(topic) <= chars_max:
                return shard
        shard = Shard(path)
        self.shards.append(shard)
        return shard
