"""DeadLetter: a frame or record that could not be read, kept whole."""

import msgspec


class DeadLetter(msgspec.Struct, frozen=True):
    """The value of ``md.dead-letters.v1``; ``payload`` is base64 in JSON."""

    reason: str
    source: str
    """Where it came from: a stream's URL, or ``topic/partition/offset``."""
    payload: bytes
    recv_ns: int


decode_dead_letter = msgspec.json.Decoder(DeadLetter).decode
encode_dead_letter = msgspec.json.Encoder().encode
