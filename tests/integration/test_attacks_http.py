"""HTTP as no client speaks it, against a real gateway: nothing opens, nothing stays, it serves."""

import asyncio
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import psutil
import pytest
from attacked import ADMIN, Attacked

from sinks.gateway.security import half_open
from sinks.gateway.security.keys import hash_text
from tests.support.streaming import World

pytestmark = pytest.mark.integration

KEY = f"X-API-Key: {ADMIN}"
SECRET_FILES = (b"FastAPI", b"root:", b"import ", b"STREAMER_", b'"streams"')


@pytest.fixture(scope="module")
def gateway(kafka_bootstrap, tmp_path_factory):
    prefix, folder = f"attack{time.time_ns()}.", tmp_path_factory.mktemp("http")
    trusting = {"gateway_allowed_networks": ("127.0.0.0/31", "10.0.0.0/8", "127.0.0.3/32")}
    trusting |= {"gateway_trusted_proxies": ("127.0.0.3/32",)}
    with Attacked(kafka_bootstrap, prefix, folder, **trusting) as gateway:
        yield gateway


@pytest.fixture(autouse=True)
def serves(gateway):
    yield
    gateway.assert_serves()


# -- where a call comes from


SPOOF = (
    "X-Forwarded-For", "X-Real-IP", "X-Client-IP", "True-Client-IP", "CF-Connecting-IP",
    "X-Forwarded-Host", "X-Originating-IP", "Client-IP",
)  # fmt: skip


@pytest.mark.parametrize("header", SPOOF)
def test_no_header_moves_a_caller_into_an_allowed_network(gateway, header):
    for told in (f"{header}: 10.1.2.3", "Forwarded: for=10.1.2.3;by=10.1.2.3"):
        assert gateway.ask("/health/live", told, source="127.0.0.2").status == 403


def test_a_peer_on_loopback_is_no_proxy_unless_the_settings_say_so(gateway):
    """127.0.0.1 may call; what it says of others is believed of 127.0.0.3 only."""
    outside = "X-Forwarded-For: 203.0.113.9"
    assert gateway.ask("/health/live", outside, source="127.0.0.1").status == 200
    assert gateway.ask("/health/live", outside, source="127.0.0.3").status == 403
    inside = "X-Forwarded-For: 203.0.113.9, 10.1.2.3"
    assert gateway.ask("/health/live", inside, source="127.0.0.3").status == 200
    assert gateway.ask("/health/live", "X-Real-IP: 203.0.113.9", source="127.0.0.3").status == 200


def test_a_scheme_told_by_a_header_is_not_believed(gateway):
    answer = gateway.ask("/health/live", "X-Forwarded-Proto: https")
    assert "strict-transport-security" not in answer.head.lower()


# -- paths

TRICKS = (
    "/..", "/../../etc/passwd", "/static/../app.py", "/static/../../app.py",
    "/static/%2e%2e/app.py", "/static/%2e%2e%2fapp.py", "/static/..%2f..%2f..%2fetc%2fpasswd",
    "/static/%252e%252e/app.py", "/static/..%5c..%5capp.py", "/static/..\\app.py",
    "/static//etc/passwd", "/static/%2fetc%2fpasswd", "/static/%c0%ae%c0%ae/app.py",
    "/static/\xef\xbc\x8e\xef\xbc\x8e/app.py", "/static/app.py%00.js", "/static/%00", "/%00",
    "/static/index.html%00", "/static/.", "/static/./", "/static/" + "a" * 5_000,
    "/static/" + "../" * 500 + "etc/passwd", "/static/" + "%2e%2e/" * 500 + "etc/passwd",
    "//streams", "///streams", "/./streams", "/streams/", "/streams//", "/streams%2f",
    "/health/live/../../streams", "/health/live/..%2f..%2fstreams", "/static/../streams",
    "/%2fstreams", "/STREAMS", "/streams;a=b", "/streams%20", "/streams%00", "/streams%0a",
    "/streams#",
    "/api//v1/keys", "/api/v1/keys/", "/api/v1/./keys", "/api/v1/x/../keys", "/api%2fv1%2fkeys",
    "/api/v1/tokens/refresh/../../keys", "/docs", "/redoc", "/docs/oauth2-redirect", "/metrics",
    "/.env", "/.git/config", "/server-status", "http://evil.example/streams", "evil:80", "*", "x",
)  # fmt: skip


@pytest.mark.parametrize("target", TRICKS, ids=lambda target: target[:40])
def test_no_form_of_a_path_opens_a_closed_door_or_shows_a_file(gateway, target):
    answer = gateway.ask(target.encode("latin-1"))
    assert answer.status in {400, 401, 404}, (answer.status, answer.body[:200])
    assert not any(word in answer.body for word in SECRET_FILES)
    assert "location:" not in answer.head.lower()


