"""The stage of the history benchmark: a simulator with a past, the punched topic, the processes."""

import asyncio
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from fibstream.bench import history_gaps as gaps
from fibstream.bench.broker import producing
from fibstream.bench.history_feed import records
from fibstream.bench.history_truth import CHANNELS, EXCHANGE, Mask, Series
from fibstream.bench.history_verdict import INTERVALS
from fibstream.topics import create_topics
from runtime.child import ChildSpec
from runtime.ports import free_port
from runtime.settings import Settings
from runtime.supervisor import Supervisor
from schemas.intervals import DAY_MS
from schemas.topics import GAPS, KLINES, RECOMPUTE, TRADES, Topic
from schemas.trades import Channel
from simulator import Simulator, SimulatorOptions

PARTITIONS = 4
HISTORY_S = 300
HISTORY_SHARE = 0.05  # of all trades, in bursts
SYMBOLS_MIN, SYMBOLS_MAX = 4, 16  # in each market
TRADES_PER_SYMBOL = 100_000
STAGES: dict[str, tuple[str, ...]] = {
    "warehouse": ("sink", "clickhouse"),
    "worker": ("process",),
    "recompute": ("recompute",),
    "recovery": ("recover",),
    "integrity": ("integrity",),
}
SINK_GROUP, RECOMPUTE_GROUP = "fibstream.sink.clickhouse", "fibstream.recompute"
READY_S = 120.0
FREE_MB_MIN = 8_192


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How much, how many kills, and how long everything may take."""

    trades: int = 10_000_000
    kills: int = 0
    seed: int = 7
    within_s: float = 3_600.0
    with_crowd: bool = False
    with_speed: bool = True


def past_options(load: Load) -> SimulatorOptions:
    """Return a past of about so many trades, ending now."""
    symbols = min(SYMBOLS_MAX, max(SYMBOLS_MIN, load.trades // 2 // TRADES_PER_SYMBOL))
    today_s = time.time() % (DAY_MS // 1_000)
    span_s = gaps.DAYS * DAY_MS / 1_000 + today_s
    return SimulatorOptions(
        seed=load.seed,
        symbols=symbols,
        trades_per_s=load.trades * HISTORY_SHARE / HISTORY_S,
        history_s=HISTORY_S,
        past_days=gaps.DAYS,
        past_trades_per_s=load.trades * (1 - HISTORY_SHARE) / symbols / len(CHANNELS) / span_s,
        linear_horizon_h=gaps.HORIZON_H + today_s / 3_600,
    )


def bench_settings(found: Settings, sim: Simulator) -> Settings:
    """Return the settings of every process, with the simulator as the exchange."""
    urls = {f"exchange_{c}_rest_url": sim.url(c, "rest", exchange=EXCHANGE) for c in CHANNELS}
    return found.model_copy(
        update={
            "exchange": EXCHANGE,
            "exchange_archive_url": sim.archive_url(EXCHANGE),
            "kline_intervals": tuple(INTERVALS),
            "clickhouse_url": "",
            "clickhouse_http_port": free_port(),
            "metrics_port": 0,
            "redis_host": "",
            "recovery_rest_share": 1.0,
            "integrity_every_s": 10,
            **urls,
        }
    )


def no_file(fault: gaps.Fault) -> bytes:
    """Return the wish that the archive has not this file."""
    told = f'"market": "{fault.channel}", "symbol": "{fault.symbol}", "name": "{fault.name}"'
    return f'{{"exchange": "{EXCHANGE}", {told}, "fault": "missing"}}'.encode()


async def feed(
    settings: Settings, every: Sequence[Series], gone: Mapping[tuple[Channel, str], Mask]
) -> dict[str, int]:
    """Put what was heard on the topic; return how much that was."""
    await create_topics(settings)
    topic = settings.kafka_topic_prefix + TRADES.name
    sent: Counter[str] = Counter()
    async with producing(settings.kafka_bootstrap) as producer:
        for fed in records(every, gone, PARTITIONS):
            await producer.send(topic, fed.value, partition=fed.partition)
            sent.update(sent=fed.trades, repeated=fed.repeated, records=1)
    punched = sum(int(mask.sum()) for mask in gone.values())
    return {"traded": sum(len(s.trades.id) for s in every), "punched": punched, **sent}


@asynccontextmanager
async def running(settings: Settings, names: Collection[str]) -> AsyncIterator[Supervisor]:
    """Run these stages."""
    specs = [
        ChildSpec(
            name=name,
            argv=[sys.executable, "-m", "fibstream", *argv],
            env=settings.environment(),
            after=() if name in ("warehouse", "worker", "recovery") else ("warehouse",),
            ready_timeout_s=READY_S,
        )
        for name, argv in STAGES.items()
        if name in names
    ]
    async with Supervisor(specs, data_dir=settings.data_dir) as supervisor:
        await supervisor.start()
        yield supervisor


async def verify(settings: Settings) -> bytes:
    """Return what ``fibstream verify --repair`` says."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "fibstream", "verify", "--json", "--repair", "--within", "300"),
        env=settings.environment() | {"PATH": "/usr/bin:/bin"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, error = await process.communicate()
    if not out:
        raise RuntimeError(f"verify ended with {process.returncode}: {error.decode()[-2_000:]}")
    return out


async def unread(
    settings: Settings, admin: AIOKafkaAdminClient, consumer: AIOKafkaConsumer
) -> tuple[int, list[int]]:
    """Return how many records the readers have before them, and where the topics end."""
    left, every = 0, []
    read_by = {SINK_GROUP: (TRADES, KLINES, GAPS), RECOMPUTE_GROUP: (RECOMPUTE,)}
    for group, topics in read_by.items():
        parts = [part for topic in topics for part in _parts(settings, topic)]
        ends = await consumer.end_offsets(parts)
        found = await admin.list_consumer_group_offsets(
            settings.kafka_topic_prefix + group, partitions=parts
        )
        left += sum(ends[part] - max(0, found[part].offset) for part in parts)
        every += [ends[part] for part in parts]
    return left, every


def _parts(settings: Settings, topic: Topic) -> list[TopicPartition]:
    name = settings.kafka_topic_prefix + topic.name
    return [TopicPartition(name, number) for number in range(topic.partitions or PARTITIONS)]
