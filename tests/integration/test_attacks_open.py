"""A gateway without keys is this machine's own, says so, and is nobody else's."""

import time

import psutil
import pytest
from attacked import Attacked, Stage

pytestmark = pytest.mark.integration

OPEN = {"gateway_admin_key_hash": ""}


def test_without_keys_it_listens_on_loopback_only_says_so_and_trusts_nobody_sent(
    kafka_bootstrap, tmp_path
):
    with Attacked(kafka_bootstrap, f"open{time.time_ns()}.", tmp_path, **OPEN) as gateway:
        assert '"event":"gateway_without_keys"' in gateway.log.read_text()
        its = psutil.Process(gateway.process.pid).net_connections()
        listening = {at.laddr.ip for at in its if at.status == psutil.CONN_LISTEN}
        assert listening == {"127.0.0.1"}
        assert gateway.ask("/api/v1/whoami").status == 200
        for header in (
            "X-Forwarded-For: 127.0.0.1", "X-Real-IP: 127.0.0.1", "Forwarded: for=127.0.0.1",
            "X-Forwarded-Host: 127.0.0.1", "X-Forwarded-Proto: https", "Via: 1.1 proxy",
        ):  # fmt: skip
            assert gateway.ask("/streams", header).status == 403, header
        said = b"GET /streams HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n"
        for host in (b"evil.example", b"", b"127.0.0.1.evil.example", b"[::1].evil", b"10.0.0.1"):
            assert gateway.raw(said % host).status in {400, 403}, host
        for origin in ("http://evil.example", "null", "https://127.0.0.1", "http://127.0.0.1:1"):
            answer = gateway.ask("/streams", f"Origin: {origin}", method="POST")
            assert answer.status == 403, origin


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])  # noqa: S104 - that is what is refused
def test_without_keys_it_refuses_to_listen_elsewhere_with_exit_code_2(
    kafka_bootstrap, tmp_path, host
):
    prefix = f"open{time.time_ns()}."
    own = Attacked(kafka_bootstrap, prefix, tmp_path, websocket_host=host, **OPEN)
    stage = Stage(own.settings, tmp_path, "gateway")
    assert stage.process.wait(60) == 2
    told = stage.log.read_text()
    assert "STREAMER_WEBSOCKET_HOST" in told
    assert "fibstream keys generate" in told
