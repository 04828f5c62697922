import socket

import pytest

from runtime.errors import Misconfigured
from runtime.ports import check_port, free_port


def test_a_free_port_passes():
    check_port("127.0.0.1", free_port(), "STREAMER_WEBSOCKET_PORT")
    check_port("127.0.0.1", 0, "STREAMER_WEBSOCKET_PORT")


def test_a_taken_port_is_refused_with_setting_port_and_way_out():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Misconfigured) as refused:
            check_port("127.0.0.1", port, "STREAMER_WEBSOCKET_PORT")
    assert refused.value.setting == "STREAMER_WEBSOCKET_PORT"
    assert f"127.0.0.1:{port}" in refused.value.problem
    assert f"lsof -i :{port}" in refused.value.remedy


def test_a_port_whose_owner_has_just_gone_is_free():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            server.accept()[0].close()  # closed first: this side lingers in TIME_WAIT
    check_port("127.0.0.1", port, "STREAMER_WEBSOCKET_PORT")


def test_an_address_of_another_machine_is_refused():
    with pytest.raises(Misconfigured, match=r"203\.0\.113\.1"):
        check_port("203.0.113.1", 5_000, "STREAMER_WEBSOCKET_PORT")
