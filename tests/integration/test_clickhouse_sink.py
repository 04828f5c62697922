"""The ClickHouse sink as a process: killed, starved, fed with poison, on chDB and on a server."""

import asyncio
import random
import signal
import sys
from pathlib import Path

import clickhouse_connect
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from runtime.child import Child, ChildSpec
from runtime.errors import Misconfigured, Retriable
from runtime.kafka import TopicSpec, ensure_topics
from runtime.ports import free_port
from runtime.settings import Settings
from schemas.dead_letters import decode_dead_letter
from schemas.topics import DEAD_LETTERS, KLINES, TRADES
from sinks.base import Batch
from sinks.clickhouse import ClickHouseSink
from sinks.kafka_log import KafkaLog
from sinks.memory import MemorySink
from sinks.metrics import HELD, LAG
from sinks.worker import SinkWorker
from tests.support import clickhouse_server, market

pytestmark = pytest.mark.integration

PARTITIONS = 3
ROOT = Path(__file__).parents[2]


@pytest.fixture
async def settings(kafka_bootstrap, topic_prefix, tmp_path) -> Settings:
    settings = Settings(
        kafka_bootstrap=kafka_bootstrap,
        kafka_topic_prefix=topic_prefix,
        kafka_partitions=PARTITIONS,
        data_dir=tmp_path,
    )
    specs = [TopicSpec(name=topic_prefix + t.name, partitions=PARTITIONS) for t in (TRADES, KLINES)]
    specs.append(TopicSpec(name=topic_prefix + DEAD_LETTERS.name, partitions=1))
    await ensure_topics(kafka_bootstrap, specs)
    return settings


@pytest.fixture
async def producer(kafka_bootstrap):
    async with AIOKafkaProducer(bootstrap_servers=kafka_bootstrap) as producer:
        yield producer


def child(settings: Settings, tmp_path: Path) -> ChildSpec:
    env = {
        "STREAMER_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
        "STREAMER_KAFKA_TOPIC_PREFIX": settings.kafka_topic_prefix,
        "STREAMER_KAFKA_PARTITIONS": str(PARTITIONS),
        "STREAMER_DATA_DIR": str(settings.data_dir),
        "STREAMER_CLICKHOUSE_URL": settings.clickhouse_url,
        "PYTHONPATH": str(ROOT),
    }
    argv = [sys.executable, "-m", "tests.support.sink_process", "clickhouse"]
    return ChildSpec(name="clickhouse", argv=argv, env=env)


async def started(settings: Settings, tmp_path: Path) -> tuple[Child, dict]:
    run = await Child.start(child(settings, tmp_path), {}, tmp_path / "sink.log")
    return run, await run.ready()


def query(port: int, sql: str):
    client = clickhouse_connect.get_client(host="127.0.0.1", port=port)
    return client.query(sql).result_rows


async def until(what, wanted, within_s: float = 30.0) -> None:
    found = None
    try:
        async with asyncio.timeout(within_s):
            while (found := await what()) != wanted:  # noqa: ASYNC110 - a store has no event to wait for
                await asyncio.sleep(0.1)
    except TimeoutError:
        pytest.fail(f"wanted {wanted}, found {found}")


async def test_kill_9_in_the_middle_of_inserts_loses_and_doubles_nothing(
    settings, producer, tmp_path
) -> None:
    prefix, per_record = settings.kafka_topic_prefix, 50
    pick = random.Random(7)
    sent = 0

    async def send(records: int) -> None:
        nonlocal sent
        for _ in range(records):
            partition = sent % PARTITIONS
            trades = market.group(sent * per_record, per_record, symbol=f"S{partition}")
            candle = market.kline(
                symbol=f"S{partition}", timestamp=market.BASE_MS + sent * 1_000, rev=sent
            )
            await producer.send(
                prefix + TRADES.name, market.trades_value(trades), partition=partition
            )
            await producer.send(
                prefix + KLINES.name, market.klines_value(candle), partition=partition
            )
            sent += 1
        await producer.flush()

    await send(3_000)
    for _ in range(3):
        run, facts = await started(settings, tmp_path)
        feeding = asyncio.create_task(send(1_000))
        await asyncio.sleep(pick.uniform(0.0, 0.5))
        run.signal(signal.SIGKILL)
        await feeding
        await run.stop(0)
    run, facts = await started(settings, tmp_path)
    port = facts["http_port"]
    counts = "SELECT count(), uniqExact(id), min(id), max(id) FROM trades_unique"
    wanted = [(sent * per_record,) * 2 + (0, sent * per_record - 1)]
    try:
        await until(lambda: asyncio.to_thread(query, port, counts), wanted)
        candles = "SELECT count(), uniqExact(rev), max(rev) FROM candles"
        await until(lambda: asyncio.to_thread(query, port, candles), [(sent, sent, sent - 1)])
    finally:
        await run.stop(15)
    assert run._process.returncode == 0


