"""Intervals that clients ask for, on a real broker: made, kept, taken back; two gateways."""

import asyncio
import json
from contextlib import asynccontextmanager, suppress
from decimal import Decimal

import msgspec
import pytest
from aiokafka import AIOKafkaProducer
from websockets.asyncio.client import connect

from processors.intervals import Intervals
from schemas.intervals import parse_interval, parse_intervals
from schemas.klines import Kline, KlineEnvelope
from schemas.topics import CONTROL, INSTRUMENTS, KLINES, KLINES_LIVE, symbol_key
from sinks.gateway import demand
from tests.support.streaming import World, instrument
from tests.support.told import fits
from tests.support.workers import Feed, Market, Workers, worker_settings

pytestmark = pytest.mark.integration

WITHIN_S = 30.0
TEN = Decimal("10.50")
MARKET = ("binance", "linear")
KEY = symbol_key(*MARKET, "BTCUSDT")
encode = msgspec.json.Encoder(decimal_format="number").encode


@pytest.fixture
async def world(kafka_bootstrap, topic_prefix):
    async with World(kafka_bootstrap, topic_prefix) as world:
        world.settings = world.settings.model_copy(update={"kline_intervals": ("1m",)})
        yield world


class Client:
    """A program on the other end of a WebSocket."""

    def __init__(self, socket) -> None:
        self.socket = socket

    async def candles(self, timeframe: str, count: int = 5, symbol: str = "BTCUSDT") -> dict:
        frame = {"timeframe": timeframe, "initial_candles": count}
        item = {"symbol": symbol, "timeframes": [frame]}
        await self.socket.send(json.dumps({"action": "subscribe", "subscriptions": [item]}))
        answer = await self.hear()
        return answer["subscriptions"][0] if "subscriptions" in answer else answer

    async def hear(self) -> dict:
        async with asyncio.timeout(WITHIN_S):
            return fits(json.loads(await self.socket.recv()))

    async def hears_nothing(self) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                pytest.fail(str(await self.socket.recv()))


@asynccontextmanager
async def client_of(http):
    url = f"ws://127.0.0.1:{http.base_url.port}/ws/stream?stats=false"
    async with connect(url) as socket:
        yield Client(socket)


def candle(interval: str, minute: int, rev: int, *, closed: bool) -> bytes:
    row = Kline(
        "BTCUSDT", parse_interval(interval).length_ms, minute * 60_000, *[TEN] * 8,
        2, 1, 2, closed, rev, "live", "proven", 0,
    )  # fmt: skip
    return encode(KlineEnvelope("binance", "linear", [row], 1))


@asynccontextmanager
async def worker(world: World):
    """Yield the intervals that a worker makes, as they change."""
    settings = parse_intervals(world.settings.kline_intervals)
    its = Intervals(world.settings.kafka_bootstrap, world.name(CONTROL), settings)
    async with its:
        await its.ready()
        yield its


