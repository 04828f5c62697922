"""The worker as a process on a real broker: killed, stopped, doubled, frozen, cut off, poisoned."""

import asyncio
import json
import os
import random
import signal
import time
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from oracle import T
from workers import (
    PARTITIONS,
    SHORT_SESSION,
    Feed,
    Market,
    Reader,
    Workers,
    exit_code,
    published,
    read_to_the_end,
    read_topic,
    settled,
    worker_settings,
)

from fibstream.topics import create_topics
from processors.app import APP_ID
from processors.checkpoint import EXIT_LOST
from runtime.backoff import Backoff
from runtime.child import ChildSpec
from runtime.errors import Misconfigured
from runtime.ports import free_port
from runtime.servers.kafka import EmbeddedKafka
from runtime.settings import Settings
from runtime.supervisor import Supervisor
from schemas.dead_letters import decode_dead_letter
from schemas.intervals import Interval
from schemas.klines import decode_klines
from schemas.topics import DEAD_LETTERS, KLINES, TRADES
from schemas.trades import SymbolTrades, TradeBatch, encode_batch

pytestmark = [pytest.mark.soak, pytest.mark.integration, pytest.mark.timeout(120)]


@pytest.fixture
def settings(kafka_bootstrap, topic_prefix, tmp_path) -> Settings:
    return worker_settings(kafka_bootstrap, topic_prefix, tmp_path)


@pytest.fixture
async def producer(kafka_bootstrap):
    async with AIOKafkaProducer(bootstrap_servers=kafka_bootstrap) as producer:
        yield producer


async def test_a_fixed_topic_gives_the_oracles_candles_and_revisions_never_go_back(
    settings, tmp_path
) -> None:
    market = Market(seed=1)
    async with Workers(settings, tmp_path) as workers, Feed(settings, market) as feed:
        await feed.send(3_000)
        worker = await workers.start()
        ledger = await settled(settings, market.real)
        assert len(ledger.final) > 1_000
        assert ledger.steps_back == 0
        await worker.stop(20)
        assert exit_code(worker) == 0
        await read_to_the_end(settings)
        # The second life of a worker that was asked to stop repeats nothing.
        await workers.start()
        await asyncio.sleep(1.0)
        assert (await published(settings)).rows == ledger.rows


async def test_the_changelog_and_not_the_group_says_where_reading_goes_on(
    settings, tmp_path
) -> None:
    """Faust was seen to commit past records that it had skipped."""
    market = Market(seed=2)
    async with Workers(settings, tmp_path) as workers, Feed(settings, market) as feed:
        await feed.send(1_500)
        prefix = settings.kafka_topic_prefix
        group = AIOKafkaConsumer(
            bootstrap_servers=settings.kafka_bootstrap, group_id=prefix + APP_ID
        )
        async with group:
            tps = [TopicPartition(prefix + TRADES.name, p) for p in range(PARTITIONS)]
            group.assign(tps)
            await group.commit(dict(zip(tps, (0, 3, 40, 60), strict=True)))
        await workers.start()
        await settled(settings, market.real)


async def test_kill_9_at_any_moment_ends_in_the_same_candles(settings, tmp_path) -> None:
    market, pick = Market(seed=3), random.Random(3)
    async with (
        Workers(settings, tmp_path, *SHORT_SESSION) as workers,
        Feed(settings, market) as feed,
    ):
        feeding = asyncio.create_task(feed.send(5_000, per_s=400))
        for _ in range(3):
            worker = await workers.start()
            await asyncio.sleep(pick.uniform(0.0, 1.2))
            worker.signal(signal.SIGKILL)
            await worker.ended()
        await workers.start()
        await feeding
        ledger = await settled(settings, market.real)
        assert ledger.last == ledger.final
        assert len(ledger.final) > 1_500


async def test_sigterm_under_load_stops_in_time_and_leaves_nothing_to_repeat(
    settings, tmp_path
) -> None:
    market = Market(seed=4)
    async with Workers(settings, tmp_path) as workers, Feed(settings, market) as feed:
        worker = await workers.start()
        feeding = asyncio.create_task(feed.send(3_000, per_s=900))
        await asyncio.sleep(1.5)
        asked_s = time.monotonic()
        await worker.stop(20)
        assert exit_code(worker) == 0
        assert time.monotonic() - asked_s < 8
        await feeding
        before = await published(settings)
        await workers.start()
        ledger = await settled(settings, market.real)
        assert ledger.steps_back == 0
        assert before.rows < ledger.rows


