"""``fibstream bench close``: how long after its end a closed candle is at a client.

The waiter is in it: the time that a candle waits for late trades after its end.
"""

from collections import defaultdict
from typing import Any

from aiokafka import ConsumerRecord

from fibstream.bench.latency import read_topic
from fibstream.bench.live import Load, Run, live_run, percentiles
from fibstream.truth import Series
from runtime.settings import Settings
from schemas.intervals import Interval
from schemas.klines import decode_klines
from schemas.topics import KLINES

AFTER_WAITER_MS_MAX = 30.0

Key = tuple[Series, Interval, int]


async def bench_close(settings: Settings, load: Load) -> dict[str, Any]:
    """Measure; ``ok`` where 99 of 100 candles come in time."""
    waiter_ms = settings.aggregator_waiter_latency_ms
    async with live_run(settings, load) as run:
        told, seen = await _told(run), _seen(run)
        ends = {key: key[1].end_ms(key[2]) for key in seen}
        both = [key for key in seen if key in told]
        delays = [seen[key] - ends[key] for key in seen]
        found = percentiles(delays)
        p99 = found["p99"]
        return {
            "ok": p99 is not None and p99 <= waiter_ms + AFTER_WAITER_MS_MAX,
            "waiter_ms": waiter_ms,
            "close_delay_ms": found,
            "stages_ms": {
                "end_to_candle": percentiles([told[key] - ends[key] for key in both]),
                "candle_to_client": percentiles([seen[key] - told[key] for key in both]),
            },
            "by_interval_ms": _by_interval(seen, ends),
            "cores": run.cores,
        }


def _seen(run: Run) -> dict[Key, float]:
    """Return when each candle that ended in time was first seen closed, in ms."""
    found: dict[Key, float] = {}
    for at_ns, series, row in run.seen():
        end_ms = row.frame.end_ms(row.timestamp)
        if row.closed and run.from_ns <= end_ms * 1_000_000 < run.to_ns:
            found.setdefault((series, row.frame, row.timestamp), at_ns / 1e6)
    return found


async def _told(run: Run) -> dict[Key, int]:
    """Return when each closed candle first left the worker, in ms."""
    found: dict[Key, int] = {}

    def take(record: ConsumerRecord) -> None:
        envelope = decode_klines(record.value)
        for row in envelope.data:
            series = (envelope.exchange, envelope.channel, row.symbol)
            found.setdefault((series, row.frame, row.timestamp), record.timestamp)

    await read_topic(run, KLINES, take)
    return found


def _by_interval(seen: dict[Key, float], ends: dict[Key, int]) -> dict[str, Any]:
    delays: defaultdict[Interval, list[float]] = defaultdict(list)
    for key, at_ms in seen.items():
        delays[key[1]].append(at_ms - ends[key])
    return {interval.text: percentiles(values) for interval, values in sorted(delays.items())}
