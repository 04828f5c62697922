"""Thirty holes of all kinds, healed by the real processes; also while these are killed."""

import asyncio
import json

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient

from fibstream.bench import history_gaps as gaps
from fibstream.bench.broker import own_broker
from fibstream.bench.history import bench_history
from fibstream.bench.history_scene import (
    PARTITIONS,
    Load,
    bench_settings,
    feed,
    no_file,
    past_options,
    running,
    unread,
    verify,
)
from fibstream.bench.history_truth import read
from fibstream.bench.history_verdict import verified
from runtime.settings import Settings
from simulator import Simulator

pytestmark = [pytest.mark.integration, pytest.mark.soak, pytest.mark.timeout(900)]


CANDLES_IN_DOUBT_MAX = 20


async def healed(**load) -> dict:
    report = await bench_history(Settings(), Load(within_s=600, with_speed=False, **load))
    assert [report[name] for name in ("lost", "doubled", "unlike")] == [0, 0, 0]
    assert [report[name] for name in ("wrong", "absent", "too_many")] == [0, 0, 0]
    assert (report["gaps"], report["healed"]) == (30, 29)
    assert len(report["unrecoverable"]) == 1
    assert min(report["candles"].values()) > 40
    assert report["repeated"] > 0
    return report


async def test_every_candle_of_thirty_holes_equals_the_truth():
    report = await healed(trades=30_000)
    assert (report["ok"], report["told"]) == (True, [])
    assert report["kills"] == {}


async def test_more_holes_than_the_engine_remembers_are_healed_too():
    report = await healed(trades=60_000, with_crowd=True)
    # Of what it forgot the engine knows only from when to when: a few candles say too little.
    assert report["unproven"] < CANDLES_IN_DOUBT_MAX
    assert report["punched"] - sum(report["ids_by_kind"].values()) == 300


async def test_kills_in_the_middle_change_nothing():
    report = await healed(trades=300_000, kills=10)
    assert (report["ok"], report["told"]) == (True, [])
    assert sum(report["kills"].values()) == 10
    assert len(report["kills"]) == 5


async def everything_read(settings: Settings) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap)
    await admin.start()
    async with AIOKafkaConsumer(bootstrap_servers=settings.kafka_bootstrap) as consumer:
        while (await unread(settings, admin, consumer))[0]:  # noqa: ASYNC110 - Kafka has no event
            await asyncio.sleep(0.5)
    await admin.close()


async def test_verify_repairs_what_no_worker_has_told():
    """No worker runs: only `verify` sees the holes, and only recovery fills them."""
    async with (
        own_broker(Settings(), PARTITIONS) as found,
        Simulator(past_options(Load(trades=30_000))) as sim,
    ):
        sim.stop()
        settings, every = bench_settings(found, sim), read(sim)
        # Verify leaves the newest minute alone.
        holes = [h for h in gaps.punch(every, 7) if h.kind not in ("newest", "burst")]
        lost = gaps.masks(every, [hole for hole in holes if hole.kind == "unrecoverable"])
        for fault in gaps.faults(holes):
            sim.archive.troubles.change(no_file(fault), sim.markets)
        await feed(settings, every, gaps.masks(every, holes))
        async with running(settings, ("warehouse", "recovery")), asyncio.timeout(400):
            await everything_read(settings)
            told = await verify(settings)
        assert json.loads(told)["told"] == len(holes)
        assert verified(told, lost, every) == []
