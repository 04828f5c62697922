"""One client's WebSocket: its path, its requests, the venue's heartbeat and limits."""

import asyncio
import contextlib
from collections import deque

import structlog
from aiohttp import WSMsgType, web

from simulator.exchange import Exchange
from simulator.hub import Connection
from simulator.requests import STREAM_NAME, Desk, TooManyStreams

log = structlog.get_logger(__name__)

POLICY_VIOLATION = 1_008
GOING_AWAY = 1_001
MESSAGE_BYTES_MAX = 1_048_576


def read_path(path: str, query: str) -> tuple[str, bool, list[str]] | None:
    """Tier, whether combined, and the streams of a path; nothing if it leads nowhere."""
    tier, _, rest = path.strip("/").partition("/")
    if tier in ("ws", "stream"):
        tier, rest = "", path.strip("/")
    form, _, names = rest.partition("/")
    if form not in ("ws", "stream") or (form == "stream" and names):
        return None
    wanted = names if form == "ws" else query
    return tier, form == "stream", [s for s in wanted.split("/") if STREAM_NAME.fullmatch(s)]


class Session:
    """Lives as long as the socket."""

    def __init__(self, exchange: Exchange, connection_lifetime_s: float) -> None:
        self._exchange = exchange
        self._venue = exchange.venue
        self._lifetime_s = connection_lifetime_s
        self._ws = web.WebSocketResponse(
            autoping=False, compress=False, max_msg_size=MESSAGE_BYTES_MAX
        )
        self._incoming_s: deque[float] = deque(maxlen=self._venue.messages_per_s_max)
        self._unanswered: dict[bytes, float] = {}  # payload of a ping -> when it was sent

    async def serve(self, request: web.Request, path: str) -> web.StreamResponse:
        """Answer the handshake, then the client until it goes."""
        target = read_path(path, request.query.get("streams", ""))
        if target is None or target[0] not in self._venue.routes:
            return web.Response(status=404)
        tier, combined, streams = target
        await self._ws.prepare(request)
        if request.transport is None:  # gone during the handshake
            return self._ws
        connection = Connection(request.transport, combined=combined)
        hub = self._exchange.hub
        desk = Desk(connection, hub, self._venue, tier)
        hub.connections.add(connection)
        heartbeat = asyncio.create_task(self._heartbeat())
        try:
            desk.subscribe(streams)
            await self._listen(desk, connection)
        except TooManyStreams:
            await self._close(POLICY_VIOLATION, "Too many streams")
        finally:
            heartbeat.cancel()
            hub.leave(connection)
        return self._ws

    async def _listen(self, desk: Desk, connection: Connection) -> None:
        async for message in self._ws:
            now_s = asyncio.get_running_loop().time()
            if self._too_many(now_s):
                await self._close(POLICY_VIOLATION, "Too many requests")
            elif message.type is WSMsgType.TEXT:
                connection.reply(desk.answer(message.data))
            elif message.type is WSMsgType.PING:
                await self._ws.pong(message.data)
            elif message.type is WSMsgType.PONG:
                self._heard_pong(bytes(message.data))

    def _heard_pong(self, payload: bytes) -> None:
        """A pong answers its ping and those before it; an unsolicited one answers nothing."""
        sent_s = self._unanswered.get(payload, float("-inf"))
        self._unanswered = {p: s for p, s in self._unanswered.items() if s > sent_s}

    def _too_many(self, now_s: float) -> bool:
        """Whether this message is one more than a second may hold."""
        window = self._incoming_s
        full = len(window) == window.maxlen and now_s - window[0] < 1.0
        window.append(now_s)
        return full

    async def _heartbeat(self) -> None:
        """Ping as the venue does; drop who does not answer, or stayed for too long."""
        venue, loop = self._venue, asyncio.get_running_loop()
        ends_s = loop.time() + self._lifetime_s
        while loop.time() < ends_s:
            await asyncio.sleep(min(venue.ping_s, venue.pong_timeout_s, ends_s - loop.time()))
            now_s = loop.time()
            first_s = min(self._unanswered.values(), default=now_s)
            if now_s - first_s >= venue.pong_timeout_s:
                await self._close(POLICY_VIOLATION, "Pong timeout")
                return
            payload = str(int(now_s * 1_000)).encode()
            self._unanswered[payload] = now_s
            with contextlib.suppress(ConnectionError):
                await self._ws.ping(payload)
        await self._close(GOING_AWAY, "Connection expired")

    async def _close(self, code: int, reason: str) -> None:
        log.info("connection_closed", market=self._venue.market, code=code, reason=reason)
        await self._ws.close(code=code, message=reason.encode())
