"""Connections that wait for a request, or for their peer to read: bounded in number and in time.

When too many wait for a request the oldest goes, not the newest: an honest client is done in
milliseconds, so a flood of half-open connections pushes out itself. TLS is shaken hands with
before this begins, and has a time of its own.
"""

import asyncio
import math
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from sinks.gateway.security import metrics

HALF_OPEN_MAX = 1_000
REQUEST_WITHIN_S = 5.0
TAKES_WITHIN_S = 10.0
TAKES_BYTES_MIN = 10_000  # 1 KB/s: of what was written, in each such time
BAD_HANDSHAKE = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class HalfOpen:
    """The connections of one server that wait for a request, their first or next; oldest first."""

    def __init__(self, waits_for: str = "first") -> None:
        self._gauge = metrics.HALF_OPEN.labels(waits_for)
        self._held: dict[asyncio.Transport, asyncio.TimerHandle] = {}

    def __contains__(self, transport: asyncio.Transport) -> bool:
        return transport in self._held

    def add(self, transport: asyncio.Transport) -> None:
        """Give a connection its time, unless it has it already."""
        if transport in self._held:
            return
        loop = asyncio.get_running_loop()
        self._held[transport] = loop.call_later(REQUEST_WITHIN_S, self._end, transport, "time")
        if len(self._held) > HALF_OPEN_MAX:
            self._end(next(iter(self._held)), "number")
        self._gauge.set(len(self._held))

    def remove(self, transport: asyncio.Transport) -> None:
        """Let a connection alone: it has said what it wants, or is gone."""
        timer = self._held.pop(transport, None)
        if timer is not None:
            timer.cancel()
            self._gauge.set(len(self._held))

    def _end(self, transport: asyncio.Transport, reason: str) -> None:
        self.remove(transport)
        metrics.EVICTED.labels(reason).inc()
        transport.abort()


class BoundedH11(H11Protocol):
    """uvicorn's HTTP, with ``half_open`` (set by a subclass per server) told of each state."""

    half_open: HalfOpen
    idle: HalfOpen
    """Apart: a flood of those that never ask pushes out nobody who did."""
    _looking: asyncio.TimerHandle | None = None
    _left: float = 0
    """Bytes that the peer had not taken at the last look."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin: nothing was said yet."""
        super().connection_made(transport)
        self.half_open.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._leave_alone()
        if self._looking is not None:
            self._looking.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what was said; a whole request, or an upgrade, is left alone."""
        super().data_received(data)
        if self.transport.get_protocol() is not self or self._is_at_work():
            self._leave_alone()
        elif self.transport not in self.idle:
            self.half_open.add(self.transport)

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Upgrade, or refuse what the WebSocket's parser does not take: nobody else would."""
        super().handle_websocket_upgrade(event)
        protocol: Any = self.transport.get_protocol()
        if not protocol.handshake_initiated and not self.transport.is_closing():
            self.transport.write(BAD_HANDSHAKE)
            self.transport.close()

    def on_response_complete(self) -> None:
        """Wait for the next request, or for the peer to take the answer."""
        super().on_response_complete()
        self.loop.call_soon(self._rest)  # uvloop writes when what runs now is done

    def _rest(self) -> None:
        if self.transport.get_protocol() is not self or self._is_at_work():
            return
        if self.transport.get_write_buffer_size():
            self._look_later()
        elif not self.transport.is_closing() and self.transport not in self.half_open:
            self.idle.add(self.transport)

    def _leave_alone(self) -> None:
        self.half_open.remove(self.transport)
        self.idle.remove(self.transport)

    def pause_writing(self) -> None:
        """Stop: the peer takes less than it is sent."""
        super().pause_writing()
        self._look_later()

    def resume_writing(self) -> None:
        """Go on: the peer took nearly everything."""
        super().resume_writing()
        self._left = math.inf

    def _look_later(self) -> None:
        if self._looking is None:
            self._left = self.transport.get_write_buffer_size()
            self._looking = self.loop.call_later(TAKES_WITHIN_S, self._look)

    def _look(self) -> None:
        """Cut off a peer that has something to take, and does not."""
        self._looking = None
        left = self.transport.get_write_buffer_size()
        if not left or self.transport.get_protocol() is not self:
            return
        if self._left - left >= TAKES_BYTES_MIN:
            self._look_later()
            return
        metrics.EVICTED.labels("unread").inc()
        self.transport.abort()

    def _is_at_work(self) -> bool:
        cycle: Any = self.cycle
        return cycle is not None and not cycle.more_body and not cycle.response_complete


def bounded_http(half_open: HalfOpen) -> type[BoundedH11]:
    """Return the protocol class of a server with these half-open connections."""
    return type("Http", (BoundedH11,), {"half_open": half_open, "idle": HalfOpen("next")})
