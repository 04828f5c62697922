"""A real gateway inside the test's process, and a client of it that reads only when it wants."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from runtime.settings import Settings
from sinks.gateway import app


@asynccontextmanager
async def running(settings: Settings, within_s: float = 60.0) -> AsyncIterator[None]:
    """Run a gateway inside the block, from when it is ready."""
    stop = asyncio.Event()
    task = asyncio.create_task(app.run(settings, stop))
    url = f"http://127.0.0.1:{settings.websocket_port}/health/ready"
    try:
        async with httpx.AsyncClient() as http, asyncio.timeout(within_s):
            while not task.done():
                try:
                    if (await http.get(url)).status_code == 200:
                        break
                except (httpx.ConnectError, httpx.ReadTimeout):
                    pass
                await asyncio.sleep(0.05)
        yield
    finally:
        stop.set()
        async with asyncio.timeout(20):
            await task


async def raw_client(port: int, item: dict, path: str = "/") -> socket.socket:
    """Return a WebSocket client by hand, with a small buffer: it subscribes and reads nothing."""
    peer = socket.socket()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    peer.settimeout(20)
    await asyncio.to_thread(peer.connect, ("127.0.0.1", port))
    peer.sendall(
        b"GET %s?stats=false HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        % path.encode()
    )
    assert b"101" in await asyncio.to_thread(peer.recv, 1_024)
    text = json.dumps({"action": "subscribe", "subscriptions": [item]}).encode()
    peer.sendall(bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text)  # a mask of zeros
    assert b"subscribed" in await asyncio.to_thread(peer.recv, 1_024)
    return peer


def read_to_end(peer: socket.socket) -> bytes:
    """Return the last 200 bytes that a client was sent."""
    tail = b""
    with peer:
        while chunk := peer.recv(65_536):
            tail = (tail + chunk)[-200:]
    return tail
