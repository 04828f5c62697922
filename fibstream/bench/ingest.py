"""``fibstream bench ingest``: 700 symbols on one core, from the socket to the broker's ack.

Production classes on both sides of a real broker; a frame's latency ends when the record that holds
its trade is acknowledged. ``from_link`` begins where the frame leaves the WebSocket library,
``from_venue`` where the venue wrote it, so that what waits in between is counted too.
"""

import asyncio
import math
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from aiokafka import AIOKafkaProducer

from fibstream.bench.desks import Wanted, running_desk
from fibstream.bench.processor import run_worker
from fibstream.bench.venue import frame, symbols
from fibstream.topics import create_topics
from ingest import publisher
from ingest.exchanges.base import Control, Instrument
from ingest.exchanges.binance import EXCHANGE, LINEAR
from ingest.link import Taker
from runtime import memory
from runtime.child import ChildSpec
from runtime.kafka import partition_for, producer_options
from runtime.ports import free_port
from runtime.servers.kafka import EmbeddedKafka
from runtime.settings import Settings
from runtime.supervisor import Supervisor
from schemas.topics import TRADES, symbol_key

SYMBOLS = 700
PARTITIONS = 12
WARM_S = 15.0  # a young broker elects leaders, and compiles itself while it runs
WARM_S_MAX = 90.0
WARM_BELOW_MS = 500.0
# Where the fields of a frame stand: all its names and numbers before them have one length.
_EXAMPLE = frame("S000USDT", 3_000_000_000, 1_700_000_000_000_000, 1)
STREAM_AT = _EXAMPLE.index(b"s000")
SENT_AT = _EXAMPLE.index(b'"f":') + 4
SENT_DIGITS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What to measure."""

    trades_per_s: float = 20_000.0
    run_for_s: float = 15.0
    ticks_s: Sequence[float] = ()
    """Fixed ticks of the publisher, one run each; empty: its own."""
    with_worker: bool = False
    """Let a worker fold the records afterwards, and say what they cost it."""


class _Stopwatch:
    """Stands before the intake and beside the producer, and times what passes both."""

    def __init__(self, producer: AIOKafkaProducer, topic: str) -> None:
        self.begin()
        self.frames_ever = 0
        self._producer = producer
        self._topic = topic
        self._passed: list[list[tuple[int, bytes]]] = [[] for _ in range(PARTITIONS)]
        self._of = {
            name.lower().encode(): partition_for(symbol_key("binance", "linear", name), PARTITIONS)
            for name in symbols(SYMBOLS)
        }

    def begin(self) -> None:
        """Count from now on."""
        self.link_ms: dict[int, list[float]] = {}
        """By the second of the ack."""
        self.venue_ms: dict[int, list[float]] = {}
        self.ack_ms: dict[int, list[float]] = {}
        self.records = 0
        self.frames = 0

    def before(self, intake: Taker) -> Taker:
        """Return what passes frames on to the intake."""
        of, passed = self._of, self._passed
        stopwatch = self

        class _Passing:
            def take(self, raw: bytes, recv_ns: int, source: str) -> tuple[Sequence[Control], bool]:
                partition = of.get(raw[STREAM_AT : STREAM_AT + 8])
                if partition is not None:
                    stopwatch.frames += 1
                    stopwatch.frames_ever += 1
                    passed[partition].append((recv_ns, raw[SENT_AT : SENT_AT + SENT_DIGITS]))
                return intake.take(raw, recv_ns, source)

            def report(self) -> None:
                intake.report()

        return _Passing()

    async def send(
        self,
        topic: str,
        value: bytes | None = None,
        *,
        key: bytes | None = None,
        partition: int | None = None,
    ) -> asyncio.Future[object]:
        """Hand a record to Kafka; all of its partition that passed is in it."""
        sent_ns = time.time_ns()
        done: asyncio.Future[object] = await self._producer.send(
            topic, value, key=key, partition=partition
        )
        if topic == self._topic and partition is not None:
            passed, self._passed[partition][:] = list(self._passed[partition]), []
            self.records += 1
            done.add_done_callback(lambda _: self._acknowledged(passed, sent_ns))
        return done

    def _acknowledged(self, passed: list[tuple[int, bytes]], sent_ns: int) -> None:
        now_ns = time.time_ns()
        now_s = now_ns // 1_000_000_000
        self.ack_ms.setdefault(now_s, []).append((now_ns - sent_ns) / 1e6)
        self.link_ms.setdefault(now_s, []).extend((now_ns - ns) / 1e6 for ns, _ in passed)
        self.venue_ms.setdefault(now_s, []).extend(now_ns / 1e6 - int(us) / 1e3 for _, us in passed)


async def bench_ingest(settings: Settings, load: Load) -> dict[str, Any]:
    """Measure the publisher's own tick, or each of the fixed ones."""
    if not load.ticks_s:
        return await _measure(settings, load)
    own = publisher.tick_s
    reports = {}
    try:
        for tick_s in load.ticks_s:
            publisher.tick_s = lambda _rows_per_s, _in_flight, tick_s=tick_s: tick_s  # type: ignore[misc]
            reports[f"{1_000 * tick_s:g} ms"] = await _measure(settings, load)
    finally:
        publisher.tick_s = own
    return reports


