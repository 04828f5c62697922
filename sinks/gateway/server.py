"""uvicorn inside this process: on a socket that is bound before anything else starts.

Signals are the process's own business (``runtime.shutdown``), so uvicorn's handlers stay out.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from runtime.errors import Misconfigured
from runtime.ports import port_refused
from sinks.gateway.connection import PART_SOON
from sinks.gateway.protocol import MESSAGE_BYTES_MAX

PORT_SETTING = "STREAMER_WEBSOCKET_PORT"
HOST_SETTING = "STREAMER_WEBSOCKET_HOST"
BACKLOG = 2_048
PING_INTERVAL_S = 20.0
PING_TIMEOUT_S = 20.0
PART_AFTER_S = 5.0  # what a client that does not read gets to take notice of the close frame
STOP_WITHIN_S = 5


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
    """uvicorn's, with a way to part from a peer that has stopped reading."""

    def handle_connect(self, event: Request) -> None:
        """Offer ``part_soon`` to the application."""
        super().handle_connect(event)
        if self.response.status_code == 101:
            self.scope["state"][PART_SOON] = self.part_soon

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

    def __init__(self, app: FastAPI) -> None:
        super().__init__(
            uvicorn.Config(
                app,
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
