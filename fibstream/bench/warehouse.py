"""``fibstream bench warehouse``: from the trades topic into ClickHouse, and what is asked of it.

The sink is the real process on one core; the clock runs between two commits that the broker shows,
so starting and joining the group are not in it, and merges in the background are.
"""

import asyncio
import os
import platform
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import clickhouse_connect
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from fibstream.bench.broker import own_broker, producing
from fibstream.bench.footprint import Footprint, footprint
from fibstream.bench.warehouse_load import Month, records
from fibstream.bench.warehouse_queries import candle_inserts, measure
from fibstream.topics import create_topics
from runtime.child import ChildSpec
from runtime.settings import Settings
from runtime.supervisor import Supervisor
from schemas.topics import TRADES
from sinks.clickhouse.store import EMBEDDED_DATABASE, address_of

PARTITIONS = 12
SINK = "clickhouse"
GROUP = "fibstream.sink.clickhouse"
POLL_S = 0.05
WITHIN_S = 600.0
SETTLED_WITHIN_S = 60.0  # merges after the last insert
FREE_MB_MIN = 4_096

# What a system of this kind is known to reach, and the limits that this one must keep.
SEED_ROWS = {
    "insert_rows_per_s": 125_000.0,
    "month_1m_ms": 150.0,
    "latency_p50_ms": 100.0,
}
LIMITS = {
    "month_1m_ms": 25.0,
    "month_1m_from_trades_ms": 60.0,
    "year_173m_ms": 50.0,
    "all_symbols_24h_1h_ms": 100.0,
    "peak_rss_mb": 1_536.0,
    "bytes_per_trade": 12.0,
}
INSERT_ROWS_PER_S_MIN = 800_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How much."""

    trades: int = 10_000_000
    symbols: int = 100
    days: int = 30


class Sample(NamedTuple):
    """What the broker knew to be committed, and what that had cost the sink."""

    at_s: float
    records: int
    used: Footprint


async def bench_warehouse(
    settings: Settings, load: Load, latency: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Insert a month, then ask; ``ok`` says whether every limit is kept.

    ``latency`` is the report of ``fibstream bench latency``, for the table of seed rows.
    """
    month = Month(load.trades, load.symbols, load.days, PARTITIONS)
    async with own_broker(settings, PARTITIONS, free_mb_min=FREE_MB_MIN) as found:
        own = found.model_copy(update={"clickhouse_url": "", "clickhouse_http_port": 0})
        produced = await _produce(own, month)
        async with _sink(own) as (pid, port):
            report = await _inserted(own, pid, port, produced)
            inserting = footprint(pid)
        await asyncio.to_thread(_make_candles, own, month)
        async with _sink(own, on_one_core=False) as (pid, port):
            report |= await asyncio.to_thread(measure, own, port, pid, month)
            report["peak_rss_mb"] = round(max(inserting.peak_rss_mb, footprint(pid).peak_rss_mb))
    report |= headline(report)
    if latency is not None:
        report["latency_p50_ms"] = latency["latency_ms"]["p50"]
    report["ok"] = is_ok(report)
    return report | {"seed_rows": seed_rows(report), "machine": _machine()}


