"""Tokens and keys as a thief has them, shown to two real gateways: none opens, and one use ends."""

import asyncio
import base64
import hashlib
import hmac
import json
import time

import httpx
import jwt
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from msgspec import structs
from pydantic import SecretStr
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from schemas.keys import decode_family, encode_key
from schemas.topics import KEYS, TOKEN_FAMILIES
from sinks.gateway.security import families as families_of_tokens
from sinks.gateway.security.keys import generate, hash_text, make_key
from tests.support.streaming import World

pytestmark = pytest.mark.integration

_, ADMIN = generate()
OLD, NEW = "o" * 32, "n" * 32
PLACES = ("/api/v1/whoami", "/streams", "/api/v1/keys", "/openapi.json")


@pytest.fixture
async def world(kafka_bootstrap, topic_prefix):
    async with World(kafka_bootstrap, topic_prefix) as world:
        limits = {"gateway_requests_per_ip_s": 100_000, "gateway_requests_per_key_s": 100_000}
        signing = {"gateway_jwt_keys": SecretStr(f"k1:{OLD}")}
        admin = {"gateway_admin_key_hash": hash_text(ADMIN)}
        world.settings = world.settings.model_copy(update={**limits, **signing, **admin})
        yield world


def key(text: str) -> dict:
    return {"headers": {"X-API-Key": text}}


def bearer(text: str) -> dict:
    return {"headers": {"Authorization": f"Bearer {text}"}}


async def bought(client: httpx.AsyncClient, shown: str = ADMIN) -> dict:
    answer = await client.post("/api/v1/tokens", **key(shown))
    assert answer.status_code == 200, answer.text
    return answer.json()


async def refreshed(client: httpx.AsyncClient, pair: dict) -> httpx.Response:
    said = {"refresh_token": pair["refresh_token"]}
    return await client.post("/api/v1/tokens/refresh", json=said)


async def status(client: httpx.AsyncClient, pair: dict) -> int:
    return (await client.get("/api/v1/whoami", **bearer(pair["access_token"]))).status_code


# -- forged


def part(value: object) -> bytes:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")


def signed(head: dict, claims: dict, secret: bytes | None, digest=hashlib.sha256) -> str:
    text = part(head) + b"." + part(claims)
    mark = b"" if secret is None else hmac.new(secret, text, digest).digest()
    return (text + b"." + base64.urlsafe_b64encode(mark).rstrip(b"=")).decode()


