"""What a venue is to the simulator: names, words and limits. The truth and the sockets are not its.

One dialect serves one market (a channel of an exchange) and is made once per simulator, so it may
count what the venue counts (REST weight). It sees the truth through the ``Exchange`` it is given.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from simulator.archive.published import Published
from simulator.book import Book
from simulator.feeds import Feed, Stream
from simulator.hub import Wrap
from simulator.ledger import Row
from simulator.options import SimulatorOptions
from simulator.symbols import Symbol

if TYPE_CHECKING:
    from simulator.exchange import Exchange


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Numbers by which the session treats a client; 0 means that the venue has no such rule."""

    ping_s: float = 0.0
    """The server pings so often ..."""
    pong_timeout_s: float = 0.0
    """... and drops who leaves a ping unanswered for so long."""
    unheard_s: float = 0.0
    """A client that says nothing for so long is dropped."""
    unspoken_s: float = 0.0
    """A client that was told nothing for so long is dropped: it should have asked for a pong."""
    messages_per_s_max: int = 0
    """Incoming, pings and pongs included; one more closes the connection."""
    lifetime_s: float = 86_400.0
    attempts_max: int = 300
    """New connections in 5 minutes."""


class Line(Protocol):
    """A dialect's end of one connection. Replies leave at once, in order."""

    wrap: Wrap | None
    """How this client wants the messages of its streams dressed; None: as they are."""

    @property
    def streams(self) -> dict[Stream, None]:
        """What was subscribed and not given up, silent streams among them, in order."""

    def reply(self, message: bytes) -> None:
        """Send a message to this client only."""

    def subscribe(self, stream: Stream) -> None:
        """Deliver a stream; its welcome follows at once, so acknowledge before.

        A stream that the dialect has no feed for is noted, and stays silent.
        """

    def unsubscribe(self, stream: Stream) -> None:
        """Deliver it no longer."""

    def close(self, code: int, reason: str) -> None:
        """Close the connection as soon as this message is dealt with."""


class Talk(Protocol):
    """One conversation: what this client's text frames mean."""

    def hear(self, text: str, now_s: float) -> None:
        """Act on one text frame; ``now_s`` is a monotonic clock's, for limits."""


Opening = Callable[[Line], Talk]
"""Greets a new connection (subscriptions from its path, a first message) and talks to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One REST request; ``path`` begins with a slash, after ``/{exchange}/{channel}``."""

    method: str
    path: str
    query: Mapping[str, str]
    body: bytes
    now_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """``body`` is bytes as they are, or anything that orjson writes."""

    body: object = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


class Dialect(ABC):
    """One market of one venue."""

    exchange: str
    channel: str
    rows: Literal["fills", "levels"] = "fills"
    """What one row of the truth is, and so what ``count`` in ``hole`` and ``late`` counts."""
    rules: Rules
    funding_hours: int = 8
    insurance_fund_share: float = 0.0
    """Of matches that are trades of an insurance fund: they take ids and are no rows."""

    # -- names

    @abstractmethod
    def symbols(self, options: SimulatorOptions) -> list[Symbol]:
        """What trades, busiest first, under the venue's own names (see ``symbols.traded``)."""

    def idle_symbols(self) -> list[Symbol]:
        """Return what is listed and does not trade."""
        return []

    def trade_id(self, symbol: Symbol, row: Row) -> int:
        """Return the venue's number of a row: ``row.id`` is dense, the venue's may be anything."""
        del symbol
        return row.id

    def trade_uid(self, symbol: Symbol, row: Row) -> str:
        """Return the venue's id of a row where it is no number."""
        del symbol, row
        return ""

    def book_id(self, book: Book) -> int:
        """Return the venue's update id of a book as it stands."""
        return book.last_id

    # -- sockets

    @abstractmethod
    def open(self, path: str, query: Mapping[str, str]) -> Opening | None:
        """How to talk to who connects here; None: the venue has nothing at this path."""

    @abstractmethod
    def feed(self, stream: Stream, exchange: "Exchange") -> Feed | None:
        """What fills a stream; None: acknowledged, and silent for ever."""

    # -- REST

    @abstractmethod
    async def rest(self, asked: Asked, exchange: "Exchange") -> Answer:
        """Answer one request."""

    @abstractmethod
    def refuse(self, retry_after_s: int, *, is_banned: bool) -> Answer:
        """The answer to who asked too much, and (``is_banned``) asked on all the same."""

    # -- files of the past

    def archive(self, path: str, exchange: "Exchange") -> Published | None:
        """Return the file at a path of the venue's archive, published yet or not."""
        del path, exchange
        return None

    # -- faults

    def restarted_id(self, last_id: int) -> int:
        """Return the book's update id after a restart of the sequence."""
        del last_id
        return 0

    @abstractmethod
    def spoil(self, message: bytes) -> bytes:
        """Return the same message with a word where its (first) price should be."""


@dataclass(frozen=True, slots=True)
class Venue:
    """One exchange: how to make the dialect of each of its channels."""

    name: str
    channels: Mapping[str, Callable[[SimulatorOptions], Dialect]]
