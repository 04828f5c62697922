"""One client's WebSocket: its conversation, the venue's heartbeat, limits and patience."""

import asyncio
import contextlib
import time
from collections import deque

import structlog
from aiohttp import WSMsgType, web

from simulator.dialect import Opening
from simulator.exchange import Exchange
from simulator.feeds import Stream
from simulator.hub import Connection, Wrap

log = structlog.get_logger(__name__)

POLICY_VIOLATION = 1_008
GOING_AWAY = 1_001
MESSAGE_BYTES_MAX = 1_048_576


class Wire:
    """The dialect's end of a connection (``simulator.dialect.Line``)."""

    def __init__(self, exchange: Exchange, connection: Connection) -> None:
        self._delivery = exchange.delivery
        self._connection = connection
        self.closing: tuple[int, str] | None = None

    @property
    def wrap(self) -> Wrap | None:
        """How this client wants its messages dressed."""
        return self._connection.wrap

    @wrap.setter
    def wrap(self, wrap: Wrap | None) -> None:
        self._connection.wrap = wrap

    @property
    def streams(self) -> dict[Stream, None]:
        """What was subscribed, silent streams among them, in order."""
        return self._connection.streams

    def reply(self, message: bytes) -> None:
        """Send a message to this client only."""
        self._connection.reply(message)

    def subscribe(self, stream: Stream) -> None:
        """Deliver a stream, its welcome first."""
        self._delivery.subscribe(self._connection, stream, time.time_ns() // 1_000_000)

    def unsubscribe(self, stream: Stream) -> None:
        """Deliver a stream no longer."""
        self._delivery.unsubscribe(self._connection, stream)

    def close(self, code: int, reason: str) -> None:
        """Close the connection as soon as this message is dealt with; the first reason counts."""
        self.closing = self.closing or (code, reason)


class Session:
    """Lives as long as the socket."""

    def __init__(self, exchange: Exchange, opening: Opening) -> None:
        self._exchange = exchange
        self._opening = opening
        self._rules = exchange.dialect.rules
        self._ws = web.WebSocketResponse(
            autoping=False, compress=False, max_msg_size=MESSAGE_BYTES_MAX
        )
        self._incoming_s: deque[float] = deque(maxlen=self._rules.messages_per_s_max or None)
        self._unanswered: dict[bytes, float] = {}  # payload of a ping -> when it was sent
        self._heard_s = self._spoke_s = 0.0

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answer the handshake, then the client until it goes."""
        await self._ws.prepare(request)
        if request.transport is None:  # gone during the handshake
            return self._ws
        connection = Connection(request.transport)
        wire = Wire(self._exchange, connection)
        self._exchange.hub.connections.add(connection)
        self._heard_s = self._spoke_s = asyncio.get_running_loop().time()
        watching = asyncio.create_task(self._watch(connection))
        try:
            await self._listen(wire)
        finally:
            watching.cancel()
            self._exchange.delivery.leave(connection)
        return self._ws

    async def _listen(self, wire: Wire) -> None:
        talk = self._opening(wire)
        await self._close_if_asked(wire)
        async for message in self._ws:
            now_s = self._heard_s = asyncio.get_running_loop().time()
            if self._is_too_many(now_s):
                await self._close(POLICY_VIOLATION, "Too many requests")
            elif message.type is WSMsgType.TEXT:
                talk.hear(message.data, now_s)
                await self._close_if_asked(wire)
            elif message.type is WSMsgType.PING:
                await self._ws.pong(message.data)
            elif message.type is WSMsgType.PONG:
                self._hear_pong(bytes(message.data))

    def _hear_pong(self, payload: bytes) -> None:
        """A pong answers its ping and those before it; an unsolicited one answers nothing."""
        sent_s = self._unanswered.get(payload, float("-inf"))
        self._unanswered = {p: s for p, s in self._unanswered.items() if s > sent_s}

    def _is_too_many(self, now_s: float) -> bool:
        """Whether this message is one more than a second may hold."""
        window = self._incoming_s
        if window.maxlen is None:
            return False
        full = len(window) == window.maxlen and now_s - window[0] < 1.0
        window.append(now_s)
        return full

    async def _watch(self, connection: Connection) -> None:
        """Ping as the venue does; end who does not answer, is not heard, or stayed too long."""
        rules, loop = self._rules, asyncio.get_running_loop()
        begun_s = pinged_s = loop.time()
        periods_s = [
            rules.lifetime_s,
            rules.ping_s,
            rules.pong_timeout_s,
            rules.unheard_s,
            rules.unspoken_s,
        ]
        patience_s = min((period_s for period_s in periods_s if period_s), default=1.0)
        while True:
            await asyncio.sleep(min(patience_s / 2, 1.0))
            now_s = loop.time()
            if connection.has_sent:
                connection.has_sent, self._spoke_s = False, now_s
            verdict = self._verdict(now_s - begun_s, now_s)
            if verdict:
                await self._close(*verdict)
                return
            if rules.ping_s and now_s - pinged_s >= rules.ping_s:
                pinged_s = now_s
                payload = str(int(now_s * 1_000)).encode()
                self._unanswered[payload] = now_s
                with contextlib.suppress(ConnectionError):
                    await self._ws.ping(payload)

    def _verdict(self, age_s: float, now_s: float) -> tuple[int, str] | None:
        """Why the connection must end now, if it must."""
        rules = self._rules
        if rules.lifetime_s and age_s >= rules.lifetime_s:
            return GOING_AWAY, "Connection expired"
        first_s = min(self._unanswered.values(), default=now_s)
        if rules.pong_timeout_s and now_s - first_s >= rules.pong_timeout_s:
            return POLICY_VIOLATION, "Pong timeout"
        if rules.unheard_s and now_s - self._heard_s >= rules.unheard_s:
            return GOING_AWAY, "No ping"
        if rules.unspoken_s and now_s - self._spoke_s >= rules.unspoken_s:
            return GOING_AWAY, "No data"
        return None

    async def _close_if_asked(self, wire: Wire) -> None:
        if wire.closing:
            await self._close(*wire.closing)

    async def _close(self, code: int, reason: str) -> None:
        dialect = self._exchange.dialect
        log.info(
            "connection_closed",
            exchange=dialect.exchange,
            market=dialect.channel,
            code=code,
            reason=reason,
        )
        await self._ws.close(code=code, message=reason.encode())
