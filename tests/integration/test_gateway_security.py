"""The gateway with keys on a real broker: let in, refused, ended, and told of in the audit."""

import asyncio
import json
import shutil
import socket
import ssl
from asyncio.subprocess import DEVNULL
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import httpx
import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from pydantic import SecretStr
from typer.testing import CliRunner, Result
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.protocol import State

from fibstream import keys
from runtime.errors import Misconfigured
from runtime.ports import free_port
from runtime.settings import Settings
from schemas.keys import AuditEntry
from schemas.topics import AUDIT
from sinks.gateway import app
from sinks.gateway.security import guard, half_open
from sinks.gateway.security.keys import generate, hash_text
from tests.support.streaming import World, ready

pytestmark = pytest.mark.integration

_, ADMIN = generate()
SUBSCRIBE = {"action": "subscribe", "subscriptions": [{"symbol": "BTCUSDT", "timeframes": ["1m"]}]}


class Guarded(World):
    """A broker, and gateways on it that ask for keys."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        super().__init__(bootstrap, prefix)
        self.settings = self.settings.model_copy(
            update={
                "gateway_admin_key_hash": hash_text(ADMIN),
                "gateway_jwt_keys": SecretStr("k1:" + "s" * 32),
                "wss_auth_user": "admin",
                "wss_auth_key": SecretStr("your_secret_key"),
                "gateway_requests_per_ip_s": 1_000,
            }
        )

    async def audited(self) -> list[AuditEntry]:
        consumer = AIOKafkaConsumer(bootstrap_servers=self.settings.kafka_bootstrap)
        await consumer.start()
        try:
            tp = TopicPartition(self.name(AUDIT), 0)
            consumer.assign([tp])
            await consumer.seek_to_beginning(tp)
            end = (await consumer.end_offsets([tp]))[tp]
            found = []
            while await consumer.position(tp) < end:
                batch = await consumer.getmany(timeout_ms=500)
                found += [msgspec.json.decode(m.value, type=AuditEntry) for m in batch.get(tp, [])]
            return found
        finally:
            await consumer.stop()


@pytest.fixture
async def world(kafka_bootstrap, topic_prefix):
    async with Guarded(kafka_bootstrap, topic_prefix) as world:
        yield world


def shows(key: str) -> dict:
    return {"headers": {"X-API-Key": key}}


async def make(client: httpx.AsyncClient, **wanted) -> dict:
    answer = await client.post("/api/v1/keys", json=wanted, **shows(ADMIN))
    assert answer.status_code == 201, answer.text
    return answer.json()


def address(client: httpx.AsyncClient, query: str = "?stats=false") -> str:
    return f"ws://127.0.0.1:{client.base_url.port}/{query}"


async def answer_to(websocket, message: dict) -> dict:
    await websocket.send(json.dumps(message))
    async with asyncio.timeout(5):
        return json.loads(await websocket.recv())


async def opens(client: httpx.AsyncClient, key: dict) -> bool:
    return (await client.get("/streams", **key)).status_code == 200


async def eventually(check: Callable[[], Awaitable[bool]], within_s: float = 5.0) -> None:
    async with asyncio.timeout(within_s):
        while True:
            if await check():
                return
            await asyncio.sleep(0.05)


async def closing(websocket: ClientConnection) -> tuple[int, str]:
    async with asyncio.timeout(5):
        with suppress(ConnectionClosedError):
            async for _ in websocket:
                pass
    return websocket.close_code, websocket.close_reason


@asynccontextmanager
async def refused(url: str, status: int, **options):
    with pytest.raises(InvalidStatus) as told:
        async with connect(url, **options):
            pass
    assert told.value.response.status_code == status
    yield told.value.response


async def test_a_key_is_made_used_known_to_every_gateway_revoked_and_audited(world) -> None:
    async with world.gateway() as one, world.gateway() as two:
        assert (await one.get("/health/live")).status_code == 200
        assert (await one.get("/streams")).status_code == 401
        made = await make(one, name="desk", role="operator")
        assert made["key"] not in (await one.get("/api/v1/keys", **shows(ADMIN))).text
        key = shows(made["key"])
        await eventually(lambda: opens(two, key))
        assert (await two.get("/api/v1/keys", **key)).status_code == 403
        pair = (await one.post("/api/v1/tokens", **key)).json()
        bearer = {"headers": {"Authorization": f"Bearer {pair['access_token']}"}}
        assert (await two.get("/api/v1/whoami", **bearer)).json()["role"] == "operator"
        again = await two.post(
            "/api/v1/tokens/refresh", json={"refresh_token": pair["refresh_token"]}
        )
        assert again.status_code == 200
        async with connect(address(two, f"?stats=false&key={made['key']}")) as websocket:
            assert (await answer_to(websocket, SUBSCRIBE))["type"] == "subscribed"
            gone = await one.delete(f"/api/v1/keys/{made['id']}", **shows(ADMIN))
            assert gone.json()["alive"] is False
            assert (await one.get("/streams", **key)).status_code == 401
            assert (await one.get("/streams", **bearer)).status_code == 401
            code, reason = await closing(websocket)
            assert (code, "revoked" in reason) == (1008, True)
    entries = [(e.name, e.method, e.path, e.status) for e in await world.audited()]
    assert ("bootstrap", "POST", "/api/v1/keys", 201) in entries
    assert ("desk", "GET", "/api/v1/keys", 403) in entries
    assert ("bootstrap", "DELETE", f"/api/v1/keys/{made['id']}", 200) in entries


async def test_a_websocket_shows_its_key_in_any_way_or_is_told_why_not(world) -> None:
    async with world.gateway() as client:
        for query in ("?key=your_secret_key&user=admin", f"?api_key={ADMIN}"):
            async with connect(address(client, query + "&stats=false")) as websocket:
                assert (await answer_to(websocket, {"action": "ping"}))["type"] == "pong"
        basic = {"Authorization": "Basic YWRtaW46eW91cl9zZWNyZXRfa2V5"}
        async with connect(address(client), additional_headers=basic) as websocket:
            assert (await answer_to(websocket, {"action": "ping"}))["type"] == "pong"
        async with connect(address(client, "")) as websocket:
            told = await answer_to(
                websocket, {"action": "auth", "user": "admin", "key": "your_secret_key"}
            )
            assert told == {"type": "authenticated", "name": "admin", "role": "viewer"}
            await websocket.send(json.dumps(SUBSCRIBE))
            async with asyncio.timeout(5):
                while json.loads(await websocket.recv())["type"] != "subscribed":
                    pass
        for query in ("?key=wrong&user=admin", "?key=your_secret_key&user=root", "?token=a.b.c"):
            async with refused(address(client, query), 401):
                pass
        for first in ("{}", "[" * 5_000, '{"action":"auth","key":"wrong"}', json.dumps(SUBSCRIBE)):
            async with connect(address(client, "")) as websocket:
                await websocket.send(first)
                assert (await closing(websocket))[0] == 1008


async def test_messages_too_long_too_deep_and_too_many_subscriptions_hurt_nobody(world) -> None:
    async with world.gateway() as client:
        url = address(client, f"?key={ADMIN}&stats=false")
        async with connect(url) as good, connect(url, max_size=None) as bad:
            for text in (
                "[" * 60_000,
                '{"a":' * 10_000,
                '{"action":"subscribe","x":"' + "y" * 65_536,
            ):
                await bad.send(text)
                assert json.loads(await bad.recv())["type"] == "error"
            for at in range(12):
                wanted = [
                    {"symbol": f"S{at}X{n}", "timeframes": ["1m", "173m"]} for n in range(100)
                ]
                told = await answer_to(bad, {"action": "subscribe", "subscriptions": wanted})
            while told["type"] != "error":
                told = json.loads(await bad.recv())
            assert (await answer_to(good, {"action": "ping"}))["type"] == "pong"
        async with connect(url) as bad:
            await bad.send("x" * (1 << 20))
            assert (await closing(bad))[0] == 1009


async def test_connections_are_counted_by_address_and_by_key_and_given_back(world) -> None:
    limits = {"gateway_connections_per_ip_max": 3, "gateway_connections_per_key_max": 2}
    world.settings = world.settings.model_copy(update=limits)
    async with world.gateway() as client:
        url = address(client, f"?key={ADMIN}")
        other = address(client, "?key=your_secret_key&user=admin")
        async with connect(url), connect(url):
            async with refused(url, 429) as answer:
                assert answer.headers["Retry-After"] == "5"
            async with connect(other), refused(other, 429):
                pass
        async with connect(url), connect(other):
            pass


async def test_the_first_key_is_an_admins_and_ends_the_open_door(kafka_bootstrap, topic_prefix):
    world = World(kafka_bootstrap, topic_prefix)
    async with world, world.gateway() as client, connect(address(client)) as page:
        viewer = await client.post("/api/v1/keys", json={"name": "x"})
        assert viewer.status_code == 409
        made = await client.post("/api/v1/keys", json={"name": "x", "role": "admin"})
        assert made.status_code == 201
        assert (await client.get("/streams")).status_code == 401
        last = await client.delete(f"/api/v1/keys/{made.json()['id']}", **shows(made.json()["key"]))
        assert last.status_code == 409
        assert (await closing(page))[0] == 1008


async def test_without_keys_it_does_not_listen_to_the_network(kafka_bootstrap, topic_prefix):
    settings = Settings(
        _env_file=None,
        kafka_bootstrap=kafka_bootstrap,
        kafka_topic_prefix=topic_prefix,
        websocket_host="0.0.0.0",  # noqa: S104 - that is what is refused
        websocket_port=free_port(),
    )
    with pytest.raises(Misconfigured, match="fibstream keys generate"):
        await app.run(settings, asyncio.Event())


def last_line(result: Result) -> str:
    return result.stdout.splitlines()[-1]  # before it stands what the gateway of this test logs


async def test_commands_make_list_and_revoke_keys_with_the_key_of_the_settings(
    world, monkeypatch, tmp_path
) -> None:
    monkeypatch.chdir(tmp_path)  # no .env of the developer

    async def command(*words: str):
        invoked = await asyncio.to_thread(CliRunner().invoke, keys.app, list(words))
        assert isinstance(invoked.exception, SystemExit | None), invoked.exception
        return invoked

    made = dict(line.split("=") for line in (await command("generate")).stdout.splitlines())
    text, hashed = made.values()
    assert hash_text(text) == hashed
    async with world.gateway() as client:
        monkeypatch.setenv("STREAMER_WEBSOCKET_PORT", str(client.base_url.port))
        refusal = await command("list")
        assert refusal.exit_code == 1
        assert "a key is needed" in refusal.stderr
        monkeypatch.setenv("STREAMER_GATEWAY_KEY", ADMIN)
        key = last_line(await command("create", "desk", "--days", "90"))
        assert await opens(client, shows(key))
        key_id, role, state, name, expires = last_line(await command("list")).split()
        assert (role, state, name) == ("viewer", "alive", "desk")
        assert expires.startswith("expires=")
        assert " dead desk revoked=" in last_line(await command("revoke", key_id))
        assert not await opens(client, shows(key))


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
async def test_with_a_certificate_it_speaks_https_and_wss_only(world, tmp_path) -> None:
    cert, private = tmp_path / "cert.pem", tmp_path / "key.pem"
    words = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(private), "-out", str(cert)]
    made = await asyncio.create_subprocess_exec(*words.split(), *subject, *files, stderr=DEVNULL)
    assert await made.wait() == 0
    trusted = ssl.create_default_context(cafile=cert)
    port, stop = free_port(), asyncio.Event()
    tls = {"gateway_tls_cert": cert, "gateway_tls_key": private, "websocket_port": port}
    running = asyncio.create_task(app.run(world.settings.model_copy(update=tls), stop))
    base = f"https://127.0.0.1:{port}"
    async with httpx.AsyncClient(base_url=base, verify=trusted, timeout=15) as client:
        await ready(client, running)
        answer = await client.get("/health/live")
        assert answer.headers["strict-transport-security"].startswith("max-age=")
        url = f"wss://127.0.0.1:{port}/?stats=false&key={ADMIN}"
        async with connect(url, ssl=trusted) as websocket:
            assert (await answer_to(websocket, {"action": "ping"}))["type"] == "pong"
        with pytest.raises(httpx.TransportError):
            await client.get(f"http://127.0.0.1:{port}/health/live")
    stop.set()
    async with asyncio.timeout(20):
        await running


async def test_silent_websockets_push_out_themselves_and_not_who_signs_in(world, monkeypatch):
    """More than may wait, from five addresses: each of them stays below its own limits."""
    monkeypatch.setattr(guard, "UNNAMED_MAX", 20)
    monkeypatch.setattr(guard, "SIGN_IN_WITHIN_S", 60.0)
    async with world.gateway() as client, AsyncExitStack() as silent:
        url, said = address(client, ""), {"action": "auth", "key": ADMIN}
        flood = [
            await silent.enter_async_context(connect(url, local_addr=(f"127.0.0.{2 + at % 5}", 0)))
            for at in range(30)
        ]
        async with connect(url) as honest:
            assert (await answer_to(honest, said))["type"] == "authenticated"
            for oldest in flood[:10]:
                assert (await closing(oldest))[0] == 1008
            assert all(each.state is State.OPEN for each in flood[11:])
            await honest.send('{"action":"ping"}')
            async with asyncio.timeout(5):
                while json.loads(await honest.recv())["type"] != "pong":
                    pass


class Slow:
    """Connections that say a little, or nothing, and stay."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._open: list[socket.socket] = []
        self._sockets: list[socket.socket] = []

    def open(self, number: int, said: bytes = b"") -> None:
        for _ in range(number):
            sock = socket.create_connection(("127.0.0.1", self._port))
            sock.setblocking(False)
            if said:
                sock.send(said)
            self._sockets.append(sock)
            self._open.append(sock)

    async def are_ended(self) -> bool:
        self._open = [sock for sock in self._open if not _is_ended(sock)]
        return not self._open

    def close(self) -> None:
        for sock in self._sockets:
            sock.close()


