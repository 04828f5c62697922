"""Who listens to what, and the bytes on their way: one encoded frame serves every listener."""

import asyncio
from collections.abc import Callable

import structlog

from simulator.feeds import Stream
from simulator.frames import framed

log = structlog.get_logger(__name__)

Wrap = Callable[[Stream, bytes], bytes]


class Connection:
    """One client's socket: what it listens to, and the frames of the tick at hand."""

    def __init__(self, transport: asyncio.Transport, *, wrap: Wrap | None = None) -> None:
        self.transport = transport
        self.wrap = wrap
        """How this client wants its messages dressed; None: as they are."""
        self.streams: dict[Stream, None] = {}  # in the order of subscription
        self.pending: list[bytes] = []
        self.has_sent = False  # since the last look at it

    def reply(self, message: bytes) -> None:
        """Send one message now."""
        if not self.transport.is_closing():
            self.has_sent = True
            self.transport.write(framed(message))


class Hub:
    """The listeners of one market."""

    def __init__(self, *, write_buffer_bytes_max: int) -> None:
        self.connections: set[Connection] = set()
        self._write_buffer_bytes_max = write_buffer_bytes_max
        self._by_stream: dict[Stream, dict[Connection, None]] = {}
        self._dirty: dict[Connection, None] = {}

    def subscribe(self, connection: Connection, stream: Stream) -> None:
        """Deliver a stream to a connection from now on."""
        connection.streams[stream] = None
        self._by_stream.setdefault(stream, {})[connection] = None

    def unsubscribe(self, connection: Connection, stream: Stream) -> bool:
        """Deliver a stream no longer; true when nobody is left to listen to it."""
        connection.streams.pop(stream, None)
        listeners = self._by_stream.get(stream)
        if not listeners:
            return False
        listeners.pop(connection, None)
        if listeners:
            return False
        del self._by_stream[stream]
        return True

    def listeners(self, stream: Stream) -> list[Connection]:
        """Every connection that a stream goes to."""
        return list(self._by_stream.get(stream, ()))

    def streams(self) -> list[Stream]:
        """Every stream that has a listener."""
        return list(self._by_stream)

    def publish(self, stream: Stream, payload: bytes) -> bool:
        """Queue a message for its listeners until ``flush``; false when it reaches nobody."""
        made: dict[Wrap | None, bytes] = {}
        for connection in self._by_stream.get(stream, ()):
            if connection.transport.is_closing():
                continue
            wrap = connection.wrap
            frame = made.get(wrap)
            if frame is None:
                frame = made[wrap] = framed(wrap(stream, payload) if wrap else payload)
            connection.pending.append(frame)
            self._dirty[connection] = None
        return bool(made)

    def flush(self) -> None:
        """Hand everything queued to the sockets; a client that does not read is dropped."""
        dirty, self._dirty = self._dirty, {}
        for connection in dirty:
            frames, connection.pending = connection.pending, []
            transport = connection.transport
            if transport.is_closing():
                continue
            connection.has_sent = True
            transport.write(b"".join(frames))
            buffered = transport.get_write_buffer_size()
            if buffered > self._write_buffer_bytes_max:
                log.warning("slow_client_dropped", buffered_bytes=buffered)
                transport.abort()

    def forget(self, connection: Connection) -> None:
        """A connection is gone; its streams were given up before."""
        self.connections.discard(connection)
        self._dirty.pop(connection, None)
