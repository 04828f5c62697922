"""Who wants which kinds, by client: the boards of all kinds, and what they have in common.

No I/O and no clock. A kind's topic is read while somebody wants it: ``KindFeed`` looks at
``is_wanted`` and feeds ``take``.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Protocol

from sinks.gateway.clients import Client, Turn
from sinks.gateway.envelopes import unsubscribed_text
from sinks.gateway.kinds.board import Board
from sinks.gateway.kinds.known import Latest
from sinks.gateway.protocol import KINDS, Kind, KindAnswer, KindKey

SNAPSHOT_BYTES_MAX = 4 << 20
"""Of all that a client is sent at once and what waits for it; its outbox holds twice that."""


class Advise(Protocol):
    """Says why a subscription may wait in vain."""

    def __call__(self, key: KindKey, may_look: Callable[[], bool]) -> str | None:
        """Return it; where it ``may_look``, with names that are like an unknown one."""


def _no_advice(key: KindKey, may_look: Callable[[], bool]) -> str | None:  # noqa: ARG001
    return None


class Kinds:
    """All kinds and who wants them."""

    def __init__(self, turn: Turn) -> None:
        self.advise: Advise = _no_advice
        self.on_wanted: Callable[[Kind], None] = lambda _: None
        """Called when a kind is wanted that is not read."""
        self._boards = {kind: Board(kind, turn) for kind in KINDS}
        self._clients: dict[Client, set[KindKey]] = {}
        self._sent: Counter[Client] = Counter()  # bytes of snapshots since the last tick

    def keys_of(self, client: Client) -> frozenset[KindKey]:
        """Return what a client is subscribed to."""
        return frozenset(self._clients.get(client, ()))

    def subscribe(self, client: Client, keys: Sequence[KindKey]) -> list[KindAnswer]:
        """Register what a client wants; ``begin`` follows once the answer was told."""
        its = self._clients.setdefault(client, set()) if keys else set()
        for key in keys:
            its.add(key)
            self._boards[key.kind].add(client, key)
        return [KindAnswer(key, self.advise(key, client.may_look)) for key in keys]

    def begin(self, client: Client, keys: Sequence[KindKey]) -> None:
        """Send what is known; of a kind that is not read it follows when its past has been."""
        for key in keys:
            if self._boards[key.kind].is_ready:
                self._send_snapshot(key, [client])
            else:
                self.on_wanted(key.kind)

    def unsubscribe(self, client: Client, keys: Collection[KindKey]) -> list[KindKey]:
        """Tell a client no more of these; return what it really gave up."""
        its = self._clients.get(client)
        if its is None:
            return []
        given_up = [key for key in keys if key in its]
        its.difference_update(given_up)
        for key in given_up:
            self._boards[key.kind].remove(client, key, its)
        if not its:
            del self._clients[client]
        return given_up

    def forget(self, client: Client) -> None:
        """Forget a client; twice is as good as once."""
        self.unsubscribe(client, list(self.keys_of(client)))
        self._sent.pop(client, None)

    # -- for the feed

    def is_wanted(self, kind: Kind) -> bool:
        """Say whether anybody wants any of a kind."""
        return bool(self._boards[kind].subscribers)

    def take(self, kind: Kind, value: bytes) -> int:
        """Take a record of a kind's topic; return how many rows were queued. Raise Poison."""
        return self._boards[kind].take(value)

    def merge(self, kind: Kind, older: Latest) -> int:
        """Take states from before those known; return how many rows were queued."""
        return self._boards[kind].merge(older)

    def ready(self, kind: Kind) -> None:
        """Send everybody who waits a snapshot: a kind's past has been read."""
        board = self._boards[kind]
        board.is_ready = True
        for key, clients in list(board.subscribers.items()):
            self._send_snapshot(key, list(clients))

    def stop(self, kind: Kind) -> None:
        """Forget what is known of a kind: it is read no more."""
        self._boards[kind].forget()

    def tick(self) -> None:
        """Once a second: clients may be sent snapshots anew."""
        self._sent.clear()

    def _send_snapshot(self, key: KindKey, clients: Sequence[Client]) -> None:
        rooms = {client: self._room(client) for client in clients}
        texts, size = _up_to(max(rooms.values(), default=0), self._boards[key.kind].snapshot(key))
        for client, room in rooms.items():
            self._sent[client] += size
            if size > room or room <= 0:
                self.unsubscribe(client, [key])
                client.tell(unsubscribed_text([key], reason=_too_much(key)))
                continue
            for text in texts:
                client.tell(text)

    def _room(self, client: Client) -> int:
        return SNAPSHOT_BYTES_MAX - self._sent[client] - client.outbox.bytes


def _up_to(room: int, texts: Iterable[str]) -> tuple[list[str], int]:
    """Return texts and their size; where that is more than there is room for, not all of them."""
    found: list[str] = []
    size = 0
    for text in texts if room > 0 else ():
        found.append(text)
        size += len(text)
        if size > room:
            break
    return found, size


def _too_much(key: KindKey) -> str:
    return (
        f"what is known of {key.kind} is more than the {SNAPSHOT_BYTES_MAX >> 20} MiB "
        "that are sent at once: ask for fewer symbols, or for these later"
    )
