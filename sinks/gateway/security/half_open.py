"""Connections that have not said what they want: bounded in number and in time.

When there are too many the oldest goes, not the newest: an honest client is done in milliseconds,
so a flood of half-open connections pushes out itself. Between two requests uvicorn's keep-alive
ends a connection; TLS is shaken hands with before this begins.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from sinks.gateway.security import metrics

HALF_OPEN_MAX = 1_000
REQUEST_WITHIN_S = 5.0


class HalfOpen:
    """The half-open connections of one server, oldest first."""

    def __init__(self) -> None:
        self._held: dict[asyncio.Transport, asyncio.TimerHandle] = {}

    def __len__(self) -> int:
        return len(self._held)

    def add(self, transport: asyncio.Transport) -> None:
        """Give a connection its time, unless it has it already."""
        if transport in self._held:
            return
        loop = asyncio.get_running_loop()
        self._held[transport] = loop.call_later(REQUEST_WITHIN_S, self._end, transport, "time")
        if len(self._held) > HALF_OPEN_MAX:
            self._end(next(iter(self._held)), "number")
        metrics.HALF_OPEN.set(len(self._held))

    def remove(self, transport: asyncio.Transport) -> None:
        """Let a connection alone: it has said what it wants, or is gone."""
        timer = self._held.pop(transport, None)
        if timer is not None:
            timer.cancel()
            metrics.HALF_OPEN.set(len(self._held))

    def _end(self, transport: asyncio.Transport, reason: str) -> None:
        self.remove(transport)
        metrics.EVICTED.labels(reason).inc()
        transport.abort()


class BoundedH11(H11Protocol):
    """uvicorn's HTTP, with ``half_open`` (set by a subclass per server) told of each state."""

    half_open: HalfOpen

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin: nothing was said yet."""
        super().connection_made(transport)
        self.half_open.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self.half_open.remove(self.transport)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what was said; a whole request, or an upgrade, is left alone."""
        super().data_received(data)
        if self.transport.get_protocol() is not self or self._is_at_work():
            self.half_open.remove(self.transport)
        else:
            self.half_open.add(self.transport)

    def _is_at_work(self) -> bool:
        cycle: Any = self.cycle
        return cycle is not None and not cycle.more_body and not cycle.response_complete


def bounded_http(half_open: HalfOpen) -> type[BoundedH11]:
    """Return the protocol class of a server with these half-open connections."""
    return type("Http", (BoundedH11,), {"half_open": half_open})
