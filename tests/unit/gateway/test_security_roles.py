"""Endpoint x role, taken from the application's own routes; nothing here connects to anything."""

import asyncio
import re
from collections.abc import Iterator

import httpx
import pytest
from starlette.routing import Mount

from runtime.settings import Settings
from schemas.keys import encode_key
from sinks.gateway.app import Gateway
from sinks.gateway.security.admission import Visit
from sinks.gateway.security.denied import Denied
from sinks.gateway.security.keys import make_key
from sinks.gateway.security.roles import ENDPOINTS, ROLES, WEBSOCKET, Endpoints, Role
from sinks.gateway.web import build_web

NOW_MS = 1_700_000_000_000
OPEN = {"/", "/static/{path}", "/static/lightweight-charts.js", "/health/live", "/health/ready"}
KEYS = {role: make_key(role, role, NOW_MS) for role in ROLES}


class House:
    """A gateway's application with a key of each role, not connected to anything."""

    def __init__(self, **fields) -> None:
        fields = {"gateway_requests_per_ip_s": 100_000, **fields}
        self.settings = Settings(_env_file=None, kafka_bootstrap="127.0.0.1:1", **fields)
        gateway = Gateway(self.settings)
        self.security = gateway._security
        for _, key in KEYS.values():
            self.security._table.take(key.id.encode(), encode_key(key))
        self.web = build_web(
            gateway._hub,
            asyncio.Event(),
            lambda: False,
            "/",
            gateway._routes(),
            "binance",
            self.security.middleware(),
        )

    def client(self, ip="192.0.2.7", **headers) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(self.web, raise_app_exceptions=False, client=(ip, 1))
        return httpx.AsyncClient(transport=transport, base_url="http://gateway", headers=headers)


def routes(routed) -> Iterator[tuple[str, str]]:
    """Yield (method, path) of everything that the application answers."""
    for route in routed:
        if hasattr(route, "effective_candidates"):
            yield from routes(route.effective_candidates())
            continue
        own = getattr(route, "starlette_route", None) or route
        if isinstance(own, Mount):
            yield "GET", own.path + "/{path}"
        elif methods := getattr(own, "methods", None):
            yield from ((method, own.path) for method in methods - {"HEAD"})
        else:
            yield WEBSOCKET, own.path


async def built() -> House:
    return House()  # its clients of Kafka want a loop to be made in


HOUSE = asyncio.run(built())
ROUTES = sorted(set(routes(HOUSE.web.routes)))
TABLE = Endpoints("/")


def plain(path: str) -> str:
    return re.sub(r":\w+}", "}", path)


def real(path: str) -> str:
    return re.sub(r"\{[^}]+\}", "x", path)


def test_every_route_has_a_role_and_every_role_a_route():
    table = {(method, plain(path)) for path, methods in ENDPOINTS.items() for method in methods}
    assert {(method, plain(path)) for method, path in ROUTES} == table
    assert len(ROUTES) > 30


def test_a_route_without_a_role_would_be_noticed_and_is_closed():
    assert TABLE.needed("GET", "/streams") is Role.VIEWER
    assert TABLE.needed("PUT", "/streams") is None
    assert TABLE.needed("GET", "/brand-new") is None


def test_only_the_page_and_health_are_open_and_changes_need_more_than_reading():
    for method, path in ROUTES:
        needed = TABLE.needed(method, real(path))
        if needed is Role.NOBODY:
            assert plain(path) in OPEN or path == "/api/v1/tokens/refresh"
        if method not in {"GET", WEBSOCKET} and not path.startswith("/api/v1/tokens"):
            assert needed >= Role.OPERATOR, (method, path)
        if path.startswith("/api/v1/keys"):
            assert needed is Role.ADMIN


def test_several_patterns_of_one_path_need_the_highest_of_their_roles():
    for path in ("/streams/x/y/keys/z", "/streams/x/y/z/knobs", "/streams/a/b/c/d/knobs"):
        assert TABLE.needed("DELETE", path) in {Role.OPERATOR, None}
    assert TABLE.needed("DELETE", "/streams/x/y/trades/ws/knobs") is Role.OPERATOR
    assert TABLE.needed("HEAD", "/streams") is Role.VIEWER


@pytest.mark.parametrize("role", [None, *ROLES])
async def test_every_endpoint_refuses_every_role_below_its_own(role):
    headers = {"X-API-Key": KEYS[role][0]} if role else {}
    mine = ROLES[role] if role else Role.NOBODY
    async with HOUSE.client(**headers) as client:
        for method, path in ROUTES:
            if method == WEBSOCKET or mine >= TABLE.needed(method, real(path)):
                continue
            answer = await client.request(method, real(path), json={"exchange": "binance"})
            assert answer.status_code == (403 if role else 401), (method, path)
            assert answer.json()["detail"]["reason"]
            assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("role", ROLES)
async def test_every_endpoint_admits_every_role_from_its_own_on(role):
    (guard,) = HOUSE.security.middleware()
    admission = guard.kwargs["admission"]
    for method, path in ROUTES:
        headers = [(b"x-api-key", KEYS[role][0].encode())]
        scope = {"client": ("192.0.2.9", 1), "headers": headers, "query_string": b""}
        visit = Visit(method, real(path))
        needed = TABLE.needed(method, real(path))
        if ROLES[role] >= needed:
            await admission.admit({**scope, "type": "http"}, visit)
            assert visit.caller is None or visit.caller.role is ROLES[role]
        else:
            with pytest.raises(Denied):
                await admission.admit({**scope, "type": "http"}, visit)


