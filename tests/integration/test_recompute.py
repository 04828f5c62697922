"""Broker, sink, worker and recompute worker as processes: a trade that comes a minute too late."""

import asyncio
import random
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import clickhouse_connect
import pytest
import warehousing
from aiokafka import AIOKafkaProducer
from clickhouse_connect.driver.exceptions import ClickHouseError
from workers import read_topic, worker_settings

from fibstream.topics import create_topics
from runtime.child import Child, ChildSpec
from runtime.kafka import partition_for
from runtime.ports import free_port
from runtime.settings import Settings
from schemas.intervals import parse_intervals
from schemas.topics import DEAD_LETTERS, RECOMPUTE, TRADES, symbol_key
from schemas.trades import SymbolTrades, TradeBatch, encode_batch

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

BASE_MS = 1_700_000_040_000
SYMBOL = "BTCUSDT"
WITHIN_S = 60.0
COLUMNS = (
    "interval_ms, anchor, toUnixTimestamp64Milli(open_time), rev, toString(cause),"
    " toString(quality), missing, close, volume, trade_count"
)
CANDLES = f"SELECT {COLUMNS} FROM candles WHERE closed ORDER BY interval_ms, open_time"  # noqa: S608


@pytest.fixture
def settings(kafka_bootstrap, topic_prefix, tmp_path) -> Settings:
    return worker_settings(
        kafka_bootstrap,
        topic_prefix,
        tmp_path,
        kline_intervals=("1s", "1m"),
        clickhouse_http_port=free_port(),
    )


