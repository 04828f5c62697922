"""``fibstream bench day``: a day of Binance's futures through one worker.

The trades lie on the broker before the clock starts; making them is not timed. Candles of a second
are left out by default: with 700 symbols most of those hold one trade or none, and nobody keeps
30 million of them for a day that is over.
"""

import asyncio
import multiprocessing
import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

from fibstream.bench.broker import own_broker, producing
from fibstream.bench.day_load import Day, records
from fibstream.bench.processor import run_worker
from fibstream.topics import create_topics
from runtime.settings import Settings
from schemas.topics import TRADES

SECONDS_MAX = 60.0
PEAK_RSS_MB_MAX = 600
BYTES_PER_TRADE = 60  # on the broker's disk, compressed, with room
WITHIN_S = 1_800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How much of a day, for how many symbols, into which candles."""

    trades: int = 50_000_000
    symbols: int = 700
    partitions: int = 12
    per_record: int = 5_000
    intervals: Sequence[str] = ("1m", "3m", "5m", "15m", "1h", "4h", "1D", "173m")


async def bench_day(settings: Settings, load: Load) -> dict[str, Any]:
    """Measure; ``seconds`` is the whole day at the rate between first and last checkpoint."""
    settings = settings.model_copy(update={"kline_intervals": tuple(load.intervals)})
    free_mb_min = 1_024 + load.trades * BYTES_PER_TRADE // 2**20
    async with own_broker(settings, load.partitions, free_mb_min=free_mb_min) as found:
        await create_topics(found)
        began_s = time.monotonic()
        produced = await _produce(found, load)
        made_s = time.monotonic() - began_s
        report = await run_worker(found, produced, within_s=WITHIN_S)
    seconds = produced / report["trades_per_s"]
    return report | {
        "seconds": round(seconds, 1),
        "symbols": load.symbols,
        "intervals": list(load.intervals),
        "making_it_s": round(made_s, 1),
        "ok": seconds <= SECONDS_MAX and report["peak_rss_mb"] < PEAK_RSS_MB_MAX,
    }


async def _produce(settings: Settings, load: Load) -> int:
    """Put the day on the trades topic, the partitions shared by a process for each core."""
    day = Day(load.trades, load.symbols, load.partitions, load.per_record)
    topic = settings.kafka_topic_prefix + TRADES.name
    processes = os.cpu_count() or 1
    shares = [range(first, load.partitions, processes) for first in range(processes)]
    loop = asyncio.get_running_loop()
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=spawn) as pool:
        made = [
            loop.run_in_executor(pool, _put, settings.kafka_bootstrap, topic, day, share)
            for share in shares
        ]
        return sum(await asyncio.gather(*made))


def _put(bootstrap: str, topic: str, day: Day, partitions: Sequence[int]) -> int:
    """Make and store some partitions; runs in a process of its own."""

    async def put() -> int:
        produced = 0
        async with producing(bootstrap) as producer:
            for partition in partitions:
                for record in records(day, partition):
                    await producer.send(topic, record.value, partition=partition)
                    produced += record.trades
        return produced

    return asyncio.run(put())
