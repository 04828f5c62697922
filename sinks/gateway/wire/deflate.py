"""permessage-deflate (RFC 7692) in which a row is compressed once, for all clients together.

Without context takeover a message is a deflate stream of its own, and such streams can be joined
where each ends on a byte and refers to nothing before itself. So a message is put together from
rows that are compressed already; what differs from client to client goes in as it is.
"""

import struct
import zlib
from collections.abc import Iterator, Sequence

from sinks.gateway.outbox import Encoding, Update

WINDOW_BITS = 12  # 4 KiB: many times a row
LEVEL = 6
MEMORY_LEVEL = 5
COMPRESSED = 0x40  # in the first byte of a frame
STORED_BYTES_MAX = 0xFFFF  # of one block
SMALL_BYTES = 128  # not worth compressing
END = b"\x00"  # of an empty stored block: the receiver knows its rest

_STORED = struct.Struct("<BHH")


class Deflated(Encoding):
    """Messages of another encoding, compressed."""

    def __init__(self, inner: Encoding) -> None:
        self.first_byte = inner.first_byte | COMPRESSED
        self._inner = inner
        self._first, self._next = f"deflated {self.first_byte}", f"deflated next {self.first_byte}"
        # One for all: a full flush makes it forget what was before.
        self._compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, -WINDOW_BITS, MEMORY_LEVEL)

    def text(self, text: str) -> bytes:
        """Return what stands for a message in JSON."""
        data = self._inner.text(text)
        whole = _stored(data) if len(data) < SMALL_BYTES else self._deflated(data)
        return whole + END

    def envelope(
        self, head: str, recv_ms: int, seq: dict[int, int] | None, rows: Sequence[Update]
    ) -> bytes:
        """Return one envelope."""
        parts = [_stored(self._inner.begin(head, recv_ms, seq, len(rows))), *self._pieces(rows)]
        if self._inner.end:
            parts.append(_stored(self._inner.end))
        return b"".join([*parts, END])

    def _pieces(self, rows: Sequence[Update]) -> Iterator[bytes]:
        form, before = self._first, b""
        for update in rows:
            piece = update.forms.get(form)
            if piece is None:
                piece = update.forms[form] = self._deflated(before + self._inner.row(update))
            yield piece
            form, before = self._next, self._inner.separator

    def _deflated(self, data: bytes) -> bytes:
        return self._compressor.compress(data) + self._compressor.flush(zlib.Z_FULL_FLUSH)


def _stored(data: bytes) -> bytes:
    """Return bytes as they are, as blocks of a deflate stream."""
    parts: list[bytes] = []
    for at in range(0, len(data), STORED_BYTES_MAX):
        block = data[at : at + STORED_BYTES_MAX]
        parts += (_STORED.pack(0, len(block), len(block) ^ 0xFFFF), block)
    return b"".join(parts)
