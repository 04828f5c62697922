"""uvicorn inside this process: on a socket that is bound before anything else starts.

Signals are the process's own business (``runtime.shutdown``), so uvicorn's handlers stay out.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.frames import CloseCode
from websockets.http11 import Request
from websockets.protocol import State

from runtime.errors import Misconfigured
from runtime.ports import port_refused
from sinks.gateway.connection import WIRE
from sinks.gateway.protocol import MESSAGE_BYTES_MAX
from sinks.gateway.security.half_open import REQUEST_WITHIN_S, HalfOpen, bounded_http
from sinks.gateway.security.policy import Tls
from sinks.gateway.wire.deflate import WINDOW_BITS

PORT_SETTING = "STREAMER_WEBSOCKET_PORT"
HOST_SETTING = "STREAMER_WEBSOCKET_HOST"
BACKLOG = 2_048
UNSENT_BYTES_MAX = 128 << 10
"""Of a connection, in the kernel: more would be old when it arrives, and is megabytes for each."""
PING_INTERVAL_S = 20.0
PING_TIMEOUT_S = 20.0
SLICE_BYTES = 1 << 10
"""Of what arrives, at a time: compressed, it may become a thousand times as much."""
UNREAD_BYTES_MAX = 1 << 20  # of a connection; far more than a client may say in a minute
EVENT_BYTES = 256  # the objects around a message's or a fragment's characters
PART_AFTER_S = 5.0  # what a client that does not read gets to take notice of the close frame
STOP_WITHIN_S = 5


def listen(host: str, port: int) -> socket.socket:
    """Bind the gateway's socket; raise Misconfigured naming the setting that must change."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except socket.gaierror as e:
        raise Misconfigured(
            HOST_SETTING,
            f"{host!r} is not an address of this machine ({e.strerror})",
            remedy="Set it to an address of this machine, for example 127.0.0.1 or 0.0.0.0.",
        ) from e
    except OSError as e:
        raise port_refused(host, port, PORT_SETTING, e) from e
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):  # what it accepts inherits it
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES_MAX)
    return listener


EXTENSIONS = [
    # Without context takeover one compressed message can be sent to many.
    ServerPerMessageDeflateFactory(server_no_context_takeover=True, client_no_context_takeover=True)
]


class Mailbox:
    """What asyncio.Queue does here, for one reader, in a tenth of the memory; counted."""

    __slots__ = ("_events", "_waiter", "bytes")

    def __init__(self) -> None:
        self.bytes = 0
        self._events: list[Any] = []
        self._waiter: asyncio.Future[None] | None = None

    def put_nowait(self, event: Any) -> None:
        """Put an event in; the end of a connection overtakes what it said and nobody has read."""
        if event["type"] == "websocket.disconnect":
            opening = [each for each in self._events if each["type"] == "websocket.connect"]
            self.clear()
            self._events += opening  # the application waits for that one first
            self.bytes = sum(map(_size, opening))
        self._events.append(event)
        self.bytes += _size(event)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def get(self) -> Any:
        """Return the oldest event, when there is one."""
        while not self._events:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        event = self._events.pop(0)
        self.bytes -= _size(event)
        return event

    def empty(self) -> bool:
        """Say whether there is none."""
        return not self._events

    def clear(self) -> None:
        """Forget all of them."""
        self._events.clear()
        self.bytes = 0


def _size(event: Any) -> int:
    return EVENT_BYTES + len(event.get("text") or event.get("bytes") or "")


