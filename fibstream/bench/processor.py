"""``fibstream bench processor``: one worker, from the trades topic to candles and changelog.

The rate is taken between the first and the last checkpoint seen, so starting and joining the group
are not in it; CPU is the worker's own, all its threads together.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
from aiokafka import AIOKafkaProducer

from fibstream.bench.load import Shape, records
from fibstream.topics import create_topics
from runtime.child import ChildSpec
from runtime.kafka import producer_options
from runtime.ports import free_port
from runtime.servers.kafka import EmbeddedKafka
from runtime.settings import Settings
from runtime.supervisor import Supervisor
from schemas.topics import TRADES

PARTITIONS = 4
TRADES_OF: Mapping[Shape, int] = {"bulk": 12_000_000, "live": 3_000_000}
POLL_S = 0.25  # each look costs the worker a few milliseconds
WITHIN_S = 300.0


async def bench_processor(settings: Settings) -> dict[str, Any]:
    """Measure both shapes, one after the other, each on a broker of its own."""
    return {shape: await _measure(settings, shape) for shape in TRADES_OF}


async def _measure(settings: Settings, shape: Shape) -> dict[str, float]:
    kafka = EmbeddedKafka(None, heap_mb=settings.kafka_heap_mb)
    with tempfile.TemporaryDirectory(prefix="fibstream-bench-") as folder:
        settings = settings.model_copy(
            update={
                "kafka_bootstrap": await kafka.start(),
                "kafka_partitions": PARTITIONS,
                "data_dir": Path(folder),
                "metrics_port": free_port(),
            }
        )
        try:
            await create_topics(settings)
            produced = await _produce(settings, shape)
            return await run_worker(settings, produced)
        finally:
            await kafka.stop()


async def _produce(settings: Settings, shape: Shape) -> int:
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka_bootstrap, **producer_options() | {"linger_ms": 20}
    )
    await producer.start()
    produced = 0
    try:
        for record in records(shape, TRADES_OF[shape], PARTITIONS):
            topic = settings.kafka_topic_prefix + TRADES.name
            await producer.send(topic, record.value, partition=record.partition)
            produced += record.trades
    finally:
        await producer.stop()
    return produced


async def run_worker(settings: Settings, produced: int) -> dict[str, float]:
    """Let a worker fold what was produced; return its rate and its costs."""
    spec = ChildSpec(
        name="process",
        argv=[sys.executable, "-m", "fibstream", "process"],
        env=settings.environment(),
        ready_timeout_s=90,
    )
    async with Supervisor([spec], data_dir=settings.data_dir) as supervisor:
        starting = asyncio.create_task(supervisor.start())
        try:
            samples = await _sample(settings.metrics_port, produced)
        finally:
            await starting
    (first_s, first), (last_s, last) = samples[0], samples[-1]
    trades = last["trades"] - first["trades"]
    cpu_s = last["cpu_s"] - first["cpu_s"]
    return {
        "trades_per_s": round(trades / (last_s - first_s)),
        "cpu_s_per_million_trades": round(cpu_s / trades * 1e6, 3),
        "trades": int(last["trades"]),
        "records": int(last["records"]),
        "outputs": int(last["outputs"]),
        "rss_mb": round(last["rss"] / 2**20),
    }


async def _sample(port: int, produced: int) -> list[tuple[float, dict[str, float]]]:
    """Return (time, metrics) at every checkpoint, until all trades are folded."""
    samples: list[tuple[float, dict[str, float]]] = []
    deadline_s = time.monotonic() + WITHIN_S
    async with httpx.AsyncClient() as client:
        while not samples or samples[-1][1]["trades"] < produced:
            if time.monotonic() > deadline_s:
                seen = samples[-1][1]["trades"] if samples else 0
                raise TimeoutError(f"{seen:,.0f} of {produced:,} trades within {WITHIN_S:g} s")
            await asyncio.sleep(POLL_S)
            try:
                page = (await client.get(f"http://127.0.0.1:{port}/metrics")).text
            except httpx.TransportError:
                continue  # it is still starting
            found = _metrics(page)
            if samples and found["trades"] < samples[-1][1]["trades"]:
                raise RuntimeError("the worker restarted during the measurement")
            if found["trades"] and (not samples or found["trades"] > samples[-1][1]["trades"]):
                samples.append((time.monotonic(), found))
    return samples


def _metrics(page: str) -> dict[str, float]:
    names = {
        "fibstream_process_trades_total": "trades",
        "fibstream_process_records_total": "records",
        "fibstream_process_outputs_total": "outputs",
        "process_cpu_seconds_total": "cpu_s",
        "process_resident_memory_bytes": "rss",
    }
    found = dict.fromkeys(names.values(), 0.0)
    for line in page.splitlines():
        name = names.get(line.partition(" ")[0].partition("{")[0])
        if name:
            found[name] += float(line.rpartition(" ")[2])
    return found
