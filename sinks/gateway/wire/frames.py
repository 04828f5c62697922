"""Messages as the frames of a WebSocket: whole and unmasked, as a server sends them (RFC 6455)."""

import struct
from collections.abc import Sequence

from sinks.gateway.outbox import Encoding, Update

_HEAD_16 = struct.Struct("!BBH")
_HEAD_64 = struct.Struct("!BBQ")


class Framed(Encoding):
    """Messages of another encoding, each with the head of its frame."""

    def __init__(self, inner: Encoding) -> None:
        self._inner = inner
        self._first_byte = inner.first_byte

    def text(self, text: str) -> bytes:
        """Return what stands for a message in JSON."""
        return frame(self._first_byte, self._inner.text(text))

    def envelope(
        self, head: str, recv_ms: int, seq: dict[int, int] | None, rows: Sequence[Update]
    ) -> bytes:
        """Return one envelope."""
        return frame(self._first_byte, self._inner.envelope(head, recv_ms, seq, rows))


def frame(first_byte: int, message: bytes) -> bytes:
    """Return a message as a frame; its first byte says of what sort it is."""
    size = len(message)
    if size < 126:
        return bytes((first_byte, size)) + message
    if size < 1 << 16:
        return _HEAD_16.pack(first_byte, 126, size) + message
    return _HEAD_64.pack(first_byte, 127, size) + message
