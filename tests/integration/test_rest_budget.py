"""The shared REST budget on a real Redis: two processes spend what one may, never more."""

import asyncio
import json
import sys
import time
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from redis import Redis as BlockingRedis
from redis.asyncio import Redis

from ingest import budget as budgets
from ingest import rest
from ingest.allowance import LEARN, SLICES, SPEND, Allowance, Spent
from ingest.budget import Budget, venue_budget
from ingest.endpoints import Endpoint
from ingest.exchanges.base import Request, RestBudget
from ingest.exchanges.binance import LINEAR
from runtime.errors import Misconfigured
from runtime.ports import free_port
from runtime.servers.redis import EmbeddedRedis
from runtime.settings import Settings

pytestmark = pytest.mark.integration

START_MS = 1_680_652_800_000
ALLOWANCE = Allowance.of(1_000, 60.0)
FAST = RestBudget(weight_max=25, window_s=1.0, used_header="x-used")  # 20 with the margin
JUDGED_S = 0.7  # of a window of 1 s: a busy machine may be late to note a time


@pytest.fixture
def settings(redis_url, topic_prefix) -> Settings:
    url = urlsplit(redis_url)
    return Settings(
        _env_file=None,
        redis_host=url.hostname,
        redis_port=url.port,
        redis_main_key=topic_prefix,
    )


@asynccontextmanager
async def budget(settings: Settings, allowed: RestBudget = FAST):
    async with Redis(host=settings.redis_host, port=settings.redis_port) as client:
        yield Budget("binance", settings.redis_main_key + "budget", allowed, client)


async def spend_for(budget: Budget, seconds: float, weight: int) -> list[float]:
    times = []
    until = time.time() + seconds
    while time.time() < until:
        await budget.spend(weight)
        times.append(time.time())
    return times


def most_in_a_window(times: list[float], window_s: float) -> int:
    return max(sum(begin <= t < begin + window_s for t in times) for begin in times)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("spend"), st.integers(0, 20_000), st.integers(0, 1_200)),
        st.tuples(st.just("learn"), st.integers(0, 20_000), st.integers(0, 1_500)),
        st.tuples(st.just("close"), st.integers(0, 20_000), st.integers(1, 50_000)),
    ),
    max_size=40,
)


@given(STEPS)
@hypothesis_settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_the_script_counts_exactly_as_the_arithmetic_that_is_proven(redis_url, steps) -> None:
    own, now_ms, key = Spent(ALLOWANCE), START_MS, "differential"
    with BlockingRedis.from_url(redis_url) as client:
        client.delete(key)
        spend, learn = client.register_script(SPEND), client.register_script(LEARN)
        for what, pause_ms, number in steps:
            now_ms += pause_ms
            clock = [now_ms, ALLOWANCE.slice_ms, SLICES]
            if what == "spend":
                wait_ms = own.wait_ms(now_ms, number)
                weight = ALLOWANCE.fitted(number)
                assert spend([key], [*clock, ALLOWANCE.weight_max, weight]) == wait_ms
                if not wait_ms:
                    own.spend(now_ms, number)
            else:
                used, until_ms = (number, 0) if what == "learn" else (0, now_ms + number)
                own.learn(now_ms, used, until_ms)
                learn([key], [*clock, used, until_ms])
            assert client.hlen(key) <= SLICES + 3


async def test_two_clients_together_never_exceed_the_limit_of_one(settings) -> None:
    async with budget(settings) as one, budget(settings) as two:
        times = await asyncio.gather(spend_for(one, 3.0, 2), spend_for(two, 3.0, 2))
    assert all(times), "both got their turn"
    together = sorted(times[0] + times[1])
    assert most_in_a_window(together, JUDGED_S) <= 10
    assert len(together) >= 20, "and what is allowed is used"


SPENDER = """
import asyncio, json, sys, time
from redis.asyncio import Redis
from ingest.budget import Budget
from ingest.exchanges.base import RestBudget

async def main(host, port, key):
    async with Redis(host=host, port=int(port)) as client:
        allowed = RestBudget(weight_max=25, window_s=1.0)
        budget = Budget("binance", key, allowed, client)
        times = []
        until = time.time() + 3
        while time.time() < until:
            await budget.spend(2)
            times.append(time.time())
        print(json.dumps(times))

asyncio.run(main(*sys.argv[1:]))
"""


async def test_two_processes_share_one_budget(settings) -> None:
    place = settings.redis_host, str(settings.redis_port), settings.redis_main_key + "p"
    children = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", SPENDER, *place,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )
        for _ in range(2)
    ]  # fmt: skip
    outputs = await asyncio.gather(*(child.communicate() for child in children))
    times = sorted(t for out, _ in outputs for t in json.loads(out.splitlines()[-1]))
    assert len(times) >= 20
    assert most_in_a_window(times, JUDGED_S) <= 10


async def test_keys_stand_under_the_main_key_and_do_not_stay(settings, redis_url) -> None:
    endpoint = Endpoint("https://api.example.com/x", "S")
    async with venue_budget(settings, "binance", LINEAR, endpoint) as one:
        await one.spend(1)
    async with Redis.from_url(redis_url, decode_responses=True) as client:
        keys = [key async for key in client.scan_iter(match=settings.redis_main_key + "*")]
        assert keys == [f"{settings.redis_main_key}:rest-budget:binance:api.example.com:https/x"]
        assert 0 < await client.pttl(keys[0]) <= 120_000


