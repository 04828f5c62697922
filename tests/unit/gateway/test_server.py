"""What a peer may have waiting unread, by the bytes it takes when unpacked."""

import asyncio
import base64
import struct
import zlib

import pytest
import uvicorn
from uvicorn.server import ServerState
from websockets.frames import Close, Frame, Opcode

from sinks.gateway import server
from sinks.gateway.server import UNREAD_BYTES_MAX, Mailbox, Protocol

HANDSHAKE = (
    "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    f"Sec-WebSocket-Key: {base64.b64encode(bytes(16)).decode()}\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
).encode()
MESSAGE_BYTES = 256 << 10


class Peer(asyncio.Transport):
    """The other end of a connection, as far as the protocol sees it."""

    def __init__(self) -> None:
        super().__init__()
        self.heard = b""
        self._is_closing = False

    def write(self, data):
        self.heard += data

    def is_closing(self):
        return self._is_closing

    def close(self):
        self._is_closing = True

    abort = close

    def pause_reading(self):
        pass

    def resume_reading(self):
        pass


async def _accepts(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    await asyncio.Event().wait()


def _frame(first_byte: int, data: bytes) -> bytes:
    size = bytes((0x80 | len(data),)) if len(data) < 126 else b"\xfe" + struct.pack("!H", len(data))
    return bytes((first_byte,)) + size + bytes(4) + data  # a mask of zeros


def _bomb() -> bytes:
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = deflate.compress(b" " * MESSAGE_BYTES) + deflate.flush(zlib.Z_SYNC_FLUSH)
    return _frame(0xC1, data[:-4])


@pytest.fixture
async def protocol():
    config = uvicorn.Config(_accepts, ws=Protocol, ws_max_size=MESSAGE_BYTES, log_config=None)
    config.load()
    protocol = Protocol(config, ServerState(), {}, asyncio.get_running_loop())
    protocol.connection_made(Peer())
    protocol.data_received(HANDSHAKE)
    for _ in range(5):
        await asyncio.sleep(0)
    yield protocol
    for task in protocol.tasks:
        task.cancel()
    protocol.stop_keepalive()


def _unpacked_max(protocol: Protocol, data: bytes) -> int:
    """Return how much was unread at most while all of it came in."""
    most = 0

    class Watched(Mailbox):
        __slots__ = ()

        def put_nowait(self, event):
            nonlocal most
            super().put_nowait(event)
            most = max(most, self.bytes)

    protocol.queue = Watched()
    for at in range(0, len(data), 256 << 10):
        if not protocol.transport.is_closing():
            protocol.data_received(data[at : at + (256 << 10)])
    return most


def _close_code(protocol: Protocol) -> int:
    heard = protocol.transport.heard
    at = heard.rindex(b"\x88")
    assert protocol.transport.is_closing()
    return Close.parse(heard[at + 2 : at + 2 + heard[at + 1]]).code


async def test_small_messages_that_unpack_to_a_thousandfold_are_closed_before_they_do(protocol):
    bomb = _bomb()
    assert len(bomb) < 500
    assert protocol.conn.extensions
    most = _unpacked_max(protocol, bomb * ((256 << 10) // len(bomb)))
    assert UNREAD_BYTES_MAX < most < 3 * UNREAD_BYTES_MAX
    assert _close_code(protocol) == 1009
    assert protocol.queue.bytes < 1_000, "what was not read is forgotten"
    assert (await protocol.queue.get())["type"] == "websocket.disconnect"


async def test_fragments_of_nothing_without_end_are_closed(protocol):
    data = _frame(0x01, b"") + _frame(0x00, b"") * 20_000
    _unpacked_max(protocol, data)
    assert _close_code(protocol) == 1009
    assert not protocol.frames


async def test_messages_that_are_read_may_go_on_for_ever(protocol):
    text = b'{"action":"ping"}'
    for _ in range(2_000):
        protocol.data_received(_frame(0x81, text) * 10)
        for _ in range(10):
            assert (await protocol.queue.get())["text"].encode() == text
        assert protocol.queue.bytes == 0
    assert not protocol.transport.is_closing()


async def test_what_arrives_is_the_same_in_whatever_slices(protocol, monkeypatch):
    monkeypatch.setattr(server, "SLICE_BYTES", 3)
    protocol.data_received(
        Frame(Opcode.TEXT, b"x" * 5_000).serialize(mask=True) + _frame(0x82, b"y")
    )
    assert (await protocol.queue.get())["text"] == "x" * 5_000
    assert (await protocol.queue.get())["bytes"] == b"y"


async def test_too_much_before_the_connection_is_accepted_ends_it_without_an_error():
    config = uvicorn.Config(_accepts, ws=Protocol, ws_max_size=MESSAGE_BYTES, log_config=None)
    config.load()
    protocol = Protocol(config, ServerState(), {}, asyncio.get_running_loop())
    protocol.connection_made(Peer())
    protocol.data_received(HANDSHAKE + _frame(0x81, b"x") * 20_000)
    assert protocol.transport.is_closing()
    for task in protocol.tasks:
        task.cancel()


async def test_the_end_of_a_connection_overtakes_what_nobody_has_read():
    mailbox = Mailbox()
    connect, gone = {"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1006}
    for event in (connect, *({"type": "websocket.receive", "text": "x"} for _ in range(9)), gone):
        mailbox.put_nowait(event)
    assert [await mailbox.get(), await mailbox.get()] == [connect, gone]
    assert mailbox.empty()
    assert mailbox.bytes == 0
