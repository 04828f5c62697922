"""WebSocket frames as a server writes them (RFC 6455, 5.2): unmasked, the same for every client."""

TEXT = 0x81  # a whole text message: FIN and opcode 1
CLOSE = 0x88


def framed(message: bytes, opcode: int = TEXT) -> bytes:
    """One whole message."""
    length = len(message)
    if length < 126:
        return bytes((opcode, length)) + message
    if length < 65_536:
        return bytes((opcode, 126)) + length.to_bytes(2, "big") + message
    return bytes((opcode, 127)) + length.to_bytes(8, "big") + message
