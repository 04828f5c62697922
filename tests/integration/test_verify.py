"""`fibstream verify` and the integrity process on a broker and chDB: killed, resumed, told once."""

import asyncio
import json
import signal
import sys
from collections import Counter

import clickhouse_connect
import pytest
from aiokafka import AIOKafkaProducer
from clickhouse_connect.driver.exceptions import ClickHouseError
from counting import Row, holes
from workers import read_topic, worker_settings

from fibstream.topics import create_topics
from runtime.child import Child, ChildSpec
from runtime.kafka import partition_for
from runtime.ports import free_port
from runtime.settings import Settings
from schemas.integrity import decode_integrity
from schemas.klines import decode_id_gaps
from schemas.topics import GAPS, INTEGRITY, TRADES, symbol_key
from schemas.trades import SymbolTrades, TradeBatch, encode_batch
from sinks.integrity.periods import DAY_MS

pytestmark = [pytest.mark.integration, pytest.mark.soak, pytest.mark.timeout(240)]

JANUARY = 1_704_067_200_000  # 2024-01-01
SYMBOLS = [f"S{n:02}USDT" for n in range(34)]  # three batches
DAYS = 36
WITHIN_S = 90.0


def story(symbol: str) -> list[Row]:
    """Return the trades of a symbol: ten a day; every third symbol has two holes."""
    n = SYMBOLS.index(symbol)
    gone = set(range(n + 5, n + 8)) | {299 + n % 4} if n % 3 == 0 else set()
    ids = (id_ for id_ in range(1, DAYS * 10) if id_ not in gone)
    return [Row(id_, id_, JANUARY + id_ * DAY_MS // 10) for id_ in ids]


TRUTH = {symbol: holes(story(symbol)) for symbol in SYMBOLS}


@pytest.fixture
def settings(kafka_bootstrap, topic_prefix, tmp_path) -> Settings:
    return worker_settings(
        kafka_bootstrap, topic_prefix, tmp_path, clickhouse_http_port=free_port()
    )


async def start(settings: Settings, folder, *argv: str) -> Child:
    argv = (sys.executable, "-m", "fibstream", *argv)
    spec = ChildSpec(name=argv[3], argv=argv, env=settings.environment())
    return await Child.start(spec, {}, folder / f"{argv[3]}.log")


async def send_trades(settings: Settings) -> None:
    async with AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap) as producer:
        for symbol in SYMBOLS:
            rows = story(symbol)
            group = SymbolTrades(
                symbol=symbol,
                price_scale=1,
                qty_scale=0,
                id=[row.first for row in rows],
                ts=[row.ms for row in rows],
                price=[10] * len(rows),
                qty=[1] * len(rows),
                side=1,
            )
            batch = TradeBatch("binance", "linear", "archive", JANUARY * 10**6, [group])
            key = symbol_key("binance", "linear", symbol)
            partition = partition_for(key, settings.kafka_partitions)
            name = settings.kafka_topic_prefix + TRADES.name
            await producer.send_and_wait(name, encode_batch(batch), partition=partition)


async def count(settings: Settings, table: str) -> int:
    def work() -> int:
        try:
            client = clickhouse_connect.get_client(
                host="127.0.0.1", port=settings.clickhouse_http_port
            )
        except ClickHouseError:
            return 0  # the sink is starting
        with client:
            sql = f"SELECT count() FROM {table} FINAL"  # noqa: S608
            return client.query(sql).result_rows[0][0]

    return await asyncio.to_thread(work)


async def until(is_right, ask):
    async with asyncio.timeout(WITHIN_S):
        while not is_right(found := await ask()):  # noqa: ASYNC110 - a store has no event
            await asyncio.sleep(0.1)
    return found


async def records(settings: Settings, topic) -> list:
    return await read_topic(settings, topic.name)


async def verified(settings: Settings, *options: str) -> tuple[int, dict]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "fibstream", "verify", "--json", *options),
        env=settings.environment() | {"PATH": "/usr/bin:/bin"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert out, err.decode()
    return process.returncode, json.loads(out)


def gaps_of(report: dict) -> dict[str, list[tuple[int, ...]]]:
    return {row["symbol"]: [tuple(gap.values()) for gap in row["gaps"]] for row in report["rows"]}


async def test_a_run_killed_in_the_middle_is_resumed_and_tells_each_gap_once(settings, tmp_path):
    await create_topics(settings)
    sink = await start(settings, tmp_path, "sink", "clickhouse")
    try:
        await send_trades(settings)
        trades = sum(len(story(symbol)) for symbol in SYMBOLS)
        await until(lambda n: n == trades, lambda: count(settings, "trades"))

        service = await start(settings, tmp_path, "integrity")
        await until(lambda found: found, lambda: records(settings, INTEGRITY))
        service.signal(signal.SIGKILL)
        await service.stop(0)

        code, report = await verified(settings)
        assert (code, report["ok"], report["symbols"]) == (1, False, len(SYMBOLS))
        assert gaps_of(report) == TRUTH
        assert report["gaps_count"] == sum(gap.ids for found in TRUTH.values() for gap in found)
        told = Counter(
            (gap.symbol, gap.first_id, gap.last_id, gap.from_ms, gap.to_ms, gap.state)
            for record in await records(settings, GAPS)
            for gap in decode_id_gaps(record.value).data
        )
        assert told == Counter((s, *gap, "found") for s, found in TRUTH.items() for gap in found)

        periods = {
            (row.symbol, row.period, row.period_ms)
            for record in await records(settings, INTEGRITY)
            for row in decode_integrity(record.value).data
        }
        await until(lambda n: n == len(periods), lambda: count(settings, "integrity"))
        code, again = await verified(settings)
        assert again | {"told": report["told"]} == report
        assert again["told"] == 0
        code, full = await verified(
            settings, "--full", "--symbol", "S01USDT", "--symbol", "S03USDT"
        )
        assert gaps_of(full) == {symbol: TRUTH[symbol] for symbol in ("S01USDT", "S03USDT")}
    finally:
        await sink.stop(5)
