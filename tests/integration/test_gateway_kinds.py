"""Kinds beside candles on a real broker, a real gateway and real clients of its WebSocket."""

import asyncio
import json
from contextlib import asynccontextmanager
from decimal import Decimal

import msgspec
import pytest
from websockets.asyncio.client import connect

from runtime.errors import Misconfigured
from runtime.kafka import TopicSpec, ensure_topics
from runtime.ports import free_port
from runtime.servers.kafka import EmbeddedKafka
from schemas.klines import Gap, GapEnvelope, Price, PriceEnvelope
from schemas.snapshots import (
    BookSnapshot,
    BookSnapshotEnvelope,
    Tick,
    TickEnvelope,
    TickerSnapshot,
    TickerSnapshotEnvelope,
)
from schemas.stats import MarketStats, MarketStatsEnvelope
from schemas.streams import StreamKey
from schemas.topics import symbol_key
from schemas.trades import SymbolTrades, TradeBatch, encode_batch
from sinks.gateway import metrics
from sinks.gateway.kinds import feed, past
from sinks.gateway.kinds.rows import TOPICS
from sinks.gateway.outbox import Outbox
from tests.support.gateways import raw_client, read_to_end
from tests.support.streaming import World
from tests.support.told import fits, heard

pytestmark = pytest.mark.integration

PARTITIONS = 3
WITHIN_S = 30.0
TEN = Decimal("10.50")
encode = msgspec.json.Encoder(decimal_format="number").encode


def price(symbol: str, rev: int) -> bytes:
    return encode(PriceEnvelope("binance", "linear", [Price(symbol, TEN, 5, rev)], rev))


def ticker(symbol: str, rev: int) -> bytes:
    row = TickerSnapshot(symbol=symbol, ts=5, is_snapshot=True, last_price=TEN, rev=rev)
    return encode(TickerSnapshotEnvelope("binance", "linear", [row], rev))


def book(symbol: str, rev: int) -> bytes:
    sides = [(TEN, TEN)], [(TEN, TEN)]
    row = BookSnapshot(symbol, 5, 7, rev, *sides, TEN, TEN, TEN, TEN, TEN, TEN, None)
    return encode(BookSnapshotEnvelope("binance", "linear", [row], rev))


def tick(symbol: str, rev: int) -> bytes:
    return encode(TickEnvelope("binance", "linear", [Tick(symbol, TEN, TEN, 1, 5, 7, rev)], rev))


def stats(symbol: str, rev: int) -> bytes:
    numbers = dict.fromkeys(MarketStats.__struct_fields__, TEN)
    counts = dict.fromkeys(
        ("from_ms", "to_ms", "trade_count", "minutes", "candles", "gap_minutes"), 3
    )
    row = MarketStats(**{**numbers, **counts, "symbol": symbol, "quality": "proven", "rev": rev})
    return encode(MarketStatsEnvelope("binance", "linear", [row], rev))


STATES = {"prices": price, "tickers": ticker, "books": book, "ticks": tick, "stats": stats}


def trades(symbol: str, *ids: int) -> bytes:
    n = len(ids)
    group = SymbolTrades(symbol, 2, 3, list(ids), [5] * n, [2814510] * n, [100] * n, -1)
    return encode_batch(TradeBatch("binance", "linear", "live", 7_000_000, [group]))


def gap(symbol: str, first: int) -> bytes:
    row = Gap(symbol, first, first + 1, 5, 6, 2, "found", 9)
    return encode(GapEnvelope("binance", "linear", [row]))


class Exchange(World):
    """A World with the topics of all kinds."""

    async def __aenter__(self):
        self.settings = self.settings.model_copy(
            update={
                "kafka_partitions": PARTITIONS,
                "kline_intervals": ("1m",),
                "process_agents": ("klines", "tickers", "books", "stats", "ticks"),
            }
        )
        await super().__aenter__()
        specs = [
            TopicSpec(name=self.name(topic), partitions=PARTITIONS, config=topic.settings())
            for topic in TOPICS.values()
        ]
        await ensure_topics(self.settings.kafka_bootstrap, specs)
        return self

    async def say(self, kind: str, symbol: str, value: bytes) -> None:
        await self.put(TOPICS[kind], symbol_key("binance", "linear", symbol), value)


