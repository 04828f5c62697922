"""How messages are written for a client: JSON or msgpack, as they are or compressed, in frames."""

from sinks.gateway.outbox import JSON, Encoding
from sinks.gateway.wire.deflate import Deflated
from sinks.gateway.wire.frames import Framed
from sinks.gateway.wire.msgpack import MSGPACK

_PLAIN = Framed(JSON), Framed(MSGPACK)
_DEFLATED = Framed(Deflated(JSON)), Framed(Deflated(MSGPACK))


def encoding_of(*, is_msgpack: bool, is_deflated: bool) -> Encoding:
    """Return the encoding of a connection; all that are alike share one."""
    return (_DEFLATED if is_deflated else _PLAIN)[is_msgpack]
