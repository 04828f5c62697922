"""uvicorn inside this process: on a socket that is bound before anything else starts.

Signals are the process's own business (``runtime.shutdown``), so uvicorn's handlers stay out.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request
from websockets.protocol import State

from runtime.errors import Misconfigured
from runtime.ports import port_refused
from sinks.gateway.connection import WIRE
from sinks.gateway.protocol import MESSAGE_BYTES_MAX
from sinks.gateway.security.half_open import HalfOpen, bounded_http
from sinks.gateway.security.policy import Tls

PORT_SETTING = "STREAMER_WEBSOCKET_PORT"
HOST_SETTING = "STREAMER_WEBSOCKET_HOST"
BACKLOG = 2_048
PING_INTERVAL_S = 20.0
PING_TIMEOUT_S = 20.0
PART_AFTER_S = 5.0  # what a client that does not read gets to take notice of the close frame
STOP_WITHIN_S = 5

TEXT_FRAME = 0x81  # whole, not the beginning of one
_HEAD_16 = struct.Struct("!BBH")
_HEAD_64 = struct.Struct("!BBQ")


def listen(host: str, port: int) -> socket.socket:
    """Bind the gateway's socket; raise Misconfigured naming the setting that must change."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except socket.gaierror as e:
        raise Misconfigured(
            HOST_SETTING,
            f"{host!r} is not an address of this machine ({e.strerror})",
            remedy="Set it to an address of this machine, for example 127.0.0.1 or 0.0.0.0.",
        ) from e
    except OSError as e:
        raise port_refused(host, port, PORT_SETTING, e) from e


class Protocol(WebSocketsSansIOProtocol):
    """uvicorn's, with a way to send without a wait, and to part from a peer that does not read."""

    on_writable: Callable[[], None] | None = None

    def handle_connect(self, event: Request) -> None:
        """Offer this side of the connection to the application."""
        super().handle_connect(event)
        if self.response.status_code == 101:
            self.scope["state"][WIRE] = self

    @property
    def is_writable(self) -> bool:
        """Say whether the peer reads what it is sent."""
        return self.writable.is_set()

    def send_texts(self, texts: Iterable[str]) -> None:
        """Send messages in one write, unless the connection is closing."""
        if self.conn.state is not State.OPEN or self.transport.is_closing():
            return
        parts: list[bytes] = []
        for text in texts:
            data = text.encode()
            parts += (_frame_head(len(data)), data)
        self.transport.write(b"".join(parts))

    def resume_writing(self) -> None:
        """Go on sending."""
        super().resume_writing()
        if self.on_writable is not None:
            self.on_writable()

    def part_soon(self) -> None:
        """Let the close frame pass a full buffer, and end the connection after a while."""
        self.writable.set()
        self.loop.call_later(PART_AFTER_S, self.transport.abort)

    def keepalive_timeout(self) -> None:
        """Part from a peer that does not answer pings."""
        super().keepalive_timeout()
        self.part_soon()


def _frame_head(size: int) -> bytes:
    """Return the head of an unmasked text message of one frame (RFC 6455, section 5.2)."""
    if size < 126:
        return bytes((TEXT_FRAME, size))
    if size < 1 << 16:
        return _HEAD_16.pack(TEXT_FRAME, 126, size)
    return _HEAD_64.pack(TEXT_FRAME, 127, size)


class Server(uvicorn.Server):
    """Serves an application on a listening socket while ``running``."""

    def __init__(self, app: FastAPI, *, tls: Tls | None = None) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=bounded_http(HalfOpen()),
                ws=Protocol,
                ws_max_size=4 * MESSAGE_BYTES_MAX,  # up to here the answer is an error, not a close
                ws_ping_interval=PING_INTERVAL_S,
                ws_ping_timeout=PING_TIMEOUT_S,
                ws_per_message_deflate=False,  # halves the messages per second
                lifespan="off",
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                ssl_certfile=tls.cert if tls else None,
                ssl_keyfile=tls.key if tls else None,
                timeout_graceful_shutdown=STOP_WITHIN_S,
            )
        )

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield

    @asynccontextmanager
    async def running(self, listener: socket.socket) -> AsyncIterator[asyncio.Task[None]]:
        """Serve inside the block; the task given ends early only by a bug."""
        task = asyncio.create_task(self.serve(sockets=[listener]))
        try:
            yield task
        finally:
            self.should_exit = True
            await task
