"""``fibstream bench day``: a day of Binance's futures through one worker.

The trades lie on the broker before the clock starts; making them is not timed. Candles of a second
are left out by default: with 700 symbols most of those hold one trade or none, and nobody keeps
30 million of them for a day that is over.
"""

import asyncio
import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from fibstream.bench.broker import own_broker, producing
from fibstream.bench.day_fold import DIFFERENCES_MAX, Minutes, Told
from fibstream.bench.day_load import Day, records, symbols
from fibstream.bench.processor import run_worker
from fibstream.topics import create_topics
from runtime.errors import Misconfigured
from runtime.settings import Settings
from schemas.intervals import MINUTE_MS, parse_intervals
from schemas.topics import KLINES, TRADES

DAY_TRADES = 50_000_000
SECONDS_MAX = 60.0
PEAK_RSS_MB_MAX = 600
BYTES_PER_TRADE = 60  # on the broker's disk, compressed, with room
WITHIN_S = 1_800.0
READ_WITHIN_S = 600.0

Judged = tuple[int, list[str]]
"""How many candles are right, and what is wrong with others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How much of a day, for how many symbols, into which candles."""

    trades: int = DAY_TRADES
    symbols: int = 700
    partitions: int = 12
    per_record: int = 5_000
    intervals: Sequence[str] = ("1m", "3m", "5m", "15m", "1h", "4h", "1D", "173m")

    def lengths_ms(self) -> list[int]:
        """Return the lengths of the candles that are compared: whole minutes from the epoch."""
        wanted = [i for i in parse_intervals(self.intervals) if not i.anchor]
        lengths = [i.length_ms for i in wanted if i.length_ms % MINUTE_MS == 0]
        if not lengths:
            raise Misconfigured("--intervals", "nothing to compare", remedy="Add one: 1m")
        return lengths


async def bench_day(settings: Settings, load: Load) -> dict[str, Any]:
    """Measure; ``seconds`` is all of it at the rate between first and last checkpoint.

    ``day_s`` is a whole day of 50 M trades at that rate: of fewer trades each costs more, because
    as many candles come of them.
    """
    lengths_ms = load.lengths_ms()
    settings = settings.model_copy(update={"kline_intervals": tuple(load.intervals)})
    free_mb_min = 1_024 + load.trades * BYTES_PER_TRADE // 2**20
    day = Day(load.trades, load.symbols, load.partitions, load.per_record)
    async with own_broker(settings, load.partitions, free_mb_min=free_mb_min) as found:
        await create_topics(found)
        began_s = time.monotonic()
        made = await _by_partition(day, partial(_put, found.kafka_bootstrap, _named(found, TRADES)))
        making_s = time.monotonic() - began_s
        produced = sum(trades for trades, _ in made)
        report = await run_worker(found, produced, within_s=WITHIN_S)
        judge = partial(_judge, found.kafka_bootstrap, _named(found, KLINES), lengths_ms)
        expected = [minutes for _, minutes in made]
        began_s = time.monotonic()
        judged = await _by_partition(day, judge, expected)
        judging_s = time.monotonic() - began_s
    day_s = DAY_TRADES / report["trades_per_s"]
    differences = [text for _, texts in judged for text in texts]
    is_fast = day_s <= SECONDS_MAX and report["peak_rss_mb"] < PEAK_RSS_MB_MAX
    return report | {
        "seconds": round(produced / report["trades_per_s"], 1),
        "day_s": round(day_s, 1),
        "symbols": load.symbols,
        "intervals": list(load.intervals),
        "agents": list(settings.process_agents),
        "candles_right": sum(right for right, _ in judged),
        "differences": differences[:DIFFERENCES_MAX],
        "making_it_s": round(making_s, 1),
        "judging_it_s": round(judging_s, 1),
        "ok": is_fast and not differences,
    }


def _named(settings: Settings, topic: Any) -> str:
    return str(settings.kafka_topic_prefix + topic.name)


async def _by_partition(
    day: Day, work: Callable[..., Any], given: Sequence[Any] | None = None
) -> list[Any]:
    """Do something with each partition, in a process for each core; return what comes of it."""
    loop = asyncio.get_running_loop()
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count() or 1, mp_context=spawn) as pool:
        doing = []
        for partition in range(day.partitions):
            own = () if given is None else (given[partition],)
            doing.append(loop.run_in_executor(pool, work, day, partition, *own))
        return await asyncio.gather(*doing)


def _put(bootstrap: str, topic: str, day: Day, partition: int) -> tuple[int, Minutes]:
    """Make and store a partition; return its trades and their minutes."""

    async def put() -> tuple[int, Minutes]:
        produced, minutes = 0, Minutes(len(symbols(day, partition)))
        async with producing(bootstrap) as producer:
            for record in records(day, partition):
                await producer.send(topic, record.value, partition=partition)
                minutes.add(record)
                produced += record.trades
        return produced, minutes

    return asyncio.run(put())


def _judge(
    bootstrap: str,
    topic: str,
    lengths_ms: Sequence[int],
    day: Day,
    partition: int,
    minutes: Minutes,
) -> Judged:
    """Compare what was published of a partition with the minutes of its trades."""

    async def judge() -> Judged:
        told = Told(symbols(day, partition))
        async with asyncio.timeout(READ_WITHIN_S):
            await _read(bootstrap, TopicPartition(topic, partition), told)
        found = [told.differences(minutes, length_ms) for length_ms in lengths_ms]
        return sum(right for right, _ in found), [text for _, texts in found for text in texts]

    return asyncio.run(judge())


async def _read(bootstrap: str, tp: TopicPartition, told: Told) -> None:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    await consumer.start()
    try:
        consumer.assign([tp])
        await consumer.seek_to_beginning(tp)
        end = (await consumer.end_offsets([tp]))[tp]
        while await consumer.position(tp) < end:
            for messages in (await consumer.getmany(timeout_ms=200)).values():
                told.take(message.value for message in messages)
    finally:
        await consumer.stop()