def headline(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return one figure a question: the query API's, or plain SQL's where only that is in time.

    ``headline_by`` says which; both stand in the report.
    """
    found: dict[str, Any] = {}
    by: dict[str, str] = {}
    for name, api_ms in report["api_ms"].items():
        sql_ms = report["sql_ms"][name]
        limit_ms = LIMITS.get(name, 0.0)
        by[name] = "sql" if api_ms > limit_ms and sql_ms <= limit_ms else "api"
        found[name] = sql_ms if by[name] == "sql" else api_ms
    return found | {"headline_by": by}


def rate(samples: Sequence[Sample], trades: int, ends: int) -> tuple[float, float]:
    """Return trades a second, and CPU seconds a million, between the first sample and the last.

    ``trades`` are those of all ``ends`` records.
    """
    first, last = samples[0], samples[-1]
    of_span = (last.records - first.records) * trades / ends
    spent_s = last.used.cpu_s - first.used.cpu_s
    return of_span / (last.at_s - first.at_s), spent_s / of_span * 1e6


def is_ok(report: Mapping[str, Any]) -> bool:
    """Say whether every limit is kept."""
    return (
        report["insert_rows_per_s"] >= INSERT_ROWS_PER_S_MIN
        and report["trades_stored"] == report["trades"]
        and all(report[name] <= limit for name, limit in LIMITS.items())
    )


def seed_rows(report: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Return the figures of the systems before, ours, and by how much these are better."""
    rows = {}
    for name, seed in SEED_ROWS.items():
        if name not in report:
            continue
        ours = report[name]
        factor = ours / seed if name.endswith("per_s") else seed / ours
        rows[name] = {"seed": seed, "ours": ours, "factor": round(factor, 1)}
    return rows


async def _produce(settings: Settings, month: Month) -> int:
    await create_topics(settings)
    topic, produced = settings.kafka_topic_prefix + TRADES.name, 0
    async with producing(settings.kafka_bootstrap) as producer:
        for made in records(month):
            await producer.send(topic, made.value, partition=made.partition)
            produced += made.trades
    return produced


@asynccontextmanager
async def _sink(settings: Settings, *, on_one_core: bool = True) -> AsyncIterator[tuple[int, int]]:
    """Run the sink; yield its process and the port that answers SQL, once it has joined."""
    spec = ChildSpec(
        name=SINK,
        argv=[sys.executable, "-m", "fibstream", "sink", SINK],
        env=settings.environment(),
        ready_timeout_s=90,
    )
    async with Supervisor([spec], data_dir=settings.data_dir) as supervisor:
        starting = asyncio.create_task(supervisor.start())
        while not starting.done():
            await asyncio.sleep(POLL_S)
            if on_one_core:
                _keep_to_one_core(supervisor)
        await starting
        yield supervisor.pid(SINK), int(supervisor.facts[SINK]["http_port"])


def _keep_to_one_core(supervisor: Supervisor) -> None:
    """Put every thread on one core; those that they start stay there."""
    core = min(os.sched_getaffinity(0))
    try:
        for task in Path(f"/proc/{supervisor.pid(SINK)}/task").iterdir():
            os.sched_setaffinity(int(task.name), {core})
    except ProcessLookupError:
        return  # not yet, or a thread that is over


async def _inserted(settings: Settings, pid: int, port: int, produced: int) -> dict[str, Any]:
    """Wait until every trade is committed; return how fast that was."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap)
    await admin.start()
    try:
        ends, samples = await _commits(settings, admin, pid)
    finally:
        await admin.close()
    rows_per_s, cpu_s = rate(samples, produced, ends)
    stored, bytes_per_trade = await asyncio.to_thread(_stored, port)
    return {
        "insert_rows_per_s": round(rows_per_s),
        "insert_cpu_s_per_million": round(cpu_s, 3),
        "trades": produced,
        "trades_stored": stored,
        "bytes_per_trade": bytes_per_trade,
        "inserting_peak_rss_mb": round(samples[-1].used.peak_rss_mb),
    }


async def _commits(
    settings: Settings, admin: AIOKafkaAdminClient, pid: int
) -> tuple[int, list[Sample]]:
    """Return how many records there are, and a sample at every commit until all are committed."""
    topic, group = (settings.kafka_topic_prefix + name for name in (TRADES.name, GROUP))
    partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
    async with AIOKafkaConsumer(bootstrap_servers=settings.kafka_bootstrap) as consumer:
        ends = sum((await consumer.end_offsets(partitions)).values())
    samples: list[Sample] = []
    deadline_s = time.monotonic() + WITHIN_S
    while not samples or samples[-1].records < ends:
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"{samples[-1:]} of {ends} records within {WITHIN_S:g} s")
        await asyncio.sleep(POLL_S)
        found = await admin.list_consumer_group_offsets(group, partitions=partitions)
        records = sum(max(0, each.offset) for each in found.values())
        if records and (not samples or records > samples[-1].records):
            samples.append(Sample(time.monotonic(), records, footprint(pid)))
    if len(samples) < 2:
        raise RuntimeError("everything was one commit: give it more trades")
    return ends, samples


def _stored(port: int) -> tuple[int, float]:
    """Return how many different trades there are and, once merges rest, the bytes of each."""
    client = clickhouse_connect.get_client(host="127.0.0.1", port=port, database=EMBEDDED_DATABASE)
    deadline_s = time.monotonic() + SETTLED_WITHIN_S
    while time.monotonic() < deadline_s:
        if not client.query("SELECT count() FROM system.merges").result_rows[0][0]:
            break
        time.sleep(POLL_S)
    trades = client.query("SELECT count() FROM trades_unique").result_rows[0][0]
    size = client.query(
        "SELECT sum(bytes_on_disk) / sum(rows) FROM system.parts WHERE active AND table = 'trades'"
    ).result_rows[0][0]
    client.close()
    return int(trades), round(float(size), 2)


def _make_candles(settings: Settings, month: Month) -> None:
    """Put candles beside the trades while the sink is not there: one process has one engine."""
    client = clickhouse_connect.get_client(
        interface="chdb", path=str(address_of(settings).path), database=EMBEDDED_DATABASE
    )
    try:
        for statement in candle_inserts(month):
            client.command(statement)
    finally:
        client.close()


def _machine() -> dict[str, Any]:
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    return {
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)),
        "load_1m": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
    }