async def test_poison_reaches_the_dead_letters_and_the_rest_lands(
    settings, producer, tmp_path
) -> None:
    prefix = settings.kafka_topic_prefix
    huge = market.trades_value(market.group(price=[10**30, 1, 1]))
    poison = [b"no json", huge, b"x" * 900_000]
    for value in (*poison, market.trades_value()):
        await producer.send_and_wait(prefix + TRADES.name, value, partition=1)
    run, facts = await started(settings, tmp_path)
    try:
        ids = "SELECT groupArray(id) FROM trades_unique"
        await until(lambda: asyncio.to_thread(query, facts["http_port"], ids), [([1, 2, 3],)])
    finally:
        await run.stop(15)
    letters = await dead_letters(settings)
    assert [letter.payload for letter in letters] == [poison[0], huge, poison[2][: 600 << 10]]
    assert [letter.source for letter in letters] == [
        f"{prefix}{TRADES.name}/1/{offset}" for offset in range(3)
    ]
    assert all(letter.reason.startswith("sink clickhouse: ") for letter in letters)


async def dead_letters(settings):
    tp = TopicPartition(settings.kafka_topic_prefix + DEAD_LETTERS.name, 0)
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka_bootstrap)
    async with consumer:
        consumer.assign([tp])
        await consumer.seek_to_beginning(tp)
        end = (await consumer.end_offsets([tp]))[tp]
        letters = []
        while len(letters) < end:
            got = await consumer.getmany(tp, timeout_ms=1_000)
            letters += [decode_dead_letter(m.value) for m in got.get(tp, [])]
    return letters


class Door(MemorySink):
    """A store that can be away."""

    def __init__(self) -> None:
        super().__init__([TRADES])
        self.is_open = True
        self.knocks = 0

    async def write(self, batch: Batch):
        self.knocks += 1
        if not self.is_open:
            raise Retriable("closed", retry_after_s=0.3)
        return await super().write(batch)


def lag() -> float:
    samples = LAG.collect()[0].samples
    return sum(s.value for s in samples if s.labels["sink"] == "memory")


async def test_an_outage_holds_shows_its_lag_keeps_its_place_and_drops_nothing(
    settings, producer
) -> None:
    name = settings.kafka_topic_prefix + TRADES.name
    sink, stop = Door(), asyncio.Event()
    log = KafkaLog(sink, settings)
    await log.open()
    log._consumer._coordinator._max_poll_interval = 1.0  # as if the outage lasted for minutes
    running = asyncio.create_task(SinkWorker(sink, log, stop).run())

    async def send(first: int, count: int) -> None:
        for i in range(first, first + count):
            await producer.send_and_wait(name, str(i).encode(), partition=i % PARTITIONS)

    async def seen() -> int:
        return len(sink.records)

    async def shown_lag() -> float:
        return lag()

    try:
        await send(0, 30)
        await until(seen, 30)
        sink.is_open = False
        await send(30, 30)
        await until(shown_lag, 30.0)
        await send(60, 30)
        await until(shown_lag, 60.0)
        assert HELD.labels("memory")._value.get() == 1
        await asyncio.sleep(2.5)  # beyond the poll interval: the group must still have us
        assert log._consumer.assignment()
        sink.is_open = True
        await until(seen, 90)
        await until(shown_lag, 0.0)
    finally:
        stop.set()
        await asyncio.wait_for(running, 10)
        await log.close()
    assert sorted(int(r.value) for r in sink.records) == list(range(90))


