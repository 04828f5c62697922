"""The ingestor against a simulated Binance and a real broker: what was sent arrives, once."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal

import pytest
from aiokafka import AIOKafkaConsumer
from prometheus_client import REGISTRY

from ingest.app import run
from runtime.errors import Misconfigured
from runtime.kafka import TopicSpec, ensure_topics, partition_for
from runtime.settings import Settings, load_settings
from schemas.dead_letters import DeadLetter, decode_dead_letter
from schemas.topics import CATALOGUE, DEAD_LETTERS, TRADES, symbol_key
from schemas.trades import TradeBatch, decode_batch, rows
from simulator import control
from simulator.faults import Fault
from simulator.options import SimulatorOptions
from simulator.server import Simulator

pytestmark = pytest.mark.integration

PARTITIONS = 6


def settings_for(sim: Simulator, bootstrap: str, prefix: str, **more: object) -> Settings:
    return load_settings(
        **{
            "kafka_bootstrap": bootstrap,
            "kafka_topic_prefix": prefix,
            "exchange_load_all_symbols": True,
            "enable_linear_stream": True,
            "enable_spot_stream": True,
            "exchange_spot_rest_url": sim.url("spot", "rest"),
            "exchange_spot_ws_url": sim.url("spot"),
            "exchange_linear_rest_url": sim.url("linear", "rest"),
            "exchange_linear_ws_url": sim.url("linear"),
        }
        | more
    )


async def topics(bootstrap: str, prefix: str) -> None:
    await ensure_topics(
        bootstrap,
        [
            TopicSpec(name=prefix + topic.name, partitions=topic.partitions or PARTITIONS)
            for topic in CATALOGUE
        ],
    )


@asynccontextmanager
async def ingesting(settings: Settings, sim: Simulator) -> AsyncIterator[asyncio.Event]:
    """Run the ingestor inside the block; leaving it stops the ingestor and waits for its flush."""
    stop = asyncio.Event()
    task = asyncio.create_task(run(settings, stop))
    try:
        await until(lambda: task.done() or all(delivered(sim).values()))
        yield stop
    finally:
        stop.set()
        await asyncio.wait_for(task, 20)


def delivered(sim: Simulator) -> dict[str, int]:
    return sim.state()["delivered"]


async def until(condition, timeout_s: float = 20.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - the simulator tells by its state
            await asyncio.sleep(0.02)


async def settle(sim: Simulator) -> None:
    """Stop the market and let the last frames reach the ingestor."""
    sim.stop()
    await asyncio.sleep(0.5)


async def consumed(bootstrap: str, topic: str) -> list[tuple[int, bytes]]:
    """Return every record of a topic with its partition."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        parts = sorted(consumer.assignment())
        ends = await consumer.end_offsets(parts)
        found = []
        while any([await consumer.position(p) < ends[p] for p in parts]):
            for part, records in (await consumer.getmany(timeout_ms=500)).items():
                found += [(part.partition, record.value) for record in records]
        return found
    finally:
        await consumer.stop()


class Harvest:
    """What is in Kafka after a run, beside what the simulator says was sent."""

    def __init__(self, sim: Simulator, records: list[tuple[int, bytes]]) -> None:
        self.sim = sim
        self.batches: list[tuple[int, TradeBatch]] = [(p, decode_batch(v)) for p, v in records]
        self.ids: dict[tuple[str, str], list[int]] = defaultdict(list)
        self.seen: dict[tuple[str, str], dict[int, tuple]] = defaultdict(dict)
        for _, batch in self.batches:
            for t in rows(batch):
                key = (t.channel, t.symbol)
                self.ids[key].append(t.id)
                self.seen[key][t.id] = (t.ts, t.price, t.qty, t.side, t.first, t.last)

    def truth(self, channel: str, symbol: str) -> dict[int, tuple]:
        """Rows that reached a socket; ids begin at 0 or above."""
        query = {"symbol": symbol, "limit": "100000"}
        told = control.trades(self.sim.exchanges[channel], query)
        names = ("id", "ts", "price", "qty", "side", "first", "last", "sent_ns")
        found = {}
        for id_, ts, price, qty, side, first, last, sent in zip(
            *(told[n] for n in names), strict=True
        ):
            if sent > 0:
                inside = (id_, id_) if channel == "spot" else (first, last)
                found[id_] = (ts, Decimal(price), Decimal(qty), side, *inside)
        return found

    def markets(self) -> list[tuple[str, str]]:
        return [(c, s.name) for c, e in self.sim.exchanges.items() for s in e.symbols]


async def harvest(sim: Simulator, bootstrap: str, prefix: str) -> Harvest:
    return Harvest(sim, await consumed(bootstrap, prefix + TRADES.name))


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator(SimulatorOptions(seed=7, symbols=8, trades_per_s=600)) as running:
        yield running


