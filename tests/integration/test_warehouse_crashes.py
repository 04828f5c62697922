"""The sink dies between inserts and their commits, again and again: the warehouse is right."""

import asyncio
import random
import sys
from collections import Counter
from pathlib import Path

import clickhouse_connect
import pytest
from aiokafka import AIOKafkaProducer

from runtime.child import Child, ChildSpec
from runtime.kafka import TopicSpec, ensure_topics
from schemas.intervals import DAY_MS
from schemas.topics import TRADES
from schemas.trades import encode_batch
from tests.support import market

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
CRASHES = 20
PARTITIONS = 3
RECORDS = 1_500
PER_RECORD = 60
DAYS = 5
BY_DAY = """
SELECT symbol, toInt64(intDiv(toUnixTimestamp64Milli(ts), 86400000)) AS day, count(),
    sum(qty_int), sum(toInt256(price_int) * qty_int)
FROM trades_unique GROUP BY symbol, day ORDER BY symbol, day
"""


def records() -> list[tuple[int, bytes, market.SymbolTrades]]:
    pick, made = random.Random(3), []
    for number in range(RECORDS):
        partition = number % PARTITIONS
        first_id = number // PARTITIONS * PER_RECORD
        from_ms = market.BASE_MS + number * DAYS * DAY_MS // RECORDS
        trades = market.group(
            first_id,
            PER_RECORD,
            symbol=f"S{partition}",
            ts=sorted(from_ms + pick.randrange(90_000) for _ in range(PER_RECORD)),
            qty=[pick.randrange(1, 10_000) for _ in range(PER_RECORD)],
        )
        # Of every form: packed as bytes, packed as lists, and lists by symbol for one with a flag.
        trades.flags = 8 if number % 7 == 0 else 0
        binary_from = 1 if number % 2 else 1 << 60
        made.append(
            (partition, encode_batch(market.trade_batch(trades), binary_from=binary_from), trades)
        )
    return made


def truth(made) -> list[tuple]:
    counts, volumes, turnovers = Counter(), Counter(), Counter()
    for _, _, group in made:
        for ts, price, qty in zip(group.ts, group.price, group.qty, strict=True):
            key = group.symbol, ts // DAY_MS
            counts[key] += 1
            volumes[key] += qty
            turnovers[key] += price * qty
    return [(*key, counts[key], volumes[key], turnovers[key]) for key in sorted(counts)]


@pytest.mark.soak
@pytest.mark.timeout(900)
async def test_count_and_sums_by_day_are_the_truth_after_crashes_between_insert_and_commit(
    kafka_bootstrap, topic_prefix, tmp_path
) -> None:
    spec = TopicSpec(name=topic_prefix + TRADES.name, partitions=PARTITIONS)
    await ensure_topics(kafka_bootstrap, [spec])
    made = records()
    async with AIOKafkaProducer(bootstrap_servers=kafka_bootstrap) as producer:
        for partition, value, _ in made:
            await producer.send(spec.name, value, partition=partition)

    async def life(module: str, *arguments: str) -> Child:
        env = {
            "STREAMER_KAFKA_BOOTSTRAP": kafka_bootstrap,
            "STREAMER_KAFKA_TOPIC_PREFIX": topic_prefix,
            "STREAMER_KAFKA_PARTITIONS": str(PARTITIONS),
            "STREAMER_DATA_DIR": str(tmp_path),
            "STREAMER_CLICKHOUSE_TABLES": "trades",
            "PYTHONPATH": str(ROOT),
        }
        argv = [sys.executable, "-m", module, *arguments]
        child = ChildSpec(name="clickhouse", argv=argv, env=env)
        return await Child.start(child, {}, tmp_path / "sink.log")

    inserted = tmp_path / "inserted"
    for number in range(CRASHES):
        run = await life("tests.support.crashing_sink", str(number % 2), str(inserted))
        ended = await asyncio.wait_for(run.ended(), 60)
        assert ended.problem == "was ended by SIGKILL"
    times = Counter(inserted.read_text().splitlines())
    # Proof that there was something to remove: what was not committed was inserted once more.
    assert max(times.values()) > 1
    assert sum(times.values()) - len(times) >= CRASHES // 2
    run = await life("tests.support.sink_process", "clickhouse")
    try:
        port = (await run.ready())["http_port"]
        client = await asyncio.to_thread(
            clickhouse_connect.get_client, host="127.0.0.1", port=port, database="market"
        )
        wanted, found = truth(made), None
        async with asyncio.timeout(60):
            while found != wanted:
                rows = await asyncio.to_thread(client.query, BY_DAY)
                assert sum(row[2] for row in rows.result_rows) <= RECORDS * PER_RECORD
                found = [tuple(row) for row in rows.result_rows]
                await asyncio.sleep(0.2)
    finally:
        await run.stop(15)