class Protocol(WebSocketsSansIOProtocol):
    """uvicorn's, with a way to send without a wait, and to part from a peer that does not read."""

    on_writable: Callable[[], None] | None = None

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.queue: Mailbox = Mailbox()  # type: ignore[assignment]
        if config.ws_per_message_deflate:
            self.conn.available_extensions = EXTENSIONS

    def data_received(self, data: bytes) -> None:
        """Take in what arrived, as long as not too much of it waits to be read."""
        for at in range(0, len(data), SLICE_BYTES):
            super().data_received(data[at : at + SLICE_BYTES])
            if self.transport.is_closing():
                return
            if self.queue.bytes + EVENT_BYTES * len(self.frames) > UNREAD_BYTES_MAX:
                self.queue.clear()
                self.frames = []
                self.conn.fail(CloseCode.MESSAGE_TOO_BIG, "more is said than is read")
                self.handle_parser_exception()
                return

    def handle_parser_exception(self) -> None:
        """Part from a peer that breaks the protocol; before the handshake's end without a word."""
        if self.conn.close_sent is None:
            self.transport.abort()
        else:
            super().handle_parser_exception()

    def handle_connect(self, event: Request) -> None:
        """Offer this side of the connection to the application."""
        super().handle_connect(event)
        if self.response.status_code == 101:
            self.scope["state"][WIRE] = self

    @property
    def is_writable(self) -> bool:
        """Say whether the peer reads what it is sent."""
        return self.writable.is_set()

    @property
    def is_deflated(self) -> bool:
        """Say whether the peer takes compressed messages, and takes back as far as they reach."""
        bits = [getattr(each, "local_max_window_bits", 0) for each in self.conn.extensions]
        return bool(bits) and bits[0] >= WINDOW_BITS

    def send_frames(self, frames: bytes) -> None:
        """Send whole frames, unless the connection is closing."""
        if self.conn.state is State.OPEN and not self.transport.is_closing():
            self.transport.write(frames)

    def forget_handshake(self) -> None:
        """Free what nobody asks for once the connection is accepted: 3 KB of each."""
        del self.request, self.response
        self.scope["headers"] = [each for each in self.scope["headers"] if each[0] == b"host"]

    async def send(self, message: ASGISendEvent) -> None:
        """Send; a handshake that was answered is over, else uvicorn calls it an error of ours."""
        await super().send(message)
        if message["type"] == "websocket.http.response.body":
            self.handshake_complete = self.close_sent

    def send_receive_event_to_app(self) -> None:
        """Hand over a message; what is no text is the peer's fault, no error to be logged."""
        try:
            if self.curr_msg_data_type == "text":
                b"".join(self.frames).decode()
        except UnicodeDecodeError:
            self.frames = []
            self.conn.send_close(CloseCode.INVALID_DATA)
            self.handle_parser_exception()
        else:
            super().send_receive_event_to_app()

    def handle_ping(self) -> None:
        """Answer, unless the peer does not read what it asks for: pongs would pile up."""
        if self.is_writable:
            super().handle_ping()
        else:
            self.conn.data_to_send()  # the pong is made already: take it out, and forget it

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


class Server(uvicorn.Server):
    """Serves an application on a listening socket while ``running``."""

    def __init__(self, app: FastAPI, *, tls: Tls | None = None, compress: bool = True) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=bounded_http(HalfOpen()),
                ws=Protocol,
                ws_max_size=4 * MESSAGE_BYTES_MAX,  # up to here the answer is an error, not a close
                ws_ping_interval=PING_INTERVAL_S,
                ws_ping_timeout=PING_TIMEOUT_S,
                ws_per_message_deflate=compress,
                lifespan="off",
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                proxy_headers=False,  # the guard's own: uvicorn would believe all of loopback
                ssl_certfile=tls.cert if tls else None,
                ssl_keyfile=tls.key if tls else None,
                timeout_graceful_shutdown=STOP_WITHIN_S,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept; uvicorn's own startup leaves the handshake of TLS asyncio's 60 s."""
        config, loop = self.config, asyncio.get_running_loop()

        def http() -> asyncio.Protocol:
            return config.http_protocol_class(
                config=config, server_state=self.server_state, app_state={}
            )  # type: ignore[call-arg]

        self.servers = [
            await loop.create_server(
                http,
                sock=sock,
                ssl=config.ssl,
                backlog=BACKLOG,
                ssl_handshake_timeout=REQUEST_WITHIN_S if config.ssl else None,
            )
            for sock in sockets or ()
        ]
        self.started = True

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
