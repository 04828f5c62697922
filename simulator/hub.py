"""Who listens to what, and the bytes on their way: one encoded frame serves every listener."""

import asyncio
from collections.abc import Iterable

import structlog

from simulator.frames import framed, wrapped

log = structlog.get_logger(__name__)


class Connection:
    """One client's socket: what it asked for and the frames of the tick at hand."""

    def __init__(self, transport: asyncio.Transport, *, combined: bool) -> None:
        self.transport = transport
        self.combined = combined
        self.streams: dict[str, None] = {}  # in the order of subscription
        self.pending: list[bytes] = []

    def reply(self, message: bytes) -> None:
        """Send one message now."""
        if not self.transport.is_closing():
            self.transport.write(framed(message))


class Hub:
    """The listeners of one market."""

    def __init__(self, *, write_buffer_bytes_max: int) -> None:
        self.connections: set[Connection] = set()
        self._write_buffer_bytes_max = write_buffer_bytes_max
        self._by_stream: dict[str, dict[Connection, None]] = {}
        self._dirty: dict[Connection, None] = {}

    def subscribe(self, connection: Connection, streams: Iterable[str]) -> None:
        """Deliver ``streams`` to a connection from now on."""
        for stream in streams:
            self._by_stream.setdefault(stream, {})[connection] = None

    def unsubscribe(self, connection: Connection, streams: Iterable[str]) -> None:
        """Deliver ``streams`` no longer; those never subscribed are ignored."""
        for stream in streams:
            listeners = self._by_stream.get(stream)
            if listeners:
                listeners.pop(connection, None)
                if not listeners:
                    del self._by_stream[stream]

    def leave(self, connection: Connection) -> None:
        """Forget a connection."""
        self.unsubscribe(connection, list(connection.streams))
        self.connections.discard(connection)
        self._dirty.pop(connection, None)

    def heard(self, stream: str) -> bool:
        """Whether anybody listens."""
        return stream in self._by_stream

    def streams(self) -> list[str]:
        """Every stream that has a listener."""
        return list(self._by_stream)

    def publish(self, stream: str, payload: bytes) -> bool:
        """Queue a message for its listeners until ``flush``; false when it reaches nobody."""
        listeners = self._by_stream.get(stream)
        if not listeners:
            return False
        raw = combined = b""
        for connection in listeners:
            if connection.transport.is_closing():
                continue
            if connection.combined:
                combined = combined or framed(wrapped(stream, payload))
                connection.pending.append(combined)
            else:
                raw = raw or framed(payload)
                connection.pending.append(raw)
            self._dirty[connection] = None
        return bool(raw or combined)

    def flush(self) -> None:
        """Hand everything queued to the sockets; a client that does not read is dropped."""
        dirty, self._dirty = self._dirty, {}
        for connection in dirty:
            frames, connection.pending = connection.pending, []
            transport = connection.transport
            if transport.is_closing():
                continue
            transport.write(b"".join(frames))
            buffered = transport.get_write_buffer_size()
            if buffered > self._write_buffer_bytes_max:
                log.warning("slow_client_dropped", buffered_bytes=buffered)
                transport.abort()

    def drop_all(self) -> int:
        """Cut every connection without a close frame; how many."""
        connections = list(self.connections)
        for connection in connections:
            connection.transport.abort()
            self.leave(connection)
        return len(connections)