def forgeries(good: str) -> list[str]:
    head, claims, mark = good.split(".")
    said = jwt.decode(good, options={"verify_signature": False})
    root = {**said, "role": "admin", "sub": "bootstrap", "exp": int(time.time()) + 10_000}
    hs = {"alg": "HS256", "typ": "JWT", "kid": "k1"}
    games = (
        "none",
        "None",
        "NONE",
        "nOnE",
        "",
        "HS384",
        "HS512",
        "RS256",
        "ES256",
        "PS256",
        "EdDSA",
    )
    kids = ("k2", "", "../../../../dev/null", "/proc/sys/kernel/randomize_va_space", "k1\x00",
            "' UNION SELECT 'o", "0", "K1", "k1,k2", OLD)  # fmt: skip
    own = {"kty": "oct", "k": base64.urlsafe_b64encode(NEW.encode()).decode(), "kid": "k1"}
    nested = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":' + b"[" * 7_000).decode()
    return [
        *(signed({**hs, "alg": alg}, root, None) for alg in games),
        *(signed({**hs, "alg": alg}, root, OLD.encode()) for alg in games),
        signed({**hs, "alg": "HS512"}, root, OLD.encode(), hashlib.sha512),
        *(signed({**hs, "kid": kid}, root, b"") for kid in kids),
        *(signed({**hs, "kid": kid}, root, NEW.encode()) for kid in (*kids, None, 1, ["k1"], {})),
        signed({**hs, "jwk": own}, root, NEW.encode()),
        signed({**hs, "jku": "http://127.0.0.1:9/k", "x5u": "http://127.0.0.1:9/k"}, root, b""),
        signed({**hs, "crit": ["exp"]}, root, OLD.encode()),
        signed({**hs, "alg": ["HS256"]}, root, OLD.encode()),
        signed(hs, root, hash_text(ADMIN).encode()),
        signed(hs, {**root, "iss": "https://evil.example"}, OLD.encode()),
        signed(hs, {**root, "aud": "another"}, OLD.encode()),
        signed(hs, {**root, "exp": int(time.time()) - 3_600}, OLD.encode()),
        signed(hs, {**root, "nbf": int(time.time()) + 3_600}, OLD.encode()),
        signed(hs, {**root, "exp": "never"}, OLD.encode()),
        signed(hs, {**root, "role": "root"}, OLD.encode()),
        signed(hs, {**root, "role": ["admin"]}, OLD.encode()),
        signed(hs, {**root, "use": {"access": "refresh"}.get(said["use"], "access")}, OLD.encode()),
        signed(hs, {**root, "sub": "nobody"}, OLD.encode()),
        signed(hs, [], OLD.encode()),
        f"{head}.{part(root).decode()}.{mark}",  # of another, with its mark
        f"{head}.{claims}.", f"{head}.{claims}", f"{head}.{claims}.{mark[:-8]}", f"..{mark}",
        good[::-1], f"{nested}.{claims}.{mark}", "e30.e30.", "..", "a.b.c", "\xe9.\xe9.\xe9",
    ]  # fmt: skip


async def test_no_forged_token_opens_anything_anywhere(world) -> None:
    async with world.gateway() as client:
        pair = await bought(client)
        assert await status(client, pair) == 200
        for at, text in enumerate(forgeries(pair["access_token"])):
            place = PLACES[at % len(PLACES)]  # one guard stands before all of them
            shown = {"Authorization": f"Bearer {text}".encode("latin-1")}
            answer = await client.get(place, headers=shown)
            assert answer.status_code == 401, (place, text[:200], answer.text)
        port = client.base_url.port
        for text in forgeries(pair["access_token"])[::4]:
            with pytest.raises(InvalidStatus) as told:
                async with connect(f"ws://127.0.0.1:{port}/?token={text.replace(chr(0xE9), 'e')}"):
                    pass
            assert told.value.response.status_code in {400, 401}
        for text in (*forgeries(pair["refresh_token"]), pair["access_token"], "", "x" * 5_000):
            answer = await client.post("/api/v1/tokens/refresh", json={"refresh_token": text})
            assert answer.status_code in {401, 422}, answer.text


async def test_wrong_expired_and_revoked_keys_open_nothing_and_neither_do_their_tokens(world):
    now_ms = time.time_ns() // 1_000_000
    dead, past = make_key("dead", "admin", now_ms, now_ms - 1)
    async with world.gateway() as client:
        await world.put(KEYS, past.id.encode(), encode_key(past))
        wrong = (ADMIN[:-1], ADMIN + "x", ADMIN.upper(), ADMIN[:20], hash_text(ADMIN),
                 "fib_", dead, dead[:17] + ADMIN[17:])  # fmt: skip
        for text in wrong:
            assert (await client.get("/streams", **key(text))).status_code == 401
            assert (await client.get("/streams", **bearer(text))).status_code == 401
        dying, soon = make_key("dying", "admin", now_ms)
        await world.put(KEYS, soon.id.encode(), encode_key(soon))
        async with asyncio.timeout(5):
            while (await client.get("/streams", **key(dying))).status_code != 200:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        pair = await bought(client, dying)
        async with connect(f"ws://127.0.0.1:{client.base_url.port}/?key={dying}") as websocket:
            soon = structs.replace(soon, expires_ms=time.time_ns() // 1_000_000 + 1_000)
            await world.put(KEYS, soon.id.encode(), encode_key(soon))
            await asyncio.wait_for(websocket.wait_closed(), 20)  # with the key
            assert websocket.close_code == 1008
        assert (await client.get("/streams", **key(dying))).status_code == 401
        assert await status(client, pair) == 401
        assert (await refreshed(client, pair)).status_code == 401


# -- refresh tokens are good once


async def families(world) -> dict:
    consumer = AIOKafkaConsumer(bootstrap_servers=world.settings.kafka_bootstrap)
    await consumer.start()
    try:
        tp = TopicPartition(world.name(TOKEN_FAMILIES), 0)
        consumer.assign([tp])
        await consumer.seek_to_beginning(tp)
        end, found = (await consumer.end_offsets([tp]))[tp], {}
        while await consumer.position(tp) < end:
            for message in (await consumer.getmany(timeout_ms=300)).get(tp, []):
                found[message.key] = decode_family(message.value)
        return found
    finally:
        await consumer.stop()


async def test_a_refresh_token_used_twice_ends_all_that_came_of_it_at_every_gateway(world) -> None:
    async with world.gateway() as one, world.gateway() as two:
        first, other = await bought(one), await bought(one)
        second = (await refreshed(one, first)).json()
        third = (await refreshed(two, second)).json()
        assert await status(one, third) == await status(two, third) == 200
        port = two.base_url.port
        async with connect(f"ws://127.0.0.1:{port}/?token={third['access_token']}") as websocket:
            stolen = await refreshed(two, first)  # gateway two never saw it used
            assert (stolen.status_code, "used before" in stolen.text) == (401, True)
            await asyncio.wait_for(websocket.wait_closed(), 10)
            assert websocket.close_code == 1008
        async with asyncio.timeout(5):
            while await status(one, third) == 200:  # noqa: ASYNC110 - another gateway tells it
                await asyncio.sleep(0.05)
        for pair in (first, second, third):
            assert await status(one, pair) == await status(two, pair) == 401
            assert (await refreshed(one, pair)).status_code == 401
        assert await status(one, other) == 200  # of another family
        assert (await refreshed(two, other)).status_code == 200
    (ended,) = [each for each in (await families(world)).values() if each.ended]
    assert "refresh" not in str(ended)
    async with world.gateway() as later:  # a restart remembers
        assert (await refreshed(later, third)).status_code == 401
        assert await status(later, third) == 401


async def test_of_many_uses_at_once_at_two_gateways_at_most_one_gets_tokens(world) -> None:
    async with world.gateway() as one, world.gateway() as two:
        for _ in range(3):
            pair = await bought(one)
            answers = await asyncio.gather(*(refreshed(each, pair) for each in (one, two) * 5))
            good = [answer for answer in answers if answer.status_code == 200]
            assert len(good) <= 1
            assert {answer.status_code for answer in answers} <= {200, 401}
            for answer in good:  # and its tokens end: somebody else had the first one, too
                async with asyncio.timeout(5):
                    while await status(two, answer.json()) == 200:  # noqa: ASYNC110
                        await asyncio.sleep(0.05)
    async with world.gateway() as later:
        assert (await refreshed(later, pair)).status_code == 401


async def test_sign_ins_without_end_push_out_the_one_idle_the_longest(world, monkeypatch) -> None:
    monkeypatch.setattr(families_of_tokens, "FAMILIES_PER_KEY_MAX", 2)
    async with world.gateway() as one:
        pairs = []
        for _ in range(3):
            answer = await refreshed(one, await bought(one))
            assert answer.status_code == 200, answer.text
            pairs.append(answer.json())
        assert [await status(one, pair) for pair in pairs] == [401, 200, 200]
        assert [(await refreshed(one, pair)).status_code for pair in pairs] == [401, 200, 200]


async def test_rotation_of_signing_keys_keeps_tokens_until_the_old_one_is_taken_out(world) -> None:
    async with world.gateway() as one:
        old = await bought(one)
        keys = {"gateway_jwt_keys": SecretStr(f"k2:{NEW},k1:{OLD}")}
        world.settings = world.settings.model_copy(update=keys)
        async with world.gateway() as two:
            assert await status(two, old) == 200
            fresh = (await refreshed(two, old)).json()
            assert jwt.get_unverified_header(fresh["access_token"])["kid"] == "k2"
            assert await status(one, fresh) == 401  # it does not know the new one yet
    keys = {"gateway_jwt_keys": SecretStr(f"k2:{NEW}")}
    world.settings = world.settings.model_copy(update=keys)
    async with world.gateway() as three:
        assert await status(three, old) == 401
        assert await status(three, fresh) == 200
        assert (await refreshed(three, old)).status_code == 401
        assert (await refreshed(three, fresh)).status_code == 200
