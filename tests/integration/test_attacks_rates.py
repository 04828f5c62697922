"""One limit for all gateways, by address and by key, also while Redis comes and goes."""

import asyncio
import time

import httpx
import pytest

from runtime.ports import free_port
from runtime.servers.redis import EmbeddedRedis
from sinks.gateway.security import rates
from sinks.gateway.security.keys import generate, hash_text
from tests.support.streaming import World

pytestmark = pytest.mark.integration

_, ADMIN = generate()
BURST = 2  # of a rate of one a second


@pytest.fixture
async def world(kafka_bootstrap, topic_prefix):
    async with World(kafka_bootstrap, topic_prefix) as world:
        limits = {"gateway_requests_per_ip_s": 100_000, "gateway_requests_per_key_s": 100_000}
        admin = {"gateway_admin_key_hash": hash_text(ADMIN), "redis_main_key": topic_prefix}
        world.settings = world.settings.model_copy(update={**limits, **admin})
        yield world


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """A machine that is busy is no Redis that is away."""
    monkeypatch.setattr(rates, "REDIS_ANSWERS_WITHIN_S", 10.0)
    monkeypatch.setattr(rates, "REDIS_RETRY_S", 0.2)


def limited(world, redis_url: str, **limits) -> None:
    at = httpx.URL(redis_url)
    shared = {"redis_host": at.host, "redis_port": at.port, **limits}
    world.settings = world.settings.model_copy(update=shared)


async def let_through(*gateways: httpx.AsyncClient) -> tuple[int, float]:
    """Ask all at once again and again; return how many calls were let in, and in which time."""
    started_s, answers = time.monotonic(), []
    for _ in range(4):
        calls = [each.get("/api/v1/whoami") for each in gateways for _ in range(4)]
        answers += await asyncio.gather(*calls)
        await asyncio.sleep(0.1)
    for answer in answers:
        assert answer.status_code in {200, 429}
        if answer.status_code == 429:
            assert int(answer.headers["retry-after"]) >= 1
            assert "requests a second" in answer.json()["detail"]["reason"]
    return sum(a.status_code == 200 for a in answers), time.monotonic() - started_s


@pytest.mark.parametrize("what", ["ip", "key"])
async def test_two_gateways_have_one_limit_of_an_address_and_of_a_key(world, redis_url, what):
    limited(world, redis_url, **{f"gateway_requests_per_{what}_s": 1})
    async with world.gateway() as one, world.gateway() as two:
        for each in (one, two):
            each.headers["X-API-Key"] = ADMIN
        await asyncio.sleep(1.1)  # being ready may have taken all that there was
        passed, took_s = await let_through(one, two)
    # Each alone would let through 2 * (BURST + took_s).
    assert 1 <= passed <= BURST + took_s + 1


async def test_without_redis_each_gateway_counts_alone_and_together_again_when_it_is_back(
    world,
):
    port = free_port()
    redis = EmbeddedRedis(None, port=port)
    address = await redis.start()
    limited(world, f"redis://{address}/0", gateway_requests_per_key_s=1)
    async with world.gateway() as one, world.gateway() as two:
        for each in (one, two):
            each.headers["X-API-Key"] = ADMIN
        passed, took_s = await let_through(one, two)
        assert passed <= BURST + took_s + 1
        await redis.stop()
        await asyncio.sleep(1.5)  # a bucket of each has one again
        passed, took_s = await let_through(one, two)
        assert BURST <= passed <= 2 * (BURST + took_s + 1)
        redis = EmbeddedRedis(None, port=port)
        await redis.start()
        await asyncio.sleep(0.5)
        await let_through(one, two)  # connections of before are noticed to be dead
        await asyncio.sleep(0.5)
        passed, took_s = await let_through(one, two)
        assert passed <= BURST + took_s + 1
    await redis.stop()
