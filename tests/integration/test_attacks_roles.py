"""Every endpoint as every role, at a real gateway; and whatever needed rights is in the audit."""

import re
import time
from collections import Counter

import httpx
import pytest
from attacked import ADMIN, Attacked
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from sinks.gateway.security.roles import ENDPOINTS, ROLES, WEBSOCKET, Role

pytestmark = pytest.mark.integration

ROWS = [(path, method, role) for path, its in ENDPOINTS.items() for method, role in its.items()]
CALLERS = ("nobody", *ROLES)


@pytest.fixture(scope="module")
def gateway(kafka_bootstrap, tmp_path_factory):
    prefix, folder = f"attack{time.time_ns()}.", tmp_path_factory.mktemp("roles")
    jwt = {"gateway_jwt_keys": "k1:" + "s" * 32}
    with Attacked(kafka_bootstrap, prefix, folder, **jwt) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def keys(gateway) -> dict[str, str | None]:
    """A key of each role, made as an operator would make it."""
    made: dict[str, str | None] = {"nobody": None, "admin": ADMIN}
    for role in ("viewer", "operator"):
        wanted = {"name": role, "role": role}
        shown = {"X-API-Key": ADMIN}
        made[role] = httpx.post(f"{gateway.url}/api/v1/keys", json=wanted, headers=shown).json()[
            "key"
        ]
    return made


def real(path: str) -> str:
    return re.sub(r"\{[^}]+\}", "x", path)


def rank(caller: str) -> Role:
    return ROLES.get(caller, Role.NOBODY)


@pytest.mark.parametrize("caller", CALLERS)
async def test_every_endpoint_lets_in_whom_it_shall_and_nobody_else(gateway, keys, caller):
    wrong = []
    async with gateway.client(keys[caller]) as client:
        for path, method, needed in ROWS:
            if method == WEBSOCKET:
                got = await handshake(gateway, real(path), keys[caller])
            else:
                body = {} if method in {"POST", "PATCH"} else None
                got = (await client.request(method, real(path), json=body)).status_code
            refused = 403 if keys[caller] else 401
            if (got in {401, 403}) != (rank(caller) < needed) or (got in {401, 403} - {refused}):
                wrong.append((method, path, needed.name, got))
    # A refresh token is the credential itself: without one the body is refused, and not the caller.
    assert wrong == []


async def handshake(gateway: Attacked, path: str, key: str | None) -> int:
    shown = {"X-API-Key": key} if key else {"X-API-Key": "fib_none"}
    try:
        async with connect(f"ws://127.0.0.1:{gateway.port}{path}", additional_headers=shown):
            return 101
    except InvalidStatus as e:
        return e.response.status_code


async def test_tokens_of_a_role_open_what_its_key_opens_and_no_more(gateway, keys):
    for role in ROLES:
        async with gateway.client(keys[role]) as client:
            pair = (await client.post("/api/v1/tokens")).json()
        bearer = {"Authorization": f"Bearer {pair['access_token']}"}
        async with gateway.client(**bearer) as client:
            for path, method, needed in ROWS:
                if method == WEBSOCKET or path == "/api/v1/tokens":
                    continue
                got = (await client.request(method, real(path), json={})).status_code
                assert (got == 403) == (ROLES[role] < needed), (role, method, path, got)
            assert (await client.post("/api/v1/tokens")).status_code == 403


async def test_what_somebody_changes_is_in_the_audit_once_and_what_nobody_may_is_a_line(
    kafka_bootstrap, tmp_path
):
    with Attacked(kafka_bootstrap, f"attack{time.time_ns()}.", tmp_path) as gateway:
        asked: Counter[tuple] = Counter()
        for key in (None, ADMIN, "fib_wrong"):
            async with gateway.client(key) as client:
                for path, method, needed in ROWS:
                    if needed < Role.OPERATOR or method == WEBSOCKET:
                        continue
                    at = real(path)
                    got = (await client.request(method, at, json={})).status_code
                    if key == ADMIN:
                        asked["bootstrap", method, at, got] += 1
                    else:
                        assert got == 401
        odd = "/api/v1/keys/%1b[2J%0aFORGED%0d%00" + "y" * 400
        assert gateway.ask(odd, f"X-API-Key: {ADMIN}", method="DELETE").status in {404, 422}
        entries = await gateway.audited(at_least=sum(asked.values()) + 1)
    told = Counter((e.name, e.method, e.path, e.status) for e in entries)
    ((*_, path, _),) = (told - asked).keys()
    assert asked <= told
    assert len(entries) == asked.total() + 1
    assert path.isprintable()
    assert path.startswith("/api/v1/keys/%1B%5B2J%0AFORGED%0D%00")
    assert len(path) < 1_000
    assert {e.ip for e in entries} == {"127.0.0.1"}
    log = gateway.log.read_text()
    assert log.count('"event":"call_audited"') == len(entries)
    assert log.count('"event":"call_denied"') > 0
    assert "\x1b" not in log