class Machine:
    """The processes, and the rows of the warehouse."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._settings = settings
        self._folder = folder
        self._children: dict[str, Child] = {}

    async def start(self, *names: str) -> None:
        starting = [self._start(name) for name in names]
        await asyncio.gather(*starting)

    async def _start(self, name: str) -> None:
        argv = [sys.executable, "-m", "fibstream", *name.split()]
        spec = ChildSpec(name=name, argv=argv, env=self._settings.environment())
        child = await Child.start(spec, {}, self._folder / f"{name}.log")
        self._children[name] = child
        await child.ready()

    async def kill(self, name: str) -> None:
        child = self._children.pop(name)
        child.signal(signal.SIGKILL)
        await child.stop(0)

    async def stop(self) -> None:
        for child in self._children.values():
            await child.stop(0)

    async def rows(self, sql: str) -> Sequence[Sequence[object]]:
        def work() -> Sequence[Sequence[object]]:
            port = self._settings.clickhouse_http_port
            client = clickhouse_connect.get_client(host="127.0.0.1", port=port)
            try:
                return client.query(sql).result_rows
            finally:
                client.close()

        return await asyncio.to_thread(work)


@asynccontextmanager
async def machine(settings: Settings, folder: Path):
    await create_topics(settings)
    running = Machine(settings, folder)
    try:
        yield running
    finally:
        await running.stop()


@pytest.fixture
async def send(settings) -> Callable[..., Awaitable[int]]:
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap)
    await producer.start()

    async def work(batch: TradeBatch) -> int:
        key = symbol_key(batch.exchange, batch.channel, batch.symbols[0].symbol)
        stored = await producer.send_and_wait(
            settings.kafka_topic_prefix + TRADES.name,
            encode_batch(batch),
            partition=partition_for(key, settings.kafka_partitions),
        )
        return stored.offset

    yield work
    await producer.stop()


def trades(ids: Sequence[int], source: str = "live") -> TradeBatch:
    """One trade a second from the base on; the id tells its second and its price."""
    group = SymbolTrades(
        symbol=SYMBOL,
        price_scale=1,
        qty_scale=0,
        id=list(ids),
        ts=[BASE_MS + (id_ - 1) * 1_000 for id_ in ids],
        price=[id_ * 10 for id_ in ids],
        qty=[1] * len(ids),
        side=1,
    )
    return TradeBatch("binance", "linear", source, BASE_MS * 1_000_000, [group])


async def until(work: Callable[[], Awaitable[bool]], what: Callable[[], object]) -> None:
    try:
        async with asyncio.timeout(WITHIN_S):
            while not await _tried(work):  # noqa: ASYNC110 - a store has no event to wait for
                await asyncio.sleep(0.2)
    except TimeoutError:
        pytest.fail(f"after {WITHIN_S} s: {what()}")


async def _tried(work: Callable[[], Awaitable[bool]]) -> bool:
    try:
        return await work()
    except ClickHouseError:
        return False  # the sink is starting


async def test_a_trade_a_minute_late_corrects_the_candles_that_were_closed_long_ago(
    settings, send, tmp_path
) -> None:
    late_id = 31  # in the first minute, at its second 30
    async with machine(settings, tmp_path) as running:
        await running.start("sink clickhouse", "process", "recompute")
        await send(trades([n for n in range(1, 101) if n != late_id]))
        await send(trades([101]))
        found: dict[tuple[int, int], Sequence[object]] = {}

        async def look() -> None:
            found.clear()
            for length_ms, anchor, open_ms, *rest in await running.rows(CANDLES):
                assert anchor == ""
                found[length_ms, open_ms - BASE_MS] = rest

        async def is_closed() -> bool:
            await look()
            return (60_000, 0) in found

        await until(is_closed, lambda: found)
        rev, _, quality, missing, _, _, count = found[60_000, 0]
        assert (quality, missing, count) == ("gap", 1, 59)
        assert (1_000, 30_000) not in found
        asking = await send(trades([late_id], "rest"))
        assert rev < asking

        async def is_corrected() -> bool:
            await look()
            return found[60_000, 0][0] == asking and (1_000, 30_000) in found

        await until(is_corrected, lambda: found)
        minute = asking, "rest", "proven", 0, 60, 60, 60
        assert tuple(map(_plain, found[60_000, 0])) == minute
        assert tuple(map(_plain, found[1_000, 30_000])) == (asking, "rest", "proven", 0, 31, 1, 1)
        # Its neighbours may have held it, as far as anybody knew: now they are whole.
        assert found[1_000, 29_000][2] == found[1_000, 31_000][2] == "proven"
        assert found[1_000, 10_000][0] < asking  # nothing of it has changed


@pytest.mark.soak
async def test_kill_9_of_the_recompute_worker_changes_nothing(
    settings, send, tmp_path, monkeypatch
) -> None:
    pick = random.Random(3)
    late = [n for n in range(2, 600) if pick.random() < 0.2]
    records = [trades([n for n in range(1, 601) if n not in set(late)]), trades([601])]
    pick.shuffle(late)
    records += [trades(sorted(late[at : at + 3]), "rest") for at in range(0, len(late), 3)]
    async with machine(settings, tmp_path) as running:
        await running.start("sink clickhouse", "process", "recompute")
        for batch in records[:2]:
            await send(batch)
        rest = records[2:]
        for lives in (2, 1, 0):  # it dies twice, while it works
            fetched = await _fetched(running)
            part = rest[: len(rest) // (lives + 1)]
            for batch in part:
                await send(batch)
            rest = rest[len(part) :]

            async def has_begun(fetched: int = fetched) -> bool:
                return await _fetched(running) > fetched

            await until(has_begun, lambda: "no candle was computed")
            if lives:
                await running.kill("recompute")
                await running.start("recompute")
        intervals = parse_intervals(settings.kline_intervals)
        expected = {
            (k.interval, k.timestamp): (k.close, k.volume, k.trade_count, k.quality, k.missing)
            for k in warehousing.patient_engine(records, intervals, monkeypatch).values()
            if k.timestamp + k.interval < BASE_MS + 580_000
        }
        wrong: list[object] = []

        async def is_right() -> bool:
            found = {
                (length_ms, open_ms): (close, volume, count, quality, missing)
                for length_ms, _, open_ms, _, _, quality, missing, close, volume, count in (
                    await running.rows(CANDLES)
                )
            }
            wrong[:] = [
                (key, found.get(key), row) for key, row in expected.items() if found.get(key) != row
            ]
            return not wrong

        await until(is_right, lambda: (len(wrong), len(expected), wrong[:3]))


async def test_an_unreadable_request_is_set_aside_and_the_next_one_is_done(
    settings, send, tmp_path
) -> None:
    async with machine(settings, tmp_path) as running:
        producer = AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap)
        await producer.start()
        prefix = settings.kafka_topic_prefix
        rev = await send(trades(range(1, 101)))
        partition = partition_for(
            symbol_key("binance", "linear", SYMBOL), settings.kafka_partitions
        )
        request = (
            f'{{"exchange":"binance","channel":"linear","data_type":"recompute","data":['
            f'{{"symbol":"{SYMBOL}","from_ms":{BASE_MS},"to_ms":{BASE_MS},"rev":{rev + 1}}}]}}'
        )
        for value in (b"{}", request.encode()):
            await producer.send_and_wait(prefix + RECOMPUTE.name, value, partition=partition)
        await running.start("recompute")  # before the warehouse is there: it waits
        await asyncio.sleep(1.0)
        await running.start("sink clickhouse")
        await send(trades([101]))
        await producer.stop()
        found: list[object] = []

        async def is_done() -> bool:
            found[:] = [row[:4] for row in await running.rows(CANDLES)]
            return found == [
                (1_000, "", BASE_MS, rev + 1),
                (60_000, "", BASE_MS, rev + 1),
            ]

        await until(is_done, lambda: found)
        letters = await read_topic(settings, DEAD_LETTERS.name)
        assert len(letters) == 1


async def _fetched(running: Machine) -> int:
    """Return how many candles that recovered trades changed are in the warehouse."""
    try:
        ((count,),) = await running.rows("SELECT count() FROM klines WHERE cause = 'rest'")
    except ClickHouseError:
        return 0
    return count


def _plain(value: object) -> object:
    return value if isinstance(value, str) else int(value)