async def test_workers_come_and_go_by_term_and_by_kill(settings, tmp_path) -> None:
    market = Market(seed=5)
    async with (
        Workers(settings, tmp_path, *SHORT_SESSION) as workers,
        Feed(settings, market) as feed,
    ):
        feeding = asyncio.create_task(feed.send(6_000, per_s=500))
        first = await workers.start()
        second = await workers.start()
        await asyncio.sleep(1.0)
        await first.stop(20)
        assert exit_code(first) == 0
        third = await workers.start()
        await asyncio.sleep(1.0)
        second.signal(signal.SIGKILL)
        await feeding
        await settled(settings, market.real)
        assert exit_code(third) is None


async def test_of_two_workers_one_is_killed_and_its_candles_go_on_within_ten_seconds(
    settings, tmp_path
) -> None:
    market = Market(seed=11)
    argv = ("-m", "fibstream", "process", "--workers", "2")
    async with Workers(settings, tmp_path, *argv) as workers, Feed(settings, market) as feed:
        parent = await workers.start()
        feeding = asyncio.create_task(feed.send(6_000, per_s=300))
        await asyncio.sleep(3)
        os.kill(pid_of(tmp_path / "worker-0.log", "process-2"), signal.SIGKILL)
        killed_s = time.monotonic()
        await candles_made_of(settings, await ends_of_trades(settings))
        took_s = time.monotonic() - killed_s
        assert took_s < 10, took_s
        await feeding
        ledger = await settled(settings, market.real)
        assert len(ledger.final) > 1_000
        parent.signal(signal.SIGTERM)  # passed on to both
        await asyncio.wait_for(parent.ended(), 20)
        assert exit_code(parent) == 0
        await read_to_the_end(settings)


def pid_of(log: Path, child: str) -> int:
    """Return the process of a child, as its supervisor told."""
    told = [json.loads(line) for line in log.read_text().splitlines() if "child_ready" in line]
    return next(int(line["pid"]) for line in told if line["child"] == child)


async def candles_made_of(settings: Settings, ends: dict[int, int]) -> None:
    """Wait until each partition has a candle that a trade at or behind these offsets changed."""
    left = dict(ends)
    async with asyncio.timeout(60), Reader(settings, KLINES.name) as reader:
        while left:
            for record in await reader.rest():
                rows = decode_klines(record.value).data
                if max(row.rev for row in rows) >= left.get(record.partition, 2**62):
                    del left[record.partition]
            await asyncio.sleep(0.05)


async def ends_of_trades(settings: Settings) -> dict[int, int]:
    records = await read_topic(settings, TRADES.name)
    return {record.partition: record.offset + 1 for record in records}


async def test_a_frozen_worker_that_wakes_up_harms_nothing(settings, tmp_path) -> None:
    """Its partitions went to another; what it still holds must not reach the changelog."""
    market = Market(seed=6)
    async with Workers(settings, tmp_path) as workers, Feed(settings, market) as feed:
        frozen = await workers.start()
        other = await workers.start()
        feeding = asyncio.create_task(feed.send(2_500, per_s=900))
        await asyncio.sleep(1.5)
        frozen.signal(signal.SIGSTOP)
        await feeding
        await settled(settings, market.real)  # the other one has taken over
        frozen.signal(signal.SIGCONT)
        await asyncio.wait_for(frozen.ended(), 10)
        assert exit_code(frozen) == EXIT_LOST
        other.signal(signal.SIGKILL)
        await other.ended()
        await workers.start()  # lives on what the changelog holds
        await feed.send(600)
        await settled(settings, market.real)


