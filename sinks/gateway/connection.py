"""One client's WebSocket: its messages to the hub, its outbox to the wire.

A client that stops reading blocks only the task that sends to it; when its outbox is full the
hub drops it, that task is cancelled, and the close frame tells why.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

import structlog
from fastapi import WebSocket, WebSocketDisconnect

from sinks.gateway import metrics, protocol
from sinks.gateway.hub import Client, Hub
from sinks.gateway.protocol import Refused

logger = structlog.get_logger(__name__)

TRY_AGAIN_LATER = 1013
BACKLOG_BYTES_MAX = 1 << 20  # a client with more to read than this is not listened to
PART_SOON = "fibstream.part_soon"
"""Key in the connection's state: the server's way to part from a peer that may not read."""


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


class Connection:
    """Serves one client until either side has had enough."""

    def __init__(self, websocket: WebSocket, hub: Hub, ready: asyncio.Event) -> None:
        self._websocket = websocket
        self._hub = hub
        self._ready = ready
        self._wake = asyncio.Event()
        self._has_room = asyncio.Event()
        self._client: Client
        self._sending: asyncio.Task[None]

    async def run(self) -> None:
        """Accept the client, serve it, and say good-bye."""
        await self._websocket.accept()
        try:
            wants_stats = self._websocket.query_params.get("stats", "true") != "false"
            self._client = self._hub.connect(self._notify, wants_stats=wants_stats)
        except Refused as e:
            metrics.DROPPED.labels("full").inc()
            await self._part(e.error)
            return
        try:
            await self._serve()
        finally:
            self._hub.disconnect(self._client)
        if self._client.dropped:
            logger.warning("client_dropped", client=_peer(self._websocket), reason="slow")
            await self._part(self._client.dropped)

    def _notify(self) -> None:
        self._wake.set()
        if self._client.dropped:
            self._sending.cancel()

    async def _serve(self) -> None:
        self._sending = asyncio.create_task(self._send())
        receiving = asyncio.create_task(self._receive())
        tasks = (self._sending, receiving)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        for result in ended:
            if isinstance(result, Exception):
                raise result

    async def _send(self) -> None:
        outbox = self._client.outbox
        with suppress(WebSocketDisconnect):
            while True:
                await self._wake.wait()
                self._wake.clear()
                while frames := outbox.take():
                    if outbox.bytes < BACKLOG_BYTES_MAX:
                        self._has_room.set()
                    for frame in frames:
                        await self._websocket.send_text(frame)
                    metrics.SENT.inc(len(frames))

    async def _receive(self) -> None:
        await self._ready.wait()  # before that a snapshot would be half of one
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
        part_soon = self._websocket.scope.get("state", {}).get(PART_SOON)
        if part_soon is not None:
            part_soon()
        with suppress(WebSocketDisconnect):
            await self._websocket.close(TRY_AGAIN_LATER, reason)


def _peer(websocket: WebSocket) -> str:
    return f"{websocket.client.host}:{websocket.client.port}" if websocket.client else "?"
