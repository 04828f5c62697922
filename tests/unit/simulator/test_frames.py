"""WebSocket frames as a client reads them."""

import pytest
from websockets.frames import Opcode
from websockets.protocol import CLIENT, Protocol, State

from simulator import frames


@pytest.mark.parametrize("length", [0, 1, 125, 126, 65_535, 65_536])
def test_a_websocket_client_reads_the_frame(length):
    client = Protocol(CLIENT, state=State.OPEN, max_size=None)
    client.receive_data(frames.framed(b"x" * length))
    (event,) = client.events_received()
    assert (event.opcode, event.fin, len(event.data)) == (Opcode.TEXT, True, length)