@pytest.mark.parametrize(
    "path",
    [
        "/static/../streams", "/static/%2e%2e/streams", "/static/..%2f..%2fetc%2fpasswd",
        "//streams",
        "/streams/", "/STREAMS", "/./streams", "/health/live/../../streams", "/static/../../app.py",
        "/%73treams", "/streams%00", "/streams;x=1", "/api/v1/keys/", "/api//v1/keys", "/static",
        "/health/live/", "/static/%2e%2e/%2e%2e/app.py", "/static/..\\app.py", "/streams%20",
    ],
)  # fmt: skip
async def test_path_tricks_open_nothing(path):
    async with HOUSE.client() as client:
        url = httpx.URL("http://gateway").copy_with(raw_path=path.encode())
        answer = await client.send(client.build_request("GET", url))
    assert answer.status_code in {401, 404}, answer.text
    assert b"FastAPI" not in answer.content
    assert b"streams" not in answer.content


@pytest.mark.parametrize("method", ["OPTIONS", "PUT", "TRACE", "CONNECT", "get", "X"])
async def test_other_methods_open_nothing(method):
    async with HOUSE.client() as client:
        assert (await client.request(method, "/streams")).status_code in {401, 404}


async def test_a_key_in_the_address_of_a_call_is_not_read():
    async with HOUSE.client() as client:
        answer = await client.get("/streams", params={"key": KEYS["admin"][0]})
    assert answer.status_code == 401


async def test_spoofed_headers_neither_enter_a_network_nor_get_a_fresh_bucket():
    inside = {"gateway_allowed_networks": ("10.0.0.0/8",)}
    spoof = {"X-Forwarded-For": "10.1.2.3", "X-Real-IP": "10.1.2.3", "Forwarded": "for=10.1.2.3"}
    async with House(**inside).client(**spoof) as client:
        assert (await client.get("/health/live")).status_code == 403
    trusting = House(**inside, gateway_trusted_proxies=("192.0.2.7/32",))
    async with trusting.client(**spoof) as client:
        assert (await client.get("/health/live")).status_code == 200
    async with trusting.client("192.0.2.8", **spoof) as client:
        assert (await client.get("/health/live")).status_code == 403
    async with House(gateway_requests_per_ip_s=1).client() as client:
        statuses = [
            await client.get("/health/live", headers={"X-Forwarded-For": f"10.0.0.{at}"})
            for at in range(4)
        ]
    assert [answer.status_code for answer in statuses] == [200, 200, 429, 429]
    assert int(statuses[-1].headers["retry-after"]) >= 1


async def test_wrong_keys_use_up_the_rate_of_their_address():
    async with House(gateway_requests_per_ip_s=10).client(**{"X-API-Key": "wrong"}) as client:
        found = [(await client.get("/streams")).status_code for _ in range(4)]
    assert found == [401, 429, 429, 429]


async def test_one_key_has_one_rate_from_all_addresses():
    house = House(gateway_requests_per_key_s=1)
    found = []
    for at in range(4):
        async with house.client(f"192.0.2.{at}", **{"X-API-Key": KEYS["viewer"][0]}) as client:
            found.append((await client.get("/api/v1/whoami")).status_code)
    assert found == [200, 200, 429, 429]


async def test_bodies_are_bounded_in_bytes_and_depth():
    async with HOUSE.client(**{"X-API-Key": KEYS["admin"][0]}) as client:
        json = {"content-type": "application/json"}
        for body, status in ((b'"' + b"x" * (1 << 20) + b'"', 413), (b"[" * 60_000, 422)):
            answer = await client.post("/streams", content=body, headers=json)
            assert answer.status_code in {status, 400}, answer.text

        async def endless():
            for _ in range(100):
                yield b"x" * 1_024

        answer = await client.post("/streams", content=endless(), headers=json)
        assert answer.status_code == 413


async def test_only_named_origins_may_read_from_a_browser():
    house = House(gateway_cors_origins=("https://charts.example",))
    ask = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "X-API-Key"}
    async with house.client() as client:
        good = await client.options("/streams", headers={"Origin": "https://charts.example", **ask})
        bad = await client.options("/streams", headers={"Origin": "https://evil.example", **ask})
    assert good.headers["access-control-allow-origin"] == "https://charts.example"
    assert "access-control-allow-origin" not in bad.headers
    assert "access-control-allow-credentials" not in good.headers


class Open(House):
    """A gateway without keys."""

    def __init__(self) -> None:
        super().__init__()
        self.security._table.keys.clear()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "127.0.0.1:9500"}, 200),
        ({"Host": "localhost"}, 200),
        ({"Host": "evil.example"}, 403),  # a name that was made to point here
        ({"Host": "127.0.0.1:9500", "X-Forwarded-For": "127.0.0.1"}, 403),  # through a proxy
    ],
)
async def test_without_keys_only_calls_straight_from_this_machine_are_obeyed(headers, status):
    async with Open().client("127.0.0.1", **headers) as client:
        assert (await client.get("/api/v1/whoami")).status_code == status


async def test_without_keys_pages_of_other_sites_change_nothing():
    async with Open().client("127.0.0.1", Host="127.0.0.1:9500") as client:
        for origin, status in (("http://evil.example", 403), ("null", 403)):
            answer = await client.post("/streams", json={}, headers={"Origin": origin})
            assert answer.status_code == status
        own = {"Origin": "http://127.0.0.1:9500"}
        assert (await client.post("/streams", json={}, headers=own)).status_code == 422