class Client:
    """A program on the other end of a WebSocket; what it hears fits the document."""

    def __init__(self, socket) -> None:
        self.socket = socket

    async def ask(self, kind: str, symbol: str = "BTCUSDT", action="subscribe", **more) -> dict:
        item = {"symbol": symbol, "data_type": kind, **more}
        await self.socket.send(json.dumps(heard({"action": action, "subscriptions": [item]})))
        return (await self.hear())["subscriptions"][0]

    async def hear(self) -> dict:
        async with asyncio.timeout(WITHIN_S):
            return fits(json.loads(await self.socket.recv()))

    async def rows(self, count: int) -> list[dict]:
        found = []
        while len(found) < count:
            found += (await self.hear())["data"]
        return found

    async def hears_nothing(self) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                pytest.fail(str(await self.socket.recv()))


def port_of(http) -> int:
    return http.base_url.port


@asynccontextmanager
async def client_of(http):
    async with connect(f"ws://127.0.0.1:{port_of(http)}/ws/stream?stats=false") as socket:
        yield Client(socket)


@pytest.fixture
async def world(kafka_bootstrap, topic_prefix):
    async with Exchange(kafka_bootstrap, topic_prefix) as world:
        yield world


def read(kind: str) -> float:
    return metrics.KINDS_READ.labels(kind)._value.get()


async def until(is_so) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not is_so():  # noqa: ASYNC110 - it is no event
            await asyncio.sleep(0.02)


async def test_every_state_is_told_as_known_and_then_as_it_changes(world):
    for kind, make in STATES.items():
        for rev in (3, 4):
            await world.say(kind, "BTCUSDT", make("BTCUSDT", rev))
        await world.say(kind, "ETHUSDT", make("ETHUSDT", 1))
    async with world.gateway() as http, client_of(http) as client, client_of(http) as every:
        for kind, make in STATES.items():
            answer = await client.ask(kind)
            assert (answer["symbol"], answer["data_type"]) == ("BTCUSDT", kind)
            snapshot = await client.hear()
            assert (snapshot["snapshot"], snapshot["data_type"], snapshot["recv_ms"]) == (
                True, kind, 4,
            )  # fmt: skip
            (row,) = snapshot["data"]
            assert (row["symbol"], row["rev"]) == ("BTCUSDT", 4)
            await every.ask(kind, "*", exchange="*", channel="*")
            assert {row["symbol"] for row in (await every.hear())["data"]} == {"BTCUSDT", "ETHUSDT"}
            await world.say(kind, "ETHUSDT", make("ETHUSDT", 2))
            await world.say(kind, "BTCUSDT", make("BTCUSDT", 5))
            update = await client.hear()
            assert ("snapshot" in update, update["data_type"]) == (False, kind)
            assert [(row["symbol"], row["rev"]) for row in update["data"]] == [("BTCUSDT", 5)]
            assert {row["symbol"] for row in await every.rows(2)} == {"BTCUSDT", "ETHUSDT"}
            await client.ask(kind, action="unsubscribe")
            await world.say(kind, "BTCUSDT", make("BTCUSDT", 6))
            assert (await every.rows(1))[0]["rev"] == 6
        await client.hears_nothing()


async def test_numbers_of_states_reach_the_client_digit_for_digit(world):
    exact = Price("BTCUSDT", Decimal("0.10000000000000000010"), 5, 1)
    value = encode(PriceEnvelope("binance", "linear", [exact], 1))
    await world.say("prices", "BTCUSDT", value)
    async with world.gateway() as http, client_of(http) as client:
        await client.ask("prices")
        text = await client.socket.recv()
        assert '"price":0.10000000000000000010,' in text
        assert "28145" not in text