async def _measure(settings: Settings, load: Load) -> dict[str, Any]:
    async with _servers(settings, load) as found:
        topic = found.kafka_topic_prefix + TRADES.name
        options = {**producer_options(), "linger_ms": 0}
        producer = AIOKafkaProducer(bootstrap_servers=found.kafka_bootstrap, **options)
        await producer.start()
        try:
            report = await _run(found, load, _Stopwatch(producer, topic))
        finally:
            await producer.stop()
        if load.with_worker:
            report["worker"] = await run_worker(found, report["trades_produced"])
        return report


async def _run(settings: Settings, load: Load, stopwatch: _Stopwatch) -> dict[str, Any]:
    wanted = Wanted(
        exchange=EXCHANGE,
        market=LINEAR,
        kind="trades",
        instruments=[_instrument(name) for name in symbols(SYMBOLS)],
        partitions=PARTITIONS,
        taker=stopwatch.before,
    )
    memory.settle()
    async with running_desk(settings, wanted, stopwatch) as desk:
        async with asyncio.timeout(WARM_S_MAX):
            while _slowest(stopwatch.link_ms) > WARM_BELOW_MS:
                stopwatch.begin()
                await asyncio.sleep(WARM_S)
        stopwatch.begin()
        cpu_s, wall_s = time.process_time(), time.monotonic()
        await asyncio.sleep(load.run_for_s)
        cpu_s, wall_s = time.process_time() - cpu_s, time.monotonic() - wall_s
        frames, records = stopwatch.frames, stopwatch.records
        link_ms, venue_ms, ack_ms = stopwatch.link_ms, stopwatch.venue_ms, stopwatch.ack_ms
        sockets = len(desk.feeds)
    return {
        "symbols": SYMBOLS,
        "sockets": sockets,
        "frames_per_s": round(frames / wall_s),
        "records_per_s": round(records / wall_s),
        "cpu_share": round(cpu_s / wall_s, 3),
        "cpu_us_per_frame": round(cpu_s / frames * 1e6, 1),
        "from_link_ms": _percentiles(link_ms),
        "from_venue_ms": _percentiles(venue_ms),
        "producer_ms": _percentiles(ack_ms),
        "trades_produced": stopwatch.frames_ever,
    }


def _percentiles(by_second: dict[int, list[float]]) -> dict[str, float]:
    """Return those of all, and the 99th of the middle second: a machine's hiccups are not in it."""
    found = np.percentile(np.concatenate(list(by_second.values())), [50, 90, 99, 99.9])
    named = dict(zip(("p50", "p90", "p99", "p99.9"), found.round(2).tolist(), strict=True))
    seconds = [float(np.percentile(ms, 99)) for ms in by_second.values()]
    return named | {"p99_of_middle_second": round(median(seconds), 2)}


def _slowest(by_second: dict[int, list[float]]) -> float:
    return max((max(ms) for ms in by_second.values()), default=math.inf)


def _instrument(name: str) -> Instrument:
    return Instrument(
        symbol=name, unified=name, status="TRADING", is_streamed=True, price_scale=2, qty_scale=3
    )


@asynccontextmanager
async def _servers(settings: Settings, load: Load) -> AsyncIterator[Settings]:
    """Yield the settings for a broker and a venue of their own."""
    spec = ChildSpec(
        name="venue",
        argv=[
            *(sys.executable, "-m", "fibstream.bench.venue"),
            *("--symbols", str(SYMBOLS), "--rate", str(load.trades_per_s)),
        ],
    )
    kafka = EmbeddedKafka(None, heap_mb=settings.kafka_heap_mb)
    with TemporaryDirectory(prefix="fibstream-bench-") as folder:
        try:
            found = settings.model_copy(
                update={
                    "kafka_bootstrap": await kafka.start(),
                    "kafka_partitions": PARTITIONS,
                    "data_dir": Path(folder),
                    "metrics_port": free_port(),
                    "redis_url": None,
                }
            )
            await create_topics(found)
            async with Supervisor([spec], data_dir=Path(folder)) as supervisor:
                await supervisor.start()
                url = f"ws://127.0.0.1:{supervisor.facts['venue']['port']}"
                yield found.model_copy(update={"exchange_linear_ws_url": url})
        finally:
            await kafka.stop()
