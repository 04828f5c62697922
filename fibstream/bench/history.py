"""``fibstream bench history``: thirty holes in millions of trades, healed by the real processes.

The simulator knows what was traded; the punched trades are on the topic before anything starts.
Then the worker, the warehouse, the recompute worker, recovery and integrity do their work, are
killed if that is wished, and in the end every trade and every closed candle is compared.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from clickhouse_connect.driver.exceptions import ClickHouseError

from fibstream.bench import history_gaps as gaps
from fibstream.bench.broker import own_broker
from fibstream.bench.footprint import footprint
from fibstream.bench.history_scene import (
    FREE_MB_MIN,
    PARTITIONS,
    STAGES,
    Load,
    bench_settings,
    feed,
    no_file,
    past_options,
    running,
    unread,
    verify,
)
from fibstream.bench.history_speed import measure_speed
from fibstream.bench.history_truth import Series, read
from fibstream.bench.history_verdict import Judge, Verdict, verified
from runtime.settings import Settings
from runtime.supervisor import Supervisor
from simulator import Simulator

LOOK_S = 1.0
PAUSES_PER_LOOK = 9
QUIET_LOOKS = 3  # nothing new in so many, and nothing unread
KILL_PAUSE_S = (1.0, 4.0)


async def bench_history(settings: Settings, load: Load) -> dict[str, Any]:
    """Punch, heal and compare; ``ok`` says whether nothing is lost, doubled or wrong."""
    async with (
        own_broker(settings, PARTITIONS, free_mb_min=FREE_MB_MIN) as found,
        Simulator(past_options(load)) as sim,
    ):
        sim.stop()
        own = bench_settings(found, sim)
        every = await asyncio.to_thread(read, sim)
        report = await _healed(own, sim, every, load)
        if load.with_speed:
            report["speed"] = await measure_speed(own)
    return report


async def _healed(
    settings: Settings, sim: Simulator, every: Sequence[Series], load: Load
) -> dict[str, Any]:
    holes = gaps.punch(every, load.seed)
    for fault in gaps.faults(holes):
        sim.archive.troubles.change(no_file(fault), sim.markets)
    gone = gaps.masks(every, holes)
    lost = gaps.masks(every, [hole for hole in holes if hole.kind == "unrecoverable"])
    if load.with_crowd:
        crowded, some = gaps.crowd(every)
        gone[crowded.name] |= some
    sent = await feed(settings, every, gone)
    judge = Judge(settings.clickhouse_http_port, every, lost, holes)
    began_s = time.monotonic()
    async with running(settings, STAGES) as stages, asyncio.timeout(load.within_s):
        kills = await _while_killed(stages, load, _until(judge.missing))
        whole_s = time.monotonic() - began_s
        told = await verify(settings)
        verdict = await _settled(settings, judge)
        settled_s = time.monotonic() - began_s
        healed = await asyncio.to_thread(judge.healed)
        cpu_s = {name: round(footprint(stages.pid(name)).cpu_s, 1) for name in STAGES}
    bad = [*verdict.told, *verified(told, lost, every)]
    nobody = [hole for hole in holes if hole.kind == "unrecoverable"]
    return {
        "ok": verdict.is_right and not bad and len(healed) == len(holes) - len(nobody),
        "gaps": len(holes),
        "healed": len(healed),
        "unrecoverable": [_named(hole) for hole in nobody],
        **verdict.report(),
        "told": bad,
        "kills": dict(kills),
        "symbols": len(every),
        "ids_by_kind": gaps.by_kind(holes),
        **sent,
        "seconds": {"trades_whole": round(whole_s, 1), "candles_right": round(settled_s, 1)},
        "cpu_s": cpu_s,
    }


def _named(hole: gaps.Hole) -> dict[str, Any]:
    first, last = hole.ids
    return {
        "channel": hole.series.channel,
        "symbol": hole.series.symbol,
        "first_id": first,
        "last_id": last,
    }


async def _while_killed(
    stages: Supervisor, load: Load, work: Coroutine[Any, Any, None]
) -> Counter[str]:
    """Do the work, and kill one process after the other meanwhile; all kills happen."""
    chance = random.Random(load.seed)  # noqa: S311 - seeded, not secret
    working = asyncio.ensure_future(work)
    kills: Counter[str] = Counter()
    names = list(STAGES)
    try:
        for number in range(load.kills):
            await asyncio.sleep(chance.uniform(*KILL_PAUSE_S))
            name = names[number % len(names)]
            generation = stages.generation(name)
            stages.kill(name)
            kills[name] += 1
            if number % 2:  # the next one dies while this one starts
                await stages.ready(name, generation + 1)
        await working
    finally:
        working.cancel()
    return kills


async def _until(missing: Callable[[], int]) -> None:
    """Return when no trade is missing that may come."""
    while True:
        began_s = time.monotonic()
        try:
            if not await asyncio.to_thread(missing):
                return
        except (ClickHouseError, OSError):
            pass  # the warehouse is starting
        # The look is a question to the process that writes: most of its time is for writing.
        await asyncio.sleep(max(LOOK_S, PAUSES_PER_LOOK * (time.monotonic() - began_s)))


async def _settled(settings: Settings, judge: Judge) -> Verdict:
    """Return the verdict once everything is read, written, and quiet."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap)
    await admin.start()
    try:
        async with AIOKafkaConsumer(bootstrap_servers=settings.kafka_bootstrap) as consumer:
            seen: list[int] = []
            quiet = 0
            while quiet < QUIET_LOOKS:
                await asyncio.sleep(LOOK_S)
                left, ends = await unread(settings, admin, consumer)
                quiet = quiet + 1 if not left and ends == seen else 0
                seen = ends
    finally:
        await admin.close()
    return await asyncio.to_thread(judge.verdict)