async def test_trades_come_in_order_and_once_after_the_last_ones(world):
    for first in range(0, 300, 50):
        await world.say("trades", "BTCUSDT", trades("BTCUSDT", *range(first, first + 50)))
    async with world.gateway() as http, client_of(http) as client:
        await client.ask("trades")
        tape = (await client.hear())["data"]
        assert [row["id"] for row in tape] == [str(n) for n in range(200, 300)]
        assert tape[0] == {
            "symbol": "BTCUSDT", "id": "200", "price": "28145.10", "qty": "0.100", "side": -1,
            "ts": 5,
        }  # fmt: skip
        for first in range(300, 900, 30):
            ids = range(first - 5, first + 30)  # five repeats
            await world.say("trades", "BTCUSDT", trades("BTCUSDT", *ids))
            await world.say("trades", "ETHUSDT", trades("ETHUSDT", first))
        found = await client.rows(600)
        assert [row["id"] for row in found] == [str(n) for n in range(300, 900)]
        await client.hears_nothing()


async def test_gaps_are_told_as_they_are(world):
    await world.say("gaps", "BTCUSDT", gap("BTCUSDT", 1))
    async with world.gateway() as http, client_of(http) as client:
        assert "hint" not in await client.ask("gaps")
        assert (await client.hear())["data"] == json.loads(gap("BTCUSDT", 1))["data"]
        await world.say("gaps", "ETHUSDT", gap("ETHUSDT", 3))
        await world.say("gaps", "BTCUSDT", gap("BTCUSDT", 5))
        assert (await client.hear())["data"] == json.loads(gap("BTCUSDT", 5))["data"]


async def test_the_answer_says_what_does_not_run(world):
    await world.tell(StreamKey("binance", "linear", "BTCUSDT", "trades", "ws"), "live")
    world.settings = world.settings.model_copy(update={"process_agents": ("klines",)})
    async with world.gateway() as http, client_of(http) as client:
        assert "hint" not in await client.ask("trades")
        await client.hear()
        assert "the agent 'ticks'" in (await client.ask("ticks"))["hint"]
        await client.hear()
        hint = (await client.ask("trades", "BTCUSD"))["hint"]
        assert hint.startswith("no stream of trades runs for binance linear BTCUSD")
        assert "BTCUSDT" in hint
        assert (await client.hear())["data"] == []
        await client.socket.send(
            '{"action":"subscribe","subscriptions":[{"symbol":"X","data_type":1}]}'
        )
        assert "subscriptions[0].data_type" in (await client.hear())["error"]


async def test_a_topic_is_read_only_while_somebody_wants_it(world, monkeypatch):
    monkeypatch.setattr(feed, "LINGER_S", 0.5)
    await world.say("prices", "BTCUSDT", price("BTCUSDT", 1))
    async with world.gateway() as http:
        assert [kind for kind in TOPICS if read(kind)] == []
        async with client_of(http) as client:
            await client.ask("prices")
            await client.hear()
            assert [kind for kind in TOPICS if read(kind)] == ["prices"]
        async with client_of(http) as client:  # it came back at once
            await client.ask("prices")
            assert (await client.hear())["data"][0]["rev"] == 1
            await client.ask("prices", action="unsubscribe")
            await until(lambda: not read("prices"))
            await world.say("prices", "BTCUSDT", price("BTCUSDT", 2))
            await client.hears_nothing()
            await client.ask("prices")
            assert (await client.hear())["data"][0]["rev"] == 2
            assert [kind for kind in TOPICS if read(kind)] == ["prices"]


async def test_states_of_quiet_symbols_are_found_behind_many_newer_records(world, monkeypatch):
    monkeypatch.setitem(feed.PAST_RECORDS_PER_PARTITION, "prices", 5)
    monkeypatch.setattr(past, "STRETCH_RECORDS", 10)
    quiet = [f"Q{n}USDT" for n in range(6)]
    for rev in (1, 2):
        for symbol in quiet:
            await world.say("prices", symbol, price(symbol, rev))
    for rev in range(100):
        await asyncio.gather(*(world.say("prices", s, price(s, rev)) for s in ("A", "B", "C", "D")))
    async with world.gateway() as http, client_of(http) as client:
        await client.ask("prices", "*")
        found = {}
        while len(found) < 10:
            for row in (await client.hear())["data"]:
                assert row["symbol"] not in found or row["rev"] > found[row["symbol"]]
                found[row["symbol"]] = row["rev"]
        assert found == dict.fromkeys(quiet, 2) | dict.fromkeys("ABCD", 99)
        await client.hears_nothing()