async def test_every_delivered_trade_arrives_once_in_its_partition(
    sim: Simulator, kafka_bootstrap: str, topic_prefix: str
) -> None:
    await topics(kafka_bootstrap, topic_prefix)
    async with ingesting(settings_for(sim, kafka_bootstrap, topic_prefix), sim):
        await asyncio.sleep(3)
        await settle(sim)
    found = await harvest(sim, kafka_bootstrap, topic_prefix)
    total = 0
    for channel, symbol in found.markets():
        ids = found.ids[channel, symbol]
        assert ids == sorted(set(ids)), f"{channel} {symbol}: doubled or out of order"
        assert found.seen[channel, symbol] == found.truth(channel, symbol)
        total += len(ids)
    assert total > 800
    for partition, batch in found.batches:
        for group in batch.symbols:
            key = symbol_key("binance", batch.channel, group.symbol)
            assert partition_for(key, PARTITIONS) == partition
            assert (group.first is None) == (batch.channel == "spot") or group.first == group.id


async def test_stopping_in_full_trade_publishes_whatever_was_taken(
    sim: Simulator, kafka_bootstrap: str, topic_prefix: str
) -> None:
    await topics(kafka_bootstrap, topic_prefix)
    sim.set_rate(8_000)
    before = taken()
    async with ingesting(settings_for(sim, kafka_bootstrap, topic_prefix), sim):
        await asyncio.sleep(1)
    found = await harvest(sim, kafka_bootstrap, topic_prefix)
    published = sum(map(len, found.ids.values()))
    assert published == taken() - before
    assert published > 2_000


def taken() -> int:
    return int(
        sum(
            REGISTRY.get_sample_value(
                "fibstream_ingest_trades_total", {"exchange": "binance", "channel": channel}
            )
            or 0
            for channel in ("spot", "linear")
        )
    )


async def test_a_cut_connection_comes_back_and_doubles_nothing(
    sim: Simulator, kafka_bootstrap: str, topic_prefix: str
) -> None:
    await topics(kafka_bootstrap, topic_prefix)
    async with ingesting(settings_for(sim, kafka_bootstrap, topic_prefix), sim):
        await asyncio.sleep(1)
        before = delivered(sim)["linear"]
        assert control.inflict(sim.exchanges["linear"], Fault("disconnect", "linear")) == 1
        await until(lambda: delivered(sim)["linear"] > before + 300)
        await settle(sim)
    found = await harvest(sim, kafka_bootstrap, topic_prefix)
    for channel, symbol in found.markets():
        ids, truth = found.ids[channel, symbol], found.truth(channel, symbol)
        assert len(ids) == len(set(ids))
        assert found.seen[channel, symbol].items() <= truth.items()
        if channel == "spot":
            assert found.seen[channel, symbol] == truth
        if truth:  # what was on the wire when it was cut is lost; what came later is not
            assert max(truth) == max(ids)


async def test_repeated_and_delayed_trades_arrive_once(
    sim: Simulator, kafka_bootstrap: str, topic_prefix: str
) -> None:
    await topics(kafka_bootstrap, topic_prefix)
    busy = sim.exchanges["linear"].symbols[0].name
    async with ingesting(settings_for(sim, kafka_bootstrap, topic_prefix), sim):
        await asyncio.sleep(1)
        linear = sim.exchanges["linear"]
        assert control.inflict(linear, Fault("duplicate", "linear", count=50)) == 50
        control.inflict(linear, Fault("delay", "linear", symbol=busy, seconds=0.5, count=5))
        await asyncio.sleep(2)
        await settle(sim)
    found = await harvest(sim, kafka_bootstrap, topic_prefix)
    for channel, symbol in found.markets():
        ids = found.ids[channel, symbol]
        assert len(ids) == len(set(ids))
        assert found.seen[channel, symbol] == found.truth(channel, symbol)
    late = found.ids["linear", busy]
    assert late != sorted(late), "the delayed trades came after younger ones"