def _is_ended(sock: socket.socket) -> bool:
    try:
        return sock.recv(1 << 16) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


async def half_opened(world, monkeypatch, number: int, kept: int, within_s: float) -> None:
    monkeypatch.setattr(half_open, "HALF_OPEN_MAX", kept)
    monkeypatch.setattr(half_open, "REQUEST_WITHIN_S", within_s)
    async with world.gateway() as client:
        url = address(client, f"?key={ADMIN}&stats=false")
        slow = Slow(client.base_url.port)
        async with connect(url) as good:
            for said in (
                b"",
                b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nX-A: ",
                b"POST /streams HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n{",
            ):
                slow.open(number // 3, said)
                # One that is kept and used just when its time is over would be cut off in between.
                async with httpx.AsyncClient(base_url=client.base_url, timeout=15) as honest:
                    assert (await honest.get("/health/live")).status_code == 200
                assert (await answer_to(good, {"action": "ping"}))["type"] == "pong"
                async with connect(url) as late:
                    assert (await answer_to(late, {"action": "ping"}))["type"] == "pong"
            await eventually(slow.are_ended, within_s + 30)
            assert (await answer_to(good, {"action": "ping"}))["type"] == "pong"
        slow.close()


async def test_half_open_connections_push_out_themselves_and_end(world, monkeypatch) -> None:
    await half_opened(world, monkeypatch, 90, kept=30, within_s=1.0)


@pytest.mark.soak
async def test_two_thousand_half_open_handshakes_hurt_nobody(world, monkeypatch) -> None:
    await half_opened(
        world, monkeypatch, 2_001, half_open.HALF_OPEN_MAX, half_open.REQUEST_WITHIN_S
    )