@pytest.mark.parametrize("target", TRICKS, ids=lambda target: target[:40])
def test_no_form_of_a_path_is_an_error_of_ours_for_those_with_a_key(gateway, target):
    assert 0 < gateway.ask(target.encode("latin-1"), KEY).status < 500


NAMES = (
    "%00", "%0d%0aX-Evil:%20yes", "..%2f..", "'%20OR%201=1--", "%ff%fe", "%f0%9f%92%a9",
    "%7B%7B7*7%7D%7D", "$%7Bjndi:ldap://x%7D", "%1b[31m", "NaN", "-1", "99999999999999999999999",
    "%ed%a0%80", "%F3%A0%81%81", "*", "[" * 500, "a" * 4_000,
)  # fmt: skip


@pytest.mark.parametrize(
    "place",
    [
        "/streams/{}/x/y/z", "/streams/binance/{}/trades/ws", "/tick/{}", "/ohlc/{}",
        "/api/v1/keys/{}", "/api/v1/alerts/{}", "/api/v1/intervals/{}", "/udf/symbols?symbol={}",
        "/udf/history?symbol={}&resolution=1&from=1&to=2", "/symbols?exchange={}",
        "/api/v1/data/klines/{}?interval=1m", "/instruments?exchange={}", "/udf/search?query={}",
    ],
)  # fmt: skip
def test_no_name_in_a_path_or_query_is_an_error_of_ours(gateway, place):
    for name in NAMES:
        answer = gateway.ask(place.replace("{}", name), KEY)
        away = answer.status == 503 and b"warehouse" in answer.body  # there is none in this test
        assert 0 < answer.status < 500 or away, (name, answer.status, answer.body[:300])
        assert "x-evil" not in answer.head.lower()


# -- requests that two parsers would read differently, or none


NO_REQUESTS = (
    b"GET /health/live\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 200,  # TLS to a plain port
    b"GET /health/live HTTP/1.1\r\n\r\n",  # no Host
    b"GET /health/live HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET /health/live HTTP/1.1\r\nHost: a\r\nX\x00: b\r\n\r\n",
    b"GET /health/live HTTP/1.1\r\nHost: a\r\nX: b\x00c\r\n\r\n",
    b"GET /health/live HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n",
    b"GET /health/live HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
    b"POST /streams HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    b"POST /streams HTTP/1.1\r\nHost: a\r\nContent-Length: 1e3\r\n\r\n",
    b"POST /streams HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    b"POST /streams HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
    b"POST /streams HTTP/1.1\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    b"GET /health/live HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
    b"GET /" + b"y" * 70_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /health/live HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
    b"\x00" * 70_000,
    b"\r\n" * 50_000,
)


def test_what_is_no_request_is_refused_and_the_connection_ended(gateway):
    def refused(said: bytes) -> float:
        started_s = time.monotonic()
        answer = gateway.raw(said, within_s=15)
        assert answer.status in {0, 400, 431}, (said[:60], answer.head)
        return time.monotonic() - started_s

    with ThreadPoolExecutor(len(NO_REQUESTS)) as outside:
        took_s = list(outside.map(refused, NO_REQUESTS))
    assert max(took_s) < 12, took_s


def test_a_request_hidden_in_the_body_of_another_is_no_request(gateway):
    """Content-Length and Transfer-Encoding together: one answer, then the end."""
    hidden = b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n"
    head = b"POST /streams HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n" % (len(hidden) + 5)
    answer = gateway.raw(head + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden, within_s=8)
    assert answer.status == 400
    assert answer.body.count(b"HTTP/1.1") == 0


@pytest.mark.parametrize(
    "method", ["PUT", "TRACE", "CONNECT", "OPTIONS", "PROPFIND", "get", "A" * 99]
)
def test_other_methods_open_nothing(gateway, method):
    assert gateway.ask("/streams", method=method).status in {400, 401, 404}
    assert gateway.ask("/streams", KEY, method=method).status in {400, 404, 405}