async def shows(http, wanted: list[tuple[str, str]]) -> None:
    """Return when a gateway has read what it lists, also as removed; a moment after it was told."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            listed = (await http.get("/api/v1/intervals?removed=true")).json()["intervals"]
            if [(each["interval"], each["source"]) for each in listed] == wanted:
                return
            await asyncio.sleep(0.05)


async def prolonged(its: Intervals) -> None:
    """Return when the end of what is on demand was put off."""

    def ends_ms() -> list[int]:
        return [control.until_ms for control in its._table.demanded.values()]

    known = ends_ms()
    async with asyncio.timeout(WITHIN_S):
        while ends_ms() <= known:  # noqa: ASYNC110 - it is no event
            await asyncio.sleep(0.02)


async def next_made(changes) -> list[str]:
    async with asyncio.timeout(WITHIN_S):
        return [interval.text for interval in await anext(changes)]


async def test_an_interval_that_nobody_had_asked_for_is_made_while_it_is_wanted(world, monkeypatch):
    for name, value in (("LEASE_MS", 3_000), ("PROLONG_EVERY_MS", 300), ("SKEW_MS", 2_000)):
        monkeypatch.setattr(demand, name, value)
    monkeypatch.setattr(demand, "LOOK_S", 0.2)
    async with worker(world) as its, world.gateway() as http, world.gateway() as other:
        changes = its.changes()
        async with client_of(http) as client, client_of(other) as second:
            answer = await client.candles("7m")
            assert answer["data_status"]["historical_loading"] is True
            assert await next_made(changes) == ["1m", "7m"]
            for gateway in (http, other):
                await shows(gateway, [("1m", "settings"), ("7m", "demand")])
            await client.hears_nothing()
            await world.put(KLINES_LIVE, KEY, candle("7m", 7, 3, closed=False))
            snapshot = await client.hear()
            assert snapshot["snapshot"] is True
            assert snapshot["data_status"]["historical_loading"] is False
            assert [row["timestamp"] // 60_000 for row in snapshot["data"]] == [7]
            await world.put(KLINES, KEY, candle("7m", 7, 4, closed=True))
            assert (await client.hear())["data"][0]["closed"] is True

            await second.candles("7m", 0)  # on the other gateway, and longer
            await client.socket.close()
            for _ in range(3):
                await prolonged(its)
            assert [interval.text for interval in its.wanted] == ["1m", "7m"]
        assert await next_made(changes) == ["1m"]
        await shows(other, [("1m", "settings")])


async def test_on_demand_has_a_bound_and_an_operator_the_last_word(world):
    world.settings = world.settings.model_copy(update={"gateway_intervals_on_demand_max": 1})
    async with worker(world) as its, world.gateway() as http, client_of(http) as client:
        changes = its.changes()
        await client.candles("7m")
        assert await next_made(changes) == ["1m", "7m"]
        assert "has to wait" in (await client.candles("9m"))["hint"]
        async with asyncio.timeout(10):  # the worker may have read it before the gateway
            while True:
                said = {"interval": "7m"}
                removed = await http.request("DELETE", "/api/v1/intervals", json=said)
                if removed.status_code != 404:
                    break
                await asyncio.sleep(0.05)
        assert removed.status_code == 202
        ended = await client.hear()
        assert (ended["type"], ended["subscriptions"][0]["timeframe"]) == ("unsubscribed", "7m")
        assert await next_made(changes) == ["1m"]
        assert await next_made(changes) == ["1m", "9m"]  # there is room now
        assert "made no more" in (await client.candles("7m"))["error"]


async def test_a_worker_makes_what_a_client_asks_for_and_its_prices_are_told(
    kafka_bootstrap, topic_prefix, tmp_path
):
    settings = worker_settings(kafka_bootstrap, topic_prefix, tmp_path, kline_intervals=("1m",))
    world = World(kafka_bootstrap, topic_prefix)
    world.settings = settings
    async with Workers(settings, tmp_path) as workers, Feed(settings, Market(7)) as feed:
        await workers.start()
        async with (
            AIOKafkaProducer(bootstrap_servers=kafka_bootstrap) as producer,
            world.gateway() as http,
            client_of(http) as client,
        ):
            assert "a name unknown" in (await client.candles("7m", symbol="S1USDT"))["hint"]
            listed = instrument("binance", "linear", "S1USDT", "S1/USDT:USDT")
            key = symbol_key(*MARKET, "S1USDT")
            await producer.send_and_wait(world.name(INSTRUMENTS), encode(listed), key)
            while "S1USDT" not in (await http.get("/instruments?search=S1USDT")).text:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            assert (await client.candles("7m", symbol="S1USDT"))["hint"].startswith("7m candles")
            trading = asyncio.create_task(feed.send(10_000, per_s=100))
            try:
                snapshot = await client.hear()
                assert snapshot["snapshot"] is True
                (row,) = snapshot["data"]
                assert (row["symbol"], row["interval"]) == ("S1USDT", 420_000)
                update = await client.hear()
                while update.get("type") == "data_status":  # the market leaves trades out
                    update = await client.hear()
                assert update["data"][0]["trade_count"] > row["trade_count"]
                item = {"symbol": "S1USDT", "data_type": "prices"}
                said = {"action": "subscribe", "subscriptions": [item]}
                await client.socket.send(json.dumps(said))
                told = []
                while len(told) < 4:
                    message = await client.hear()
                    if message.get("data_type") == "prices" or message.get("type") == "subscribed":
                        told.append(message)
                assert [each.get("snapshot") for each in told] == [None, True, None, None]
                revs = [row["rev"] for each in told[1:] for row in each["data"]]
                assert revs == sorted(set(revs))
            finally:
                trading.cancel()
                with suppress(asyncio.CancelledError):
                    await trading
