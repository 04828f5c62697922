"""One WebSocket connection: the asyncio skin around a Session.

The library answers the venue's pings. A link reads no frame while the publisher has no room;
then the kernel's buffers fill, and the venue feels it.
"""

import asyncio
import ssl
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Protocol

import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidMessage,
    InvalidStatus,
    WebSocketException,
)

from ingest import metrics
from ingest.endpoints import Endpoint
from ingest.exchanges.base import Control, Exchange, Market
from ingest.pacing import TEMPORARY, retry_after_s
from ingest.session import End, Session
from ingest.streams import Shard

logger = structlog.get_logger(__name__)

_serial = count(1)  # two sockets of one address are two sources

FRAME_BYTES_MAX = 16 << 20
FRAMES_QUEUED_MAX = 1_024
OPEN_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 2.0
CHECK_INTERVAL_S = 0.1
CHECK_EAGERLY_S = 0.02  # while it is not live


class Taker(Protocol):
    """Where the frames go."""

    def take(self, frame: bytes, recv_ns: int, source: str) -> tuple[Sequence[Control], bool]:
        """Take one frame; return what in it concerns the session, and whether it held data."""

    def report(self) -> None:
        """Move counts to the metrics."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What every link of one market shares."""

    exchange: Exchange
    market: Market
    endpoint: Endpoint
    intake: Taker
    room: asyncio.Event
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    """A socket of this market was open once, so the address is right."""
    sent: Callable[[str, bytes], None] = lambda _url, _frame: None
    """Told what was sent, and where to."""

    @property
    def labels(self) -> tuple[str, str]:
        """The labels of the metrics of this market."""
        return self.exchange.name, self.market.channel


class Link:
    """Connects once, subscribes to what its shard wants, and feeds the intake until it is over."""

    def __init__(
        self, route: Route, shard: Shard, *, lifetime_s: float, stale_after_s: float
    ) -> None:
        self.live = asyncio.Event()
        self.retiring = asyncio.Event()
        """Still good, but its successor should be opened now."""
        self.is_leading = False
        """It alone subscribes to what one socket at a time may have."""
        self.opened = False
        self.kept_talking = False
        self.frame_at_s = time.monotonic()
        """When the last frame came, once it is over."""
        self.retry_after_s = 0.0
        self.url = route.endpoint.url + shard.path
        self.name = f"{self.url}#{next(_serial)}"
        self._route = route
        self._shard = shard
        self._lifetime_s = lifetime_s
        self._stale_after_s = stale_after_s

    async def run(self) -> str:
        """Live through one connection and return why it ended.

        Raises Misconfigured when the address cannot be right.
        """
        try:
            socket = await self._connect()
        except (OSError, WebSocketException) as e:  # a timeout is an OSError
            self._judge(e)
            return f"refused: {type(e).__name__}: {e}".rstrip(": ")
        self.opened = True
        self._route.opened.set()
        try:
            session = Session(
                self._route.exchange,
                self._route.market.limits,
                now_s=time.monotonic(),
                lifetime_s=self._lifetime_s,
                stale_after_s=self._stale_after_s,
            )
            try:
                return await _first_of(self._read(socket, session), self._keep(socket, session))
            finally:
                self.kept_talking = session.kept_talking
                self.frame_at_s = session.frame_at_s
                self._shard.active -= session.active
                self._route.intake.report()
                if self.live.is_set():
                    metrics.sockets_live.labels(*self._route.labels).dec()
        finally:
            await socket.close()  # normally, whoever ends it

    async def _connect(self) -> ClientConnection:
        # Compression off: it costs a core more than loopback or a data centre's network do.
        return await connect(
            self.url,
            compression=None,
            open_timeout=OPEN_TIMEOUT_S,
            close_timeout=CLOSE_TIMEOUT_S,
            max_size=FRAME_BYTES_MAX,
            max_queue=FRAMES_QUEUED_MAX,
            ping_interval=None,
            process_exception=lambda e: e,
        )

    async def _read(self, socket: ClientConnection, session: Session) -> str:
        take, room = self._route.intake.take, self._route.room
        try:
            while True:
                if not room.is_set():
                    await room.wait()
                frame = await socket.recv(decode=False)
                control, is_data = take(frame, time.time_ns(), self.name)
                now_s = time.monotonic()
                session.heard(now_s, is_data=is_data)
                for event in control:
                    session.control(event, now_s)
        except ConnectionClosed as e:
            return f"closed: {e}"

    async def _keep(self, socket: ClientConnection, session: Session) -> str:
        """Send what is due, and watch the clock."""
        while True:
            now_s = time.monotonic()
            self._want(session)
            try:
                for request in session.due(now_s):
                    await socket.send(request, text=True)
                    self._route.sent(self.url, request)
            except ConnectionClosed as e:
                return f"closed: {e}"
            self._tell(session)
            if not self._route.room.is_set():
                session.paused(now_s)
            end = session.verdict(now_s)
            if end is End.PLANNED:
                self.retiring.set()  # the successor's owner closes this one
            elif end is not None:
                return f"{end.value}: {session.rejection}".rstrip(": ")
            self._route.intake.report()
            await asyncio.sleep(CHECK_INTERVAL_S if self.live.is_set() else CHECK_EAGERLY_S)

    def _want(self, session: Session) -> None:
        shard = self._shard
        if self.is_leading:
            session.want(shard.wanted)
            if shard.renewals:
                session.renew(shard.renewals)
                shard.renewals = set()
        else:
            session.want(topic for topic in shard.wanted if topic not in shard.exclusive)

    def _tell(self, session: Session) -> None:
        """Let the shard know what the venue accepted."""
        self._shard.active |= session.active
        self._shard.active &= self._shard.wanted.keys()
        if self.is_leading and self.live.is_set():  # until then the last word stands
            self._shard.refused = dict(session.refused)
        if session.is_live and not self.live.is_set():
            self.live.set()
            metrics.sockets_live.labels(*self._route.labels).inc()
            logger.info("socket_live", url=self.url, streams=len(session.active))

    def _judge(self, error: Exception) -> None:
        """Raise Misconfigured for what no repetition can cure."""
        wrong = self._route.endpoint.wrong
        path = self._shard.path
        if isinstance(error, InvalidStatus):
            status = error.response.status_code
            self.retry_after_s = retry_after_s(status, error.response.headers.get("Retry-After"))
            if status < 500 and status not in TEMPORARY:
                raise wrong(f"answers HTTP {status} to a WebSocket on {path}") from error
        elif isinstance(error, InvalidMessage) and isinstance(error.__cause__, EOFError):
            return  # cut off in the handshake: an overloaded venue does that too
        elif isinstance(error, (WebSocketException, ssl.SSLError)):
            raise wrong(f"does not speak WebSocket: {error}") from error


async def _first_of(*lives: Coroutine[None, None, str]) -> str:
    """Return what the first one to end says, and end the others."""
    tasks = [asyncio.create_task(life) for life in lives]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return done.pop().result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
