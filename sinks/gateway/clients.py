"""Who is connected, and who has something to be sent: what the hub keeps of its clients."""

from collections.abc import Callable, Iterable, Iterator

from schemas.intervals import Interval
from sinks.gateway.loads import Load
from sinks.gateway.outbox import Outbox, Update
from sinks.gateway.protocol import Key


def _nothing() -> None: ...


class Turn:
    """The clients that got something since the last flush; the first one calls ``schedule``."""

    def __init__(self) -> None:
        self.schedule: Callable[[], object] = _nothing
        """Makes the flush come, in the same turn of the loop; set by whoever runs the loop."""
        self._clients: set[Client] = set()

    def wake(self, clients: Iterable["Client"]) -> None:
        """Note who is to be flushed."""
        if not self._clients:
            self.schedule()
        self._clients.update(clients)

    def end(self) -> list["Client"]:
        """Return who is to be flushed now."""
        clients = list(self._clients)
        self._clients.clear()
        return clients


class Client:
    """One connection; ``notify`` is called when there is something to send or it is dropped."""

    __slots__ = (
        "_turn",
        "demanded",
        "dropped",
        "has_looked",
        "is_behind",
        "keys",
        "loads",
        "notify",
        "outbox",
        "wants_stats",
    )

    def __init__(
        self, notify: Callable[[], None], outbox: Outbox, turn: Turn, *, wants_stats: bool
    ) -> None:
        self.outbox = outbox
        self.wants_stats = wants_stats
        self.keys: dict[Key, None] = {}  # smaller than a set
        self.loads: dict[Key, Load] = {}
        """By series: the snapshots that are still to come."""
        self.is_behind = False
        """Something that was to go on from a position waits for its snapshot instead."""
        self.demanded: frozenset[Interval] = frozenset()
        """Intervals that nobody made when it asked for them."""
        self.has_looked = False
        """Names near one that it named were looked for in this second: that costs."""
        self.dropped: str | None = None
        self.notify = notify
        self._turn = turn

    def tell(self, text: str) -> None:
        """Queue a whole message."""
        self.outbox.put_text(text)
        self._turn.wake((self,))

    def tell_stats(self, text: str) -> None:
        """Queue the statistics in the place of older ones."""
        self.outbox.put_stats(text)
        self._turn.wake((self,))

    def give(self, update: Update) -> None:
        """Queue a row."""
        self.outbox.put(update)
        self._turn.wake((self,))

    def wake(self) -> None:
        """Let what waits be sent: there is room for it."""
        self._turn.wake((self,))

    def may_look(self) -> bool:
        """Say whether names near one that it named may be looked for: once a second."""
        is_first, self.has_looked = not self.has_looked, True
        return is_first

    def drop(self, reason: str) -> None:
        """Part with the client: nothing more is kept for it."""
        self.dropped = reason
        self.outbox.clear()
        self.notify()


class Audience:
    """The clients that get every change of something."""

    __slots__ = ("_puts", "_turn")

    def __init__(self, turn: Turn) -> None:
        self._puts: dict[Client, Callable[[Update], None]] = {}
        self._turn = turn

    def __len__(self) -> int:
        return len(self._puts)

    def __iter__(self) -> Iterator[Client]:
        return iter(self._puts)

    def __contains__(self, client: Client) -> bool:
        return client in self._puts

    def add(self, client: Client) -> None:
        """Let a client have every change from now on."""
        self._puts[client] = client.outbox.put

    def discard(self, client: Client) -> None:
        """Let a client have no more."""
        self._puts.pop(client, None)

    def give(self, update: Update) -> None:
        """Queue a row for all of them."""
        for put in self._puts.values():
            put(update)
        self._turn.wake(self._puts)
