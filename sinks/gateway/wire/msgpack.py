"""The same maps in msgpack; numbers with a decimal point become the nearest 64-bit float.

So do whole numbers of more than 64 bits, which msgpack has no room for.

A row is packed once for all clients; envelopes are put together from what is packed.
"""

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec

from sinks.gateway.outbox import BINARY_FRAME, Encoding, Update

FORM = "msgpack"
HEADS_MAX = 1_024  # of exchanges, channels and kinds
INT_MIN, INT_MAX = -(1 << 63), (1 << 64) - 1
NUMBER_CHARS_MAX = 20  # of either

_pack = msgspec.msgpack.encode


class Packed(Encoding):
    """Messages in msgpack."""

    first_byte = BINARY_FRAME
    separator = end = b""

    def text(self, text: str) -> bytes:
        """Return what stands for a message in JSON."""
        return _packed(text)

    def row(self, update: Update) -> bytes:
        """Return a row."""
        return update.forms.get(FORM) or _row(update)

    def begin(self, head: str, recv_ms: int, seq: dict[int, int] | None, rows: int) -> bytes:
        """Return an envelope up to its so many rows."""
        entries, packed = _head(head)
        parts = [_map_of(entries + bool(seq)), packed, _pack(recv_ms)]
        if seq:
            parts += (_pack("seq"), _pack({str(partition): at for partition, at in seq.items()}))
        return b"".join([*parts, _pack("data"), _array_of(rows)])

    def envelope(
        self, head: str, recv_ms: int, seq: dict[int, int] | None, rows: Sequence[Update]
    ) -> bytes:
        """Return one envelope."""
        return self.begin(head, recv_ms, seq, len(rows)) + b"".join(map(self.row, rows))


MSGPACK = Packed()


def json_of(message: bytes) -> bytes:
    """Return a client's message as JSON; raise ValueError, or RecursionError."""
    try:
        return msgspec.json.encode(msgspec.msgpack.decode(message))
    except (msgspec.MsgspecError, TypeError, OverflowError) as e:
        raise ValueError(f"not msgpack: {e}") from e


def _row(update: Update) -> bytes:
    packed = update.forms[FORM] = _packed(update.text)
    return packed


def _packed(text: str) -> bytes:
    try:
        return _pack(msgspec.json.decode(text))
    except (msgspec.ValidationError, OverflowError):  # a number is beyond 64 bits
        return _pack(json.loads(text, parse_int=_number))


def _number(digits: str) -> int | float:
    if len(digits) <= NUMBER_CHARS_MAX and INT_MIN <= int(digits) <= INT_MAX:
        return int(digits)
    return float(digits)


@lru_cache(HEADS_MAX)
def _head(head: str) -> tuple[int, bytes]:
    """Return how many entries an envelope has, and those up to the value of ``recv_ms``."""
    fields: dict[str, Any] = msgspec.json.decode(head + "0}")
    *fixed, last = fields
    parts = [_pack(part) for name in fixed for part in (name, fields[name])]
    return len(fields) + 1, b"".join([*parts, _pack(last)])


def _map_of(entries: int) -> bytes:
    return bytes((0x80 | entries,))  # at most 15


def _array_of(rows: int) -> bytes:
    if rows < 16:
        return bytes((0x90 | rows,))
    if rows < 1 << 16:
        return b"\xdc" + rows.to_bytes(2, "big")
    return b"\xdd" + rows.to_bytes(4, "big")
