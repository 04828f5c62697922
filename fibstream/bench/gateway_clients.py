"""The clients of ``fibstream bench gateway``: many sockets, which count what they are sent.

``python -m fibstream.bench.gateway_clients LOAD PORT PATH``. It says a line of JSON when all are
connected, and one for each line that it is told: what came since the last one,
and how late all was that came since the line ``begin``.
"""

import asyncio
import json
import sys
import time
from typing import Any

import uvloop

from fibstream.bench.gateway_load import CHANNEL, EXCHANGE, STAMP, Load, wants
from fibstream.bench.live import percentiles

CONNECTING_MAX = 50  # at a time
SAMPLE_EVERY = 5  # messages
SAMPLES_MAX = 500_000
ROW, CLOSED, SNAPSHOT = b'"rev":', b'"closed":true', b'"snapshot":true'
PING = 9
BEGIN = b"begin\n"
HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class Tally:
    """What all clients were sent since somebody asked."""

    def __init__(self) -> None:
        self.begin()
        self.delays_ms: list[float] = []
        self.last_s = 0.0

    def begin(self) -> None:
        """Count from nothing."""
        self.rows = self.closed = self.messages = self.lost = 0

    def told(self) -> dict[str, Any]:
        """Return the figures, and count anew."""
        told = {
            "rows": self.rows,
            "closed": self.closed,
            "messages": self.messages,
            "connections_lost": self.lost,
            "last_s": self.last_s,
            "delay_ms": percentiles(self.delays_ms),
            "cpu_s": time.process_time(),
        }
        self.begin()
        return told


class Client(asyncio.Protocol):
    """One socket."""

    def __init__(self, tally: Tally, request: bytes, subscribe: bytes) -> None:
        self.is_subscribed = asyncio.get_running_loop().create_future()
        self._tally = tally
        self._request = request
        self._subscribe = subscribe
        self._is_open = False
        self._rest = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake."""
        self._transport = transport  # type: ignore[assignment]
        self._transport.write(self._request)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Note it."""
        self._tally.lost += 1

    def data_received(self, data: bytes) -> None:
        """Count the rows of whole messages."""
        data = self._rest + data
        at = 0
        if not self._is_open:
            head, end, data = data.partition(b"\r\n\r\n")
            if not end or b" 101 " not in head:
                self._rest = head
                return
            self._is_open = True
            if self._subscribe:
                self._transport.write(masked(0x81, self._subscribe))
            else:
                self.is_subscribed.set_result(None)
        while len(data) - at >= 2:
            size, begin = data[at + 1], at + 2
            if size == 126:
                size, begin = int.from_bytes(data[at + 2 : at + 4], "big"), at + 4
            elif size == 127:
                size, begin = int.from_bytes(data[at + 2 : at + 10], "big"), at + 10
            if len(data) < begin + size:
                break
            self._take(data[at] & 0x0F, data[begin : begin + size])
            at = begin + size
        self._rest = data[at:]

    def _take(self, opcode: int, message: bytes) -> None:
        if opcode == PING:
            self._transport.write(masked(0x8A, message))
            return
        tally = self._tally
        rows = message.count(ROW)
        if not rows:
            if not self.is_subscribed.done() and b'"subscribed"' in message:
                self.is_subscribed.set_result(None)
            return
        if SNAPSHOT in message:
            return
        tally.rows += rows
        tally.messages += 1
        tally.last_s = time.monotonic()
        tally.closed += message.count(CLOSED)
        if tally.messages % SAMPLE_EVERY == 0 and len(tally.delays_ms) < SAMPLES_MAX:
            stamp_us = int(message.partition(STAMP)[2].partition(b",")[0])
            tally.delays_ms.append(time.time_ns() / 1e6 - stamp_us / 1e3)


def masked(first_byte: int, payload: bytes) -> bytes:
    """Return a frame as clients send it; the mask is of zeros."""
    size = len(payload)
    head = bytes((first_byte, 0x80 | size)) if size < 126 else (
        bytes((first_byte, 0xFE)) + size.to_bytes(2, "big")
    )  # fmt: skip
    return head + bytes(4) + payload


def subscribe(load: Load, client: int) -> bytes:
    """Return the first message of a client."""
    wanted: dict[str, list[str]] = {}
    for symbol, interval in wants(load, client):
        wanted.setdefault(symbol, []).append(interval)
    items = [
        {"symbol": symbol, "exchange": EXCHANGE, "channel": CHANNEL, "timeframes": intervals}
        for symbol, intervals in wanted.items()
    ]
    return json.dumps({"action": "subscribe", "subscriptions": items}).encode()


async def run(load: Load, port: int, path: str) -> None:
    """Connect all, then tell what came whenever asked, until told no more."""
    loop = asyncio.get_running_loop()
    tally = Tally()
    is_bare = path.endswith("bare")
    turn = asyncio.Semaphore(CONNECTING_MAX)

    async def connect(number: int) -> None:
        its_path = f"/{number}" if is_bare else path
        request = HANDSHAKE.format(path=its_path, port=port).encode()
        said = b"" if is_bare else subscribe(load, number)
        async with turn:
            _, client = await loop.create_connection(
                lambda: Client(tally, request, said), "127.0.0.1", port
            )
            await client.is_subscribed

    await asyncio.gather(*map(connect, range(load.clients)))
    _say({"connected": load.clients})
    asked = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(asked), sys.stdin)
    while line := await asked.readline():
        if line == BEGIN:
            tally.delays_ms.clear()
        _say(tally.told())


def _say(told: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    uvloop.run(run(Load(**json.loads(sys.argv[1])), int(sys.argv[2]), sys.argv[3]))