async def test_a_second_sink_shares_the_work_and_nothing_is_lost_when_it_leaves(
    settings, producer
) -> None:
    name = settings.kafka_topic_prefix + TRADES.name
    sinks, stops, runs, logs = [], [], [], []

    async def join() -> None:
        sink, stop = MemorySink([TRADES]), asyncio.Event()
        log = KafkaLog(sink, settings)
        await log.open()
        sinks.append(sink)
        stops.append(stop)
        logs.append(log)
        runs.append(asyncio.create_task(SinkWorker(sink, log, stop).run()))

    sent, fed = 0, asyncio.Event()

    async def feed() -> None:
        nonlocal sent
        while not fed.is_set():
            await producer.send_and_wait(name, str(sent).encode(), partition=sent % PARTITIONS)
            sent += 1
            await asyncio.sleep(0.002)

    await join()
    feeding = asyncio.create_task(feed())
    await asyncio.sleep(0.5)
    await join()
    await asyncio.sleep(1.5)
    stops[1].set()
    await asyncio.wait_for(runs[1], 10)
    await logs[1].close()
    await asyncio.sleep(0.5)
    fed.set()
    await feeding

    async def missing() -> set[int]:
        return set(range(sent)) - {int(r.value) for sink in sinks for r in sink.records}

    await until(missing, set())
    assert sinks[1].records
    stops[0].set()
    await asyncio.wait_for(runs[0], 10)
    await logs[0].close()


@pytest.fixture
async def server(tmp_path):
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, clickhouse_server.__file__, str(port), str(tmp_path / "server")
    )

    async def answers() -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        writer.close()
        return True

    await until(answers, True)
    yield port, process
    if process.returncode is None:
        process.kill()
    await process.wait()


async def test_a_server_over_http_takes_the_same_rows_and_an_outage_is_retriable(server) -> None:
    port, process = server
    url = f"http://user:p%40ss@127.0.0.1:{port}/ticks"
    sink = ClickHouseSink(Settings(clickhouse_url=url))
    await sink.open()
    assert sink.facts() == {}
    good = market.batch(TRADES.name, [market.trades_value()])
    try:
        assert await sink.write(good) == []
        candles = market.batch(KLINES.name, [market.klines_value()])
        assert await sink.write(candles) == []

        def read() -> None:
            client = clickhouse_connect.get_client(host="127.0.0.1", port=port, database="ticks")
            assert client.query("SELECT count() FROM trades_unique").result_rows == [(3,)]
            assert client.query("SELECT count() FROM candles").result_rows == [(1,)]
            client.command("DROP TABLE klines")

        await asyncio.to_thread(read)
        with pytest.raises(Exception, match="60") as caught:  # a lost table is no outage
            await sink.write(candles)
        assert not isinstance(caught.value, Retriable)
        process.kill()
        await process.wait()
        with pytest.raises(Retriable):
            await sink.write(good)
    finally:
        await sink.close()


@pytest.mark.parametrize(
    "url",
    ["127.0.0.1:8123", "ftp://127.0.0.1", "http://", "http://h:port/", "http://127.0.0.1:{free}/x"],
)
async def test_a_wrong_url_is_the_operators_to_correct(monkeypatch, url) -> None:
    monkeypatch.setattr("sinks.clickhouse.store.TRY_INTERVAL_S", 0.01)

    async def start() -> None:
        sink = ClickHouseSink(Settings(clickhouse_url=url.replace("{free}", str(free_port()))))
        try:
            await sink.open()
        finally:
            await sink.close()

    with pytest.raises(Misconfigured) as caught:
        await start()
    assert caught.value.setting == "STREAMER_CLICKHOUSE_URL"


async def test_a_wrong_password_is_refused_at_once(server) -> None:
    sink = ClickHouseSink(Settings(clickhouse_url=f"http://wrong:x@127.0.0.1:{server[0]}/"))
    with pytest.raises(Misconfigured, match="STREAMER_CLICKHOUSE_URL"):
        await asyncio.wait_for(sink.open(), 3)
    await sink.close()


async def test_a_folder_in_use_is_named(settings, tmp_path) -> None:
    run, _ = await started(settings, tmp_path)
    try:
        second = await Child.start(child(settings, tmp_path), {}, tmp_path / "second.log")
        with pytest.raises(Misconfigured, match="STREAMER_DATA_DIR"):
            await second.ready()
        assert (await second.ended()).exit_code == 2
    finally:
        await run.stop(15)
