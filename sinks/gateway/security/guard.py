"""The one ASGI middleware before every route: calls and WebSockets are let in, or told why not.

A WebSocket that shows nothing is accepted and has to sign in with its first message; before that
no route knows of it. One whose key or token ends is closed with 1008.
"""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sinks.gateway.connection import TRY_AGAIN_LATER, WIRE
from sinks.gateway.security import metrics
from sinks.gateway.security.admission import Admission, Visit
from sinks.gateway.security.audit import Audit
from sinks.gateway.security.buckets import Buckets
from sinks.gateway.security.credentials import in_message
from sinks.gateway.security.denied import TOO_MANY, UNAVAILABLE, UNKNOWN, Denied
from sinks.gateway.security.doorkeeper import LOCAL, Caller
from sinks.gateway.security.roles import WEBSOCKET
from sinks.gateway.security.seats import Seats
from sinks.gateway.security.sessions import Sessions

logger = structlog.get_logger(__name__)

CALLER = "caller"
"""Key in the connection's state: who calls."""
POLICY_VIOLATION = 1008
SIGN_IN_WITHIN_S = 5.0
SIGN_IN_HINT = 'sign in first: {"action":"auth","key":"..."}'
UNNAMED_MAX = 1_000  # WebSockets that have not signed in yet
LINES_PER_S = 5  # of refused calls of nobody that is known
REASON_BYTES_MAX = 123  # of a close frame


class Guard:
    """Stands before the application."""

    def __init__(
        self, app: ASGIApp, admission: Admission, seats: Seats, sessions: Sessions, audit: Audit
    ) -> None:
        self._app = app
        self._admission = admission
        self._seats = seats
        self._sessions = sessions
        self._audit = audit
        self._unnamed: dict[asyncio.Timeout, None] = {}  # the oldest first
        self._lines = Buckets()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the call in, or answer it."""
        match scope["type"]:
            case "http":
                await self._http(scope, receive, send)
            case "websocket":
                await self._websocket(scope, receive, send)
            case _:
                await self._app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        visit = Visit(scope["method"], scope["path"])
        status = 500

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._admission.admit(scope, visit)
            scope.setdefault("state", {})[CALLER] = visit.caller
        except Denied as e:
            self._note(visit, e)
            await _answer("http.response", e, send_and_note)
        else:
            await self._app(scope, receive, send_and_note)
        finally:
            if visit.is_audited:
                await self._audit.note(visit, status)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        visit = Visit(WEBSOCKET, scope["path"])
        socket = _Socket(receive, send)
        try:
            await self._admission.admit(scope, visit)
            with ExitStack() as seats:
                seats.enter_context(self._seats.taken("all"))
                if visit.caller != LOCAL:
                    seats.enter_context(self._seats.taken("address", visit.ip))
                caller = visit.caller or await self._sign_in(socket, visit)
                if caller is None:
                    return
                if caller.has_key:
                    seats.enter_context(self._seats.taken("key", caller.key_id))
                await self._serve(scope, socket, caller)
        except Denied as e:
            self._note(visit, e)
            await socket.refuse(e)

    async def _sign_in(self, socket: "_Socket", visit: Visit) -> Caller | None:
        """Return who the first message says; None: it went away. Raise Denied."""
        await socket.accept()
        try:
            async with self._unnamed_for_a_while():
                event = await socket.wire_receive()
        except TimeoutError as e:
            raise Denied(UNKNOWN, SIGN_IN_HINT, kind="no_key") from e
        if event["type"] != "websocket.receive":
            return None
        shown = in_message(event.get("text") or event.get("bytes") or "")
        caller = await self._admission.identify(shown, visit.ip) if shown else None
        if caller is None:
            raise Denied(UNKNOWN, SIGN_IN_HINT, kind="no_key")
        told = {"type": "authenticated", "name": caller.name, "role": caller.role.text}
        await socket.wire_send({"type": "websocket.send", "text": json.dumps(told)})
        return caller

    @asynccontextmanager
    async def _unnamed_for_a_while(self) -> AsyncIterator[None]:
        """Raise TimeoutError after a while, or when too many wait, and this one the longest.

        An honest client signs in at once, so a flood of silent ones pushes out itself.
        """
        async with asyncio.timeout(SIGN_IN_WITHIN_S) as its:
            self._unnamed[its] = None
            try:
                if len(self._unnamed) > UNNAMED_MAX:
                    oldest = next(iter(self._unnamed))
                    del self._unnamed[oldest]
                    if not oldest.expired():
                        oldest.reschedule(0)
                    metrics.EVICTED.labels("unnamed").inc()
                yield
            finally:
                self._unnamed.pop(its, None)

    def _note(self, visit: Visit, denied: Denied) -> None:
        """Count it; tell of calls for more than reading, a few a second."""
        metrics.DENIED.labels(denied.kind).inc()
        is_told = visit.is_change and not visit.is_audited
        is_told = is_told and not self._lines.take("denied", LINES_PER_S, 1, time.monotonic())
        logger.log(
            logging.INFO if is_told else logging.DEBUG,
            "call_denied",
            ip=visit.ip,
            path=visit.told,
            status=denied.status,
            why=denied.kind,
        )

    async def _serve(self, scope: Scope, socket: "_Socket", caller: Caller) -> None:
        state = scope.setdefault("state", {})
        state[CALLER] = caller
        with self._sessions.held(caller) as session:
            try:
                await self._app(scope, socket.receive, socket.send)
            except asyncio.CancelledError:
                if not session.ended:
                    raise
                session.task.uncancel()
                logger.info("client_ended", key_id=caller.key_id, reason=session.ended)
                if WIRE in state:
                    state[WIRE].part_soon()
                await socket.close(POLICY_VIOLATION, session.ended)


class _Socket:
    """A WebSocket whose handshake may be over before the application begins it."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self.wire_receive = receive
        self.wire_send = send
        self._is_accepted = False
        self._pending: Message | None = None

    async def accept(self) -> None:
        """Accept on behalf of the application, which will think that it does."""
        self._pending = await self.wire_receive()
        await self.wire_send({"type": "websocket.accept"})
        self._is_accepted = True

    async def receive(self) -> Message:
        """Return what comes, from the connect event on."""
        event, self._pending = self._pending, None
        return event if event is not None else await self.wire_receive()

    async def send(self, message: Message) -> None:
        """Send, unless it was done already."""
        if message["type"] == "websocket.accept":
            if self._is_accepted:
                return
            self._is_accepted = True
        await self.wire_send(message)

    async def refuse(self, denied: Denied) -> None:
        """Say why not: as an answer to the handshake, or as a close after it."""
        if self._is_accepted:
            is_busy = denied.status in {TOO_MANY, UNAVAILABLE}
            await self.close(TRY_AGAIN_LATER if is_busy else POLICY_VIOLATION, denied.reason)
        else:
            await _answer("websocket.http.response", denied, self.wire_send)

    async def close(self, code: int, reason: str) -> None:
        """Close, unless the peer did."""
        reason = reason.encode()[:REASON_BYTES_MAX].decode(errors="ignore")
        with suppress(OSError):
            await self.wire_send({"type": "websocket.close", "code": code, "reason": reason})


async def _answer(kind: str, denied: Denied, send: Send) -> None:
    body = json.dumps({"detail": {"reason": denied.reason, "near": []}}).encode()
    headers = {
        "content-type": "application/json",
        "content-length": str(len(body)),
        **denied.headers,
    }
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    with suppress(OSError):  # the peer may be gone
        await send({"type": f"{kind}.start", "status": denied.status, "headers": pairs})
        await send({"type": f"{kind}.body", "body": body})
