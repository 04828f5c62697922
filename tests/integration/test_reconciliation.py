"""The venue's candles through a real worker: compared with ours across a kill -9, and passed on."""

import asyncio
import signal
from decimal import Decimal

import pytest
from aiokafka import AIOKafkaProducer
from reconciling import Desk, ours, ours_value, venue, venue_value
from workers import PARTITIONS, SHORT_SESSION, Workers, read_topic, worker_settings

from fibstream.reconcile import Wanted, reconcile
from runtime.kafka import partition_for
from schemas.klines import decode_klines
from schemas.reconciliation import decode_reconciliation
from schemas.topics import KLINES, RECONCILIATION, VENUE_KLINES, symbol_key

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

KEY = symbol_key("binance", "spot", "S")
PARTITION = partition_for(KEY, PARTITIONS)
WITHIN_S = 60.0
HALF = 10
STORY = [  # a venue that misses one, tells one differently, and ours that come late
    *((KLINES, ours_value(ours(n, rev=n)), venue_value(venue(n))) for n in range(HALF)),
    (KLINES, ours_value(ours(3, "10.6", rev=40)), venue_value(venue(10, volume=Decimal(1)))),
    (KLINES, ours_value(ours(10, rev=10)), venue_value(venue(10, volume=Decimal(1)))),
    *((KLINES, ours_value(ours(n, rev=n)), venue_value(venue(n))) for n in (12, 13, 14)),
]


async def until(is_right, ask):
    """Ask until it is right, and return it."""
    async with asyncio.timeout(WITHIN_S):
        while not is_right(found := await ask()):  # noqa: ASYNC110 - a topic has no event
            await asyncio.sleep(0.2)
    return found


@pytest.fixture
async def producer(kafka_bootstrap):
    async with AIOKafkaProducer(bootstrap_servers=kafka_bootstrap) as producer:
        yield producer


async def test_a_killed_worker_says_in_the_end_what_a_calm_one_says(
    kafka_bootstrap, topic_prefix, tmp_path, producer
):
    settings = worker_settings(
        kafka_bootstrap, topic_prefix, tmp_path, process_agents=("reconciliation",)
    )
    calm = Desk()

    async def send(story) -> None:
        for _, our_value, venue_row in story:
            await producer.send(topic_prefix + KLINES.name, our_value, key=KEY)
            await producer.send(
                topic_prefix + VENUE_KLINES.name, venue_row, key=None, partition=PARTITION
            )
            calm.take(KLINES, our_value)
            calm.take(VENUE_KLINES, venue_row)
        await producer.flush()

    async def said() -> dict:
        desk = Desk()
        for record in await read_topic(settings, RECONCILIATION.name):
            assert (record.key, record.partition) == (KEY, PARTITION)
            desk.rows += decode_reconciliation(record.value).data
        return desk.last()

    async with Workers(settings, tmp_path, *SHORT_SESSION) as workers:
        await send(STORY[:HALF])
        worker = await workers.start()
        await until(lambda found: len(found) == HALF, said)
        worker.signal(signal.SIGKILL)
        await send(STORY[HALF:])
        await workers.start()
        calm.say(is_caught_up=True)
        expected = calm.last()
        await until(lambda found: found == expected, said)
    told = {minute: (row.verdict, row.explanation) for minute, row in expected.items()}
    assert told[3] == told[10] == ("differs", "unexplained")
    assert told[0] == told[14] == ("equal", "")

    report = await reconcile(settings, Wanted(symbol="S"))
    assert (report["ok"], report["candles"]) == (False, len(expected))
    assert {d["candle"].rsplit(" ", 1)[0] for d in report["differences"]} == {"binance spot S 1m"}
    assert (await reconcile(settings, Wanted(exchange="okx")))["candles"] == 0


async def test_klines_mode_passes_the_venues_candles_on(
    kafka_bootstrap, topic_prefix, tmp_path, producer
):
    settings = worker_settings(
        kafka_bootstrap,
        topic_prefix,
        tmp_path,
        process_agents=("klines", "reconciliation"),
        aggregator_mode="klines",
    )
    async with Workers(settings, tmp_path) as workers:
        for minute in range(3):
            await producer.send_and_wait(
                topic_prefix + VENUE_KLINES.name, venue_value(venue(minute)), partition=PARTITION
            )
        await workers.start()
        records = await until(bool, lambda: read_topic(settings, KLINES.name))
    rows = [row for record in records for row in decode_klines(record.value).data]
    assert [(row.rev, row.cause, row.closed) for row in rows] == [
        (offset, "venue", True) for offset in range(3)
    ]
    assert {record.key for record in records} == {KEY}