async def test_open_candles_of_quiet_symbols_close_by_the_clock_after_a_restart(
    kafka_bootstrap, topic_prefix, tmp_path, producer
) -> None:
    settings = worker_settings(
        kafka_bootstrap, topic_prefix, tmp_path, kline_intervals=("10s",), checkpoint_interval_ms=50
    )
    async with Workers(settings, tmp_path, *SHORT_SESSION) as workers:
        worker = await workers.start()
        now_ms = time.time_ns() // 1_000_000
        group = SymbolTrades("S", 0, 0, [1], [now_ms], [5], [7], 1)
        batch = TradeBatch("binance", "spot", "live", now_ms * 1_000_000, [group])
        topic = topic_prefix + TRADES.name
        await producer.send_and_wait(topic, encode_batch(batch), partition=0)
        await read_to_the_end(settings)
        worker.signal(signal.SIGKILL)
        await worker.ended()
        await workers.start()
        ledger = await settled(settings, {("binance", "spot", "S"): {T(1, now_ms, 5, 7, 1)}})
        ((candle, row),) = ledger.final.items()
        assert candle == ("binance", "spot", "S", Interval(10_000), now_ms - now_ms % 10_000)
        assert (row.rev, row.closed, row.quality) == (0, True, "assumed")
        assert time.time_ns() // 1_000_000 >= row.timestamp + 10_000


async def test_records_that_cannot_be_read_become_dead_letters_and_stop_nobody(
    settings, tmp_path, producer
) -> None:
    market = Market(seed=7)
    empty = b'{"v":1,"exchange":"b","channel":"spot","source":"live","recv_ns":1,"symbols":[]}'
    poison = [b"no json", empty, None, b"x" * 900_000, b'{"v":1,"exchange":1}']
    async with Workers(settings, tmp_path) as workers, Feed(settings, market) as feed:
        await workers.start()
        await feed.send(150)
        topic = settings.kafka_topic_prefix + TRADES.name
        for value in poison:
            await producer.send_and_wait(topic, value, key=b"k", partition=1)
        await feed.send(150)
        await settled(settings, market.real)
        found = await read_topic(settings, DEAD_LETTERS.name)
    letters = [decode_dead_letter(record.value) for record in found]
    whole = [b"no json", empty, b"", b"x" * (600 << 10), poison[4]]
    assert [letter.payload for letter in letters] == whole
    assert "900000" in letters[3].reason


async def test_a_topic_made_anew_is_refused_and_not_taken_for_repeats(settings, tmp_path) -> None:
    market = Market(seed=8)
    async with Workers(settings, tmp_path) as workers, Feed(settings, market) as feed:
        await feed.send(300)
        worker = await workers.start()
        await read_to_the_end(settings)
        await worker.stop(20)
        topic = settings.kafka_topic_prefix + TRADES.name
        admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap)
        await admin.start()
        await admin.delete_topics([topic])
        await admin.close()
        await asyncio.sleep(0.5)
        await create_topics(settings)
        worker = await workers.start(ready=False)
        with pytest.raises(Misconfigured, match="read up to"):
            await worker.ready()
        await asyncio.wait_for(worker.ended(), 20)
        assert exit_code(worker) == 2


async def test_a_worker_alone_makes_the_topics_it_needs(settings, tmp_path) -> None:
    market, workers = Market(seed=9), Workers(settings, tmp_path)
    worker = await workers.start()  # not entered: nobody else has made them
    try:
        async with Feed(settings, market) as feed:
            await feed.send(150)
            await settled(settings, market.real)
    finally:
        await worker.stop(0)


async def test_an_outage_of_the_broker_ends_in_exact_candles(topic_prefix, tmp_path) -> None:
    """The worker may die of it, as often as it likes; and it stops in time without its broker."""
    port = free_port()
    kafka = EmbeddedKafka(tmp_path / "kafka", port=port, heap_mb=256)
    settings = worker_settings(await kafka.start(), topic_prefix, tmp_path)
    market = Market(seed=10)
    spec = ChildSpec(
        name="worker", argv=Workers(settings, tmp_path).argv, env=settings.environment()
    )
    backoff = Backoff(first_s=0.1, max_s=0.5)
    await create_topics(settings)
    try:
        async with Supervisor([spec], data_dir=tmp_path, backoff=backoff) as supervisor:
            await supervisor.start()
            async with Feed(settings, market) as feed:
                feeding = asyncio.create_task(feed.send(3_500, per_s=700))
                await asyncio.sleep(1.5)
                await kafka.stop()
                await asyncio.sleep(2.0)
                kafka = EmbeddedKafka(tmp_path / "kafka", port=port, heap_mb=256)
                await kafka.start()
                await feeding
            ledger = await settled(settings, market.real)
            assert len(ledger.final) > 1_000
            await kafka.stop()
            asked_s = time.monotonic()
        assert time.monotonic() - asked_s < 20
    finally:
        await kafka.stop()
