"""One client's WebSocket: its messages to the hub, its outbox to the wire.

One writer serves all connections and waits for none: what a client's socket does not take stays in
its outbox. When that is full the hub drops the client, and the close frame tells why.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Protocol

import structlog
from fastapi import WebSocket, WebSocketDisconnect

from sinks.gateway import metrics, protocol
from sinks.gateway.clients import Client
from sinks.gateway.hub import Hub
from sinks.gateway.protocol import Refused
from sinks.gateway.seeds.forms import Form

logger = structlog.get_logger(__name__)

TRY_AGAIN_LATER = 1013
BACKLOG_BYTES_MAX = 1 << 20  # a client with more to read than this is not listened to
WIRE = "fibstream.wire"
"""Key in the connection's state: the server's ``Wire``."""


class Wire(Protocol):
    """The sending side of a WebSocket, without a wait."""

    is_writable: bool
    """False while the peer does not read what was sent."""
    on_writable: Callable[[], None] | None
    """Called when it reads again."""

    def send_texts(self, texts: Iterable[str]) -> None:
        """Send messages; nothing is sent where the connection is closing."""

    def part_soon(self) -> None:
        """Let the close frame pass a full buffer, and end the connection after a while."""


class Pace:
    """A token bucket: messages in any second, with the clock of the caller."""

    def __init__(self, per_s: int, now_s: float) -> None:
        self._per_s = per_s
        self._tokens = float(per_s)
        self._at_s = now_s

    def overdraft_s(self, now_s: float) -> float:
        """Take a token; return how long to wait until it would have been there."""
        earned = (now_s - self._at_s) * self._per_s
        self._tokens = min(self._tokens + earned, float(self._per_s)) - 1.0
        self._at_s = now_s
        return max(-self._tokens / self._per_s, 0.0)


class Writer:
    """Sends for all connections, once after whatever put something into their outboxes."""

    def __init__(self) -> None:
        self._waiting: dict[Connection, None] = {}

    def wake(self, connection: "Connection") -> None:
        """Send what waits for a client as soon as what runs now is done."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._flush)
        self._waiting[connection] = None

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, {}
        metrics.SENT.inc(sum(connection.flush() for connection in waiting))


class Connection:
    """Serves one client until either side has had enough."""

    def __init__(
        self,
        websocket: WebSocket,
        hub: Hub,
        ready: asyncio.Event,
        writer: Writer,
        form: Form | None = None,
    ) -> None:
        self._form = form
        self._websocket = websocket
        self._hub = hub
        self._ready = ready
        self._writer = writer
        self._wire: Wire = websocket.scope["state"][WIRE]
        self._has_room = asyncio.Event()
        self._client: Client
        self._receiving: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Accept the client, serve it, and say good-bye."""
        await self._websocket.accept()
        try:
            wants_stats = self._websocket.query_params.get("stats") != "false" and not self._form
            self._client = self._hub.connect(self._notify, wants_stats=wants_stats)
        except Refused as e:
            metrics.DROPPED.labels("full").inc()
            await self._part(e.error)
            return
        try:
            await self._serve()
        finally:
            self._wire.on_writable = None
            self._hub.disconnect(self._client)
        if self._client.dropped:
            logger.warning("client_dropped", client=_peer(self._websocket), reason="slow")
            await self._part(self._client.dropped)

    def flush(self) -> int:
        """Send what waits, as far as the client reads; return how many messages that was."""
        outbox, wire = self._client.outbox, self._wire
        sent = 0
        while wire.is_writable and (frames := outbox.take()):
            wire.send_texts(self._form.frames(frames) if self._form else frames)
            sent += len(frames)
        if outbox.bytes < BACKLOG_BYTES_MAX:
            self._has_room.set()
        return sent

    def _notify(self) -> None:
        if not self._client.dropped:
            self._writer.wake(self)
        elif self._receiving is not None:
            self._receiving.cancel()

    async def _serve(self) -> None:
        self._wire.on_writable = self._notify
        self._receiving = asyncio.create_task(self._receive())
        try:
            await asyncio.wait({self._receiving})
        finally:
            self._receiving.cancel()
            (ended,) = await asyncio.gather(self._receiving, return_exceptions=True)
        if isinstance(ended, Exception):
            raise ended

    async def _receive(self) -> None:
        await self._ready.wait()  # before that a snapshot would be half of one
        self._open_form()
        clock: Callable[[], float] = asyncio.get_running_loop().time
        pace = Pace(protocol.MESSAGES_PER_S_MAX, clock())
        while True:
            event = await self._websocket.receive()
            if event["type"] == "websocket.disconnect":
                return
            overdraft_s = pace.overdraft_s(clock())
            if overdraft_s:
                # Not reading is what slows a client down: its messages wait on its own side.
                await asyncio.sleep(overdraft_s)
            self._obey(event.get("text") or event.get("bytes") or "")
            if self._client.outbox.bytes > BACKLOG_BYTES_MAX:
                self._has_room.clear()
                await self._has_room.wait()

    def _open_form(self) -> None:
        try:
            message = self._form.opening(self._hub.intervals) if self._form else None
            if message is not None:
                self._hub.handle(self._client, message, time.time_ns() // 1_000_000)
        except Refused as e:
            self._client.tell(protocol.error_text(e))

    def _obey(self, text: str | bytes) -> None:
        try:
            message = protocol.parse(text)
            self._hub.handle(self._client, message, time.time_ns() // 1_000_000)
        except Refused as e:
            metrics.MESSAGES.labels("refused").inc()
            self._client.tell(protocol.error_text(e))
        else:
            metrics.MESSAGES.labels("obeyed").inc()

    async def _part(self, reason: str) -> None:
        self._wire.part_soon()
        with suppress(WebSocketDisconnect):
            await self._websocket.close(TRY_AGAIN_LATER, reason)


def _peer(websocket: WebSocket) -> str:
    return f"{websocket.client.host}:{websocket.client.port}" if websocket.client else "?"