@pytest.mark.parametrize(
    "lines",
    [
        ["X-%d: y" % at for at in range(200)],  # noqa: UP031 - more than WebSockets may have
        ["X: " + "y" * 9_000],
        ["Content-Length: 5"],
        ["Transfer-Encoding: chunked"],
        ["Sec-WebSocket-Version: 99"],
        ["Sec-WebSocket-Key: short"],
        ["X: \xe9\xff"],
    ],
    ids=["many", "long", "body", "chunked", "version", "key", "latin"],
)
def test_a_bad_handshake_leaves_nothing_behind(gateway, lines):
    before = connections(gateway.port, gateway.process.pid)
    upgrade = ["Upgrade: websocket", "Connection: Upgrade", *lines]
    if not any(line.startswith("Sec-WebSocket-Key") for line in lines):
        upgrade.append("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
    if not any(line.startswith("Sec-WebSocket-Version") for line in lines):
        upgrade.append("Sec-WebSocket-Version: 13")
    said = "\r\n".join(["GET /?key=wrong HTTP/1.1", "Host: a", *upgrade, "", ""]).encode("latin-1")
    for _ in range(5):
        assert gateway.raw(said, within_s=8).status in {400, 401, 426}
    post = said.replace(b"GET", b"POST", 1)
    assert gateway.raw(post, within_s=8).status in {400, 405}
    end_s = time.monotonic() + 10
    while connections(gateway.port, gateway.process.pid) > before:
        assert time.monotonic() < end_s
        time.sleep(0.05)


# -- time


@pytest.fixture
async def hurried(kafka_bootstrap, topic_prefix, monkeypatch):
    """The port of a gateway in this process that waits a fifth, and a tenth, of its time."""
    monkeypatch.setattr(half_open, "REQUEST_WITHIN_S", 1.0)
    monkeypatch.setattr(half_open, "TAKES_WITHIN_S", 1.0)
    async with World(kafka_bootstrap, topic_prefix) as world:
        admin = {"gateway_admin_key_hash": hash_text(ADMIN)}
        world.settings = world.settings.model_copy(update=admin)
        async with world.gateway() as client:
            port = client.base_url.port
            yield port
            async with httpx.AsyncClient(base_url=client.base_url) as late:
                assert (await late.get("/health/ready")).status_code == 200


def connections(port: int, pid: int | None = None) -> int:
    """Return how many a process, by default this one, serves at a port."""
    its = psutil.Process(pid).net_connections()
    return sum(at.laddr.port == port and at.status != psutil.CONN_LISTEN for at in its)


def opened(port: int, said: bytes, rcvbuf: int = 0) -> socket.socket:
    sock = socket.socket()
    if rcvbuf:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
    sock.connect(("127.0.0.1", port))
    sock.sendall(said)
    return sock


async def drip(sock: socket.socket, byte: bytes, within_s: float) -> float:
    """Say a byte now and then; return after how long the other side had enough."""
    loop, started_s = asyncio.get_running_loop(), time.monotonic()
    sock.setblocking(False)
    while time.monotonic() - started_s < within_s:
        try:
            await loop.sock_sendall(sock, byte)
            async with asyncio.timeout(0.25):
                if not await loop.sock_recv(sock, 1 << 16):
                    break
        except TimeoutError:
            continue
        except OSError:
            break
    return time.monotonic() - started_s


async def test_a_head_and_a_body_that_come_by_bytes_are_cut_off(hurried):
    head = opened(hurried, b"GET /health/live HTTP/1.1\r\nX: ")
    nothing = opened(hurried, b"")
    body = f"POST /streams HTTP/1.1\r\nHost: a\r\n{KEY}\r\nContent-Length: 60000\r\n\r\n".encode()
    chunked = body.replace(b"Content-Length: 60000", b"Transfer-Encoding: chunked")
    socks = [(head, b"y"), (nothing, b"\r"), (opened(hurried, body), b"{")]
    socks.append((opened(hurried, chunked), b"1\r\n{\r\n"))
    ended = await asyncio.gather(*(drip(sock, byte, 15) for sock, byte in socks))
    for sock, _ in socks:
        sock.close()
    assert max(ended) < 10, ended


def test_a_body_longer_than_allowed_is_refused_before_it_has_come(gateway):
    said = f"POST /streams HTTP/1.1\r\nHost: a\r\n{KEY}\r\nContent-Length: 1000000000\r\n\r\n"
    assert gateway.raw(said.encode() + b"x" * 100_000, within_s=8).status == 413


@pytest.mark.soak
async def test_two_thousand_answers_that_nobody_reads_are_not_kept(gateway):
    """Each asks for the chart's library again and again, and takes nothing of it."""
    said = b"GET /static/lightweight-charts.js HTTP/1.1\r\nHost: a\r\n\r\n" * 60
    before, socks = gateway.rss_bytes, []
    for _ in range(2_000):
        socks.append(opened(gateway.port, said, rcvbuf=4_096))
        if len(socks) % 100 == 0:
            await asyncio.sleep(0)
            gateway.assert_serves()
    await asyncio.sleep(25)
    assert gateway.sockets < 100
    assert gateway.rss_bytes - before < 400 << 20
    for sock in socks:
        sock.close()


async def test_an_answer_that_nobody_reads_is_cut_off(hurried):
    before = connections(hurried)
    said = b"GET /static/lightweight-charts.js HTTP/1.1\r\nHost: a\r\n\r\n" * 60
    socks = [opened(hurried, said, rcvbuf=4_096) for _ in range(5)]
    async with asyncio.timeout(10):
        while connections(hurried) < before + 5:  # noqa: ASYNC110 - the kernel has no event
            await asyncio.sleep(0.01)
        while connections(hurried) > before:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    for sock in socks:
        sock.close()