async def test_a_kind_that_is_misconfigured_waits_and_the_gateway_serves_the_others(
    world, monkeypatch
):
    """As where the broker has no room for a topic that is not there yet."""
    partitions, tried = feed.KindFeed._partitions, []

    async def refused(self, kind):
        if kind == "trades" and not tried:
            tried.append(kind)
            raise Misconfigured("TOPIC", "the broker takes no more partitions", remedy="Allow it.")
        return await partitions(self, kind)

    monkeypatch.setattr(feed.KindFeed, "_partitions", refused)
    monkeypatch.setattr(feed, "MISCONFIGURED_PAUSE_S", 0.5)
    for kind, value in (("prices", price("BTCUSDT", 1)), ("trades", trades("BTCUSDT", 1))):
        await world.say(kind, "BTCUSDT", value)
    async with world.gateway() as http, client_of(http) as client:
        await client.ask("trades")
        await until(lambda: tried)
        await client.socket.send(
            '{"action":"subscribe","subscriptions":[{"symbol":"BTCUSDT","data_type":"prices"}]}'
        )
        heard = [await client.hear() for _ in range(3)]
        rows = {m["data_type"]: m["data"] for m in heard if "data" in m}
        assert (rows["prices"][0]["rev"], rows["trades"][0]["id"]) == (1, "1")


async def test_a_slow_reader_of_trades_is_closed_and_others_do_not_notice(world, monkeypatch):
    monkeypatch.setattr(Outbox.__init__, "__defaults__", (200_000,))
    async with world.gateway() as http, client_of(http) as quick:
        await quick.ask("trades")
        await quick.hear()
        wanted = {"symbol": "BTCUSDT", "data_type": "trades"}
        slow = await raw_client(port_of(http), wanted, "/ws/stream")
        tail, step, count = None, 2_500, 75_000
        for first in range(1, count, step):
            ids = range(first, first + step)
            await world.say("trades", "BTCUSDT", trades("BTCUSDT", *ids))
            assert [row["id"] for row in await quick.rows(step)] == [str(n) for n in ids]
            is_alone = (await http.get("/health/ready")).json()["clients"] == 1
            if is_alone and tail is None:
                tail = asyncio.create_task(asyncio.to_thread(read_to_end, slow))
        told = await tail
        assert b"too slow" in told
        assert (1_013).to_bytes(2, "big") in told
        assert await quick.ask("trades", action="unsubscribe")


@pytest.mark.timeout(300)  # it starts two brokers
@pytest.mark.soak
async def test_kinds_go_on_when_the_broker_comes_back(topic_prefix, tmp_path):
    port = free_port()
    kafka = EmbeddedKafka(tmp_path, port=port, heap_mb=256)
    again = EmbeddedKafka(tmp_path, port=port, heap_mb=256)
    try:
        async with Exchange(await kafka.start(), topic_prefix) as world:
            await world.say("prices", "BTCUSDT", price("BTCUSDT", 1))
            async with world.gateway() as http, client_of(http) as client:
                await client.ask("prices")
                assert (await client.hear())["data"][0]["rev"] == 1
                await kafka.stop()
                assert await client.ask("trades")  # answered though Kafka is away
                await again.start()
                await world.say("trades", "BTCUSDT", trades("BTCUSDT", 1))
                await world.say("prices", "BTCUSDT", price("BTCUSDT", 2))
                told = {}
                while told.keys() != {"prices", "trades"}:
                    message = await client.hear()
                    if message["data"]:
                        told[message["data_type"]] = message["data"][0]
                assert (told["prices"]["rev"], told["trades"]["id"]) == (2, "1")
    finally:
        await kafka.stop()
        await again.stop()