async def test_broken_frames_become_dead_letters_and_cost_no_trade(
    sim: Simulator, kafka_bootstrap: str, topic_prefix: str
) -> None:
    await topics(kafka_bootstrap, topic_prefix)
    async with ingesting(settings_for(sim, kafka_bootstrap, topic_prefix), sim):
        await asyncio.sleep(0.5)
        assert control.inflict(sim.exchanges["spot"], Fault("garbage", "spot")) == 1
        assert control.inflict(sim.exchanges["linear"], Fault("text_number", "linear")) == 1
        await asyncio.sleep(1)
        await settle(sim)
    found = await harvest(sim, kafka_bootstrap, topic_prefix)
    for channel, symbol in found.markets():
        assert found.seen[channel, symbol] == found.truth(channel, symbol)
    letters: list[DeadLetter] = [
        decode_dead_letter(value)
        for _, value in await consumed(kafka_bootstrap, topic_prefix + DEAD_LETTERS.name)
    ]
    by_source = {letter.source.partition("#")[0]: letter for letter in letters}
    assert len(letters) == 2
    garbage = by_source[sim.url("spot") + "/stream"]
    assert garbage.payload == control.GARBAGE
    text = by_source[sim.url("linear") + "/market/stream"]
    assert "p: 'abc' is not a decimal number" in text.reason
    assert b'"p":"abc"' in text.payload


async def test_the_limit_takes_the_busiest_symbols(
    sim: Simulator, kafka_bootstrap: str, topic_prefix: str
) -> None:
    await topics(kafka_bootstrap, topic_prefix)
    chosen = settings_for(sim, kafka_bootstrap, topic_prefix, exchange_symbols_limit=2)
    async with ingesting(chosen, sim):
        await asyncio.sleep(1)
        await settle(sim)
    found = await harvest(sim, kafka_bootstrap, topic_prefix)
    assert len({s for c, s in found.ids if c == "linear"}) == 2
    assert len({s for c, s in found.ids if c == "spot"}) == 2


async def test_many_sockets_share_the_symbols(
    sim: Simulator, kafka_bootstrap: str, topic_prefix: str
) -> None:
    await topics(kafka_bootstrap, topic_prefix)
    small = settings_for(sim, kafka_bootstrap, topic_prefix, exchange_socket_pool_size=3)
    async with ingesting(small, sim):
        await until(lambda: sim.state()["connections"] == {"spot": 3, "linear": 3})
        await asyncio.sleep(1)
        await settle(sim)
    found = await harvest(sim, kafka_bootstrap, topic_prefix)
    for channel, symbol in found.markets():
        assert found.seen[channel, symbol] == found.truth(channel, symbol)


@pytest.mark.parametrize(
    ("changed", "setting", "told"),
    [
        ({"exchange": "bnance"}, "STREAMER_EXCHANGE", "binance"),
        ({"enable_linear_stream": False, "enable_spot_stream": False}, "STREAMER_ENABLE_", ""),
        ({"exchange_spot_ws_url": "http://127.0.0.1:1"}, "STREAMER_EXCHANGE_SPOT_WS_URL", "wss://"),
        ({"exchange_spot_rest_url": "nonsense"}, "STREAMER_EXCHANGE_SPOT_REST_URL", "https://"),
        (
            {"exchange_load_all_symbols": False, "exchange_symbols": ("BTCUSD",)},
            "STREAMER_EXCHANGE_SYMBOLS",
            "BTCUSDT",
        ),
        ({"kafka_bootstrap": "nowhere"}, "STREAMER_KAFKA_BOOTSTRAP", "host:port"),
    ],
)
async def test_bad_settings_are_named_before_anything_streams(
    sim: Simulator, changed: dict, setting: str, told: str
) -> None:
    bad = settings_for(sim, "127.0.0.1:9", "x.", **changed)
    with pytest.raises(Misconfigured) as refused:
        await asyncio.wait_for(run(bad, asyncio.Event()), 15)
    assert refused.value.setting.startswith(setting)
    assert told in str(refused.value)


async def test_a_wrong_rest_path_is_the_operators_error(sim: Simulator) -> None:
    wrong = settings_for(sim, "127.0.0.1:9", "x.", exchange_spot_rest_url=sim.url("spot/x", "rest"))
    with pytest.raises(Misconfigured, match=r"STREAMER_EXCHANGE_SPOT_REST_URL.*404"):
        await asyncio.wait_for(run(wrong, asyncio.Event()), 15)


async def test_a_wrong_socket_path_is_the_operators_error(
    sim: Simulator, kafka_bootstrap: str, topic_prefix: str
) -> None:
    await topics(kafka_bootstrap, topic_prefix)
    url = {"exchange_linear_ws_url": sim.url("nothing")}
    wrong = settings_for(sim, kafka_bootstrap, topic_prefix, **url)
    with pytest.raises(Misconfigured, match=r"STREAMER_EXCHANGE_LINEAR_WS_URL.*404"):
        await asyncio.wait_for(run(wrong, asyncio.Event()), 15)


async def test_a_missing_topic_is_the_operators_error(
    sim: Simulator, kafka_bootstrap: str, topic_prefix: str
) -> None:
    lost = settings_for(sim, kafka_bootstrap, topic_prefix)
    with pytest.raises(Misconfigured, match="does not exist"):
        await asyncio.wait_for(run(lost, asyncio.Event()), 60)
