"""DeadLetter: a frame or record that could not be read, kept whole."""

import msgspec


class DeadLetter(msgspec.Struct, frozen=True):
    """The value of ``md.dead-letters.v1``; ``payload`` is base64 in JSON."""

    reason: str
    """Why it could not be read."""
    source: str
    """Where it came from: a stream's URL, or ``topic/partition/offset``."""
    payload: bytes
    """What came, byte for byte."""
    recv_ns: int
    """When it came, in ns since 1970."""


decode_dead_letter = msgspec.json.Decoder(DeadLetter).decode
encode_dead_letter = msgspec.json.Encoder().encode
