"""One client's WebSocket: its messages to the hub, its outbox to the wire.

Nobody waits for a client: what its socket does not take stays in its outbox. When that is full the
hub drops the client, and the close frame tells why.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

import structlog
from fastapi import WebSocket, WebSocketDisconnect
from starlette.types import Message

from sinks.gateway import envelopes, metrics, protocol
from sinks.gateway.clients import Client
from sinks.gateway.hub import WAITING_BYTES_MAX, Hub
from sinks.gateway.outbox import TEXT_FRAME
from sinks.gateway.protocol import Refused, Subscribe
from sinks.gateway.seeds.forms import Form
from sinks.gateway.wire import encoding_of
from sinks.gateway.wire.frames import frame
from sinks.gateway.wire.msgpack import json_of

logger = structlog.get_logger(__name__)

TRY_AGAIN_LATER = 1013
BACKLOG_BYTES_MAX = 1 << 20  # a client with more to read than this is not listened to
LOOK_AGAIN_S = 0.02
BUSY_BYTES = WAITING_BYTES_MAX // 2  # of all clients: with as much there are no new snapshots
AHEAD_WITHIN_S = 5.0
"""How long a subscription waits: for what its client has seen and we have not, or while busy."""
MSGPACK = "msgpack"
"""The ``format`` of binary messages."""
WIRE = "fibstream.wire"
"""Key in the connection's state: the server's ``Wire``."""


class Wire(Protocol):
    """The sending side of a WebSocket, without a wait."""

    is_writable: bool
    """False while the peer does not read what was sent."""
    on_writable: Callable[[], None] | None
    """Called when it reads again."""
    is_deflated: bool
    """Whether the peer takes messages as ``wire.deflate`` compresses them."""

    def send_frames(self, frames: bytes) -> None:
        """Send whole frames; nothing is sent where the connection is closing."""

    def forget_handshake(self) -> None:
        """Free what nobody asks for once the connection is accepted."""

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


def flush_soon(hub: Hub) -> None:
    """Send for all connections as soon as what runs now is done."""
    asyncio.get_running_loop().call_soon(hub.flush)


class Connection:
    """Serves one client until either side has had enough."""

    def __init__(
        self,
        websocket: WebSocket,
        hub: Hub,
        ready: asyncio.Event,
        form: Form | None = None,
    ) -> None:
        self._form = form
        self._websocket = websocket
        self._hub = hub
        self._ready = ready
        self._wire: Wire = websocket.scope["state"][WIRE]
        self._is_msgpack = websocket.query_params.get("format") == MSGPACK
        is_deflated = self._wire.is_deflated and form is None
        self._encoding = encoding_of(is_msgpack=self._is_msgpack, is_deflated=is_deflated)
        self._has_room: asyncio.Event | None = None
        self._client: Client
        self._receiving: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Accept the client, serve it, and say good-bye."""
        await self._websocket.accept()
        self._wire.forget_handshake()
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
            logger.warning(
                "client_dropped", client=_peer(self._websocket), reason=self._client.dropped
            )
            await self._part(self._client.dropped)

    def _notify(self) -> None:
        """Send what waits, as far as the client reads, or take notice that it is dropped."""
        outbox, wire = self._client.outbox, self._wire
        if self._client.dropped:
            if self._receiving is not None:
                self._receiving.cancel()
            return
        while outbox.waits and wire.is_writable:
            frames = self._formed(self._form) if self._form else outbox.take(self._encoding)
            wire.send_frames(frames[0] if len(frames) == 1 else b"".join(frames))
            self._hub.sent += len(frames)
        if self._has_room is not None and outbox.bytes < BACKLOG_BYTES_MAX:
            self._has_room.set()
            self._has_room = None

    def _formed(self, form: Form) -> list[bytes]:
        texts = form.frames([message.decode() for message in self._client.outbox.take()])
        return [frame(TEXT_FRAME, text.encode()) for text in texts]

    async def _serve(self) -> None:
        self._wire.on_writable = self._client.wake
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
        while (said := _said(await self._websocket.receive())) is not None:
            overdraft_s = pace.overdraft_s(clock())
            if overdraft_s:
                # Not reading is what slows a client down: its messages wait on its own side.
                await asyncio.sleep(overdraft_s)
            await self._obey(said)
            del said  # it would stay until there is another
            if self._client.outbox.bytes > BACKLOG_BYTES_MAX:
                self._has_room = asyncio.Event()
                await self._has_room.wait()

    def _open_form(self) -> None:
        try:
            message = self._form.opening(self._hub.intervals) if self._form else None
            if message is not None:
                self._hub.handle(self._client, message, time.time_ns() // 1_000_000)
        except Refused as e:
            self._client.tell(envelopes.error_text(e))

    async def _obey(self, said: str | bytes) -> None:
        try:
            message = protocol.parse(self._json_of(said))
            await self._wait(message)
            self._hub.handle(self._client, message, time.time_ns() // 1_000_000)
        except Refused as e:
            metrics.MESSAGES.labels("refused").inc()
            self._client.tell(envelopes.error_text(e))
        else:
            metrics.MESSAGES.labels("obeyed").inc()

    def _json_of(self, said: str | bytes) -> str | bytes:
        if isinstance(said, str) or not self._is_msgpack:
            return said
        if len(said) > protocol.MESSAGE_BYTES_MAX:
            return said  # it is refused for that
        try:
            return json_of(said)
        except (ValueError, RecursionError) as e:
            raise Refused(str(e), "Send msgpack in binary messages, or JSON as text.") from e

    async def _wait(self, message: protocol.Message) -> None:
        """Wait with a snapshot while too much waits already, or the client has seen more than we.

        Raise Refused where too much waits for long.
        """
        if not isinstance(message, Subscribe):
            return
        clock: Callable[[], float] = asyncio.get_running_loop().time
        until_s, hub, positions = clock() + AHEAD_WITHIN_S, self._hub, message.positions
        while (is_busy := hub.waiting_bytes > BUSY_BYTES) or hub.is_ahead(positions):
            if clock() >= until_s:
                break
            await asyncio.sleep(LOOK_AGAIN_S)
        if is_busy:
            raise Refused("busy: others have too much to be sent", "Subscribe again later.")

    async def _part(self, reason: str) -> None:
        self._wire.part_soon()
        with suppress(WebSocketDisconnect):
            await self._websocket.close(TRY_AGAIN_LATER, reason)


def _said(event: Message) -> str | bytes | None:
    """Return what a client said; None: it is gone."""
    if event["type"] == "websocket.disconnect":
        return None
    return event.get("text") or event.get("bytes") or ""


def _peer(websocket: WebSocket) -> str:
    return f"{websocket.client.host}:{websocket.client.port}" if websocket.client else "?"