async def test_a_refusal_that_one_hears_stops_the_other(settings) -> None:
    async with budget(settings) as one, budget(settings) as two:
        await one.learn({"Retry-After": "1"}, 429)
        began_s = time.monotonic()
        await two.spend(1)
        assert time.monotonic() - began_s >= 0.9


async def test_what_the_venue_counts_is_spent_for_everybody(settings) -> None:
    minute = RestBudget(weight_max=1_000, window_s=60.0, used_header="x-used")
    async with budget(settings, minute) as one, budget(settings, minute) as two:
        await one.learn({"x-used": "799"}, 200)
        await two.spend(1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await two.spend(2)


@pytest.mark.parametrize("told", ["", "-5", "1e3", "NaN", "9" * 30, "٣"])
async def test_a_header_that_is_no_number_is_not_believed(settings, told) -> None:
    async with budget(settings) as one, asyncio.timeout(1):
        await one.learn({"x-used": told}, 200)
        await one.spend(20)


async def test_without_redis_the_process_counts_alone_and_starts_at_once() -> None:
    nobody = Settings(_env_file=None, redis_host="127.0.0.1", redis_port=free_port())
    for settings in (nobody, Settings(_env_file=None, redis_host="")):
        endpoint = Endpoint("http://127.0.0.1:1", "S")
        async with venue_budget(settings, "binance", LINEAR, endpoint) as alone:
            async with asyncio.timeout(2):
                await alone.spend(1_919)
                await alone.spend(1)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await alone.spend(1)


async def test_redis_may_go_and_come_back_without_a_burst(monkeypatch) -> None:
    monkeypatch.setattr(budgets, "REDIS_RETRY_S", 0.2)
    port = free_port()
    server = EmbeddedRedis(None, port=port)
    await server.start()
    async with Redis(host="127.0.0.1", port=port) as client:
        one = Budget("binance", "k", FAST, client)
        times = await spend_for(one, 0.5, 5)
        await server.stop()
        times += await spend_for(one, 1.5, 5)
        assert one._is_shared is False
        again = EmbeddedRedis(None, port=port)
        await again.start()
        try:
            times += await spend_for(one, 1.5, 5)
            assert one._is_shared is True
        finally:
            await again.stop()
    assert most_in_a_window(times, JUDGED_S) <= 4


class Venue:
    """Answers what the script says, and remembers what was asked."""

    def __init__(self, *answers: web.Response) -> None:
        self._answers = list(answers)
        self.asked: list[tuple[str, str, bytes, float]] = []
        self.was_asked = asyncio.Event()

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append((request.method, request.path, await request.read(), time.monotonic()))
        self.was_asked.set()
        return self._answers.pop(0) if self._answers else web.Response(body=b"whole")

    @asynccontextmanager
    async def running(self):
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self.answer)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            port = runner.addresses[0][1]
            yield Endpoint(f"http://127.0.0.1:{port}", "STREAMER_EXCHANGE_SPOT_REST_URL")
        finally:
            await runner.cleanup()


async def test_a_request_with_a_body_is_posted_as_json() -> None:
    venue = Venue()
    async with venue.running() as endpoint, rest.open_client() as client:
        request = Request(path="/info", weight=2, body=b'{"type":"meta"}')
        assert await rest.get(endpoint, request, client=client) == b"whole"
        assert await rest.get(endpoint, Request(path="/time", weight=1), client=client) == b"whole"
    asked = [each[:3] for each in venue.asked]
    assert asked == [("POST", "/info", b'{"type":"meta"}'), ("GET", "/time", b"")]


async def test_a_request_spends_its_weight_and_learns_from_the_answer(settings) -> None:
    minute = RestBudget(weight_max=1_000, window_s=60.0, used_header="x-used")
    venue = Venue(web.Response(body=b"1", headers={"X-Used": "790"}))
    async with venue.running() as endpoint, budget(settings, minute) as one:
        await rest.get(endpoint, Request(path="/x", weight=5), one)
        assert one._own.wait_ms(time.time_ns() // 1_000_000, 10) == 0
        assert one._own.wait_ms(time.time_ns() // 1_000_000, 11) > 0


async def test_after_a_ban_nobody_asks_before_its_end(settings) -> None:
    banned = Venue(web.Response(status=418, headers={"Retry-After": "1"}))
    async with banned.running() as endpoint, budget(settings) as one, budget(settings) as two:
        asking = asyncio.create_task(rest.get(endpoint, Request(path="/one", weight=1), one))
        await banned.was_asked.wait()
        await asyncio.sleep(0.1)
        await rest.get(endpoint, Request(path="/two", weight=1), two)
        await asking
    first_s, *later_s = [each[3] for each in banned.asked]
    assert len(later_s) == 2
    assert min(later_s) - first_s >= 0.95


async def test_a_venue_that_refuses_the_place_is_told_with_a_remedy() -> None:
    async with Venue(web.Response(status=451)).running() as endpoint:
        with pytest.raises(Misconfigured, match="refuses to serve the place") as caught:
            await rest.get(endpoint, Request(path="/x", weight=1))
    assert "region" in caught.value.remedy
    assert caught.value.setting == "STREAMER_EXCHANGE_SPOT_REST_URL"
