"""``fibstream bench latency``: from a frame that the exchange sends to a candle at a client.

Every trade counts: its latency ends with the first candle at the client that holds it, so what a
throttle or a queue keeps back is in it. The stages are those of the candles' last trades, told
apart by the times that the records carry; milliseconds, so each is exact to one.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from fibstream.bench.live import Load, Run, Seen, live_run, percentiles
from fibstream.truth import Series
from runtime.settings import Settings
from schemas.klines import decode_klines
from schemas.topics import KLINES_LIVE, TRADES, Topic
from schemas.trades import decode_batch

P50_MS_MAX = 15.0
P99_MS_MAX = 40.0

Id = tuple[Series, int]


class Taken(NamedTuple):
    """When the ingestor had a trade's record, and when it left."""

    recv_ms: float
    sent_ms: int


async def bench_latency(settings: Settings, load: Load) -> dict[str, Any]:
    """Measure; ``ok`` where both targets are met."""
    async with live_run(settings, load) as run:
        taken, told = await _taken(run), await _told(run)
        seen = [one for one in run.seen() if not one.row.closed]
        found = percentiles(latencies(run, seen))
        p50, p99 = found["p50"], found["p99"]
        return {
            "ok": p50 is not None and p50 <= P50_MS_MAX and p99 is not None and p99 <= P99_MS_MAX,
            "trades_per_s": round(_count(run) / ((run.to_ns - run.from_ns) / 1e9)),
            "throttle_ms": load.throttle_ms,
            "latency_ms": found,
            "stages_ms": stages(run, seen, taken, told),
            "cores": run.cores,
        }


def latencies(run: Run, seen: Iterable[Seen]) -> list[float]:
    """Return of every trade sent in time how long it took until a candle held it, in ms."""
    ids: defaultdict[Series, list[int]] = defaultdict(list)
    times: defaultdict[Series, list[int]] = defaultdict(list)
    for one in seen:
        known = ids[one.series]
        if not known or one.row.last_id > known[-1]:
            known.append(one.row.last_id)
            times[one.series].append(one.at_ns)
    found = []
    for series, trades in run.trades.items():
        for trade in trades:
            if run.from_ns <= trade.sent_ns < run.to_ns:
                at = bisect_left(ids[series], trade.id)
                if at < len(ids[series]):
                    found.append((times[series][at] - trade.sent_ns) / 1e6)
    return found


def stages(
    run: Run, seen: Iterable[Seen], taken: Mapping[Id, Taken], told: Mapping[Id, int]
) -> dict[str, Any]:
    """Return how the time of the candles at the client divides."""
    sent_ns = {(s, t.id): t.sent_ns for s, trades in run.trades.items() for t in trades}
    parts: defaultdict[str, list[float]] = defaultdict(list)
    known: set[Id] = set()
    for at_ns, series, row in seen:
        key = (series, row.last_id)
        sent = sent_ns.get(key, 0)
        if key in known or not run.from_ns <= sent < run.to_ns:
            continue
        known.add(key)
        if key not in taken or key not in told:
            continue
        recv_ms, record_ms = taken[key]
        parts["sent_to_ingest"].append(recv_ms - sent / 1e6)
        parts["ingest_to_record"].append(record_ms - recv_ms)
        parts["record_to_candle"].append(told[key] - record_ms)
        parts["candle_to_client"].append(at_ns / 1e6 - told[key])
        parts["all"].append((at_ns - sent) / 1e6)
    return {name: percentiles(values) for name, values in parts.items()}


def _count(run: Run) -> int:
    return sum(
        run.from_ns <= trade.sent_ns < run.to_ns
        for trades in run.trades.values()
        for trade in trades
    )


async def _taken(run: Run) -> dict[Id, Taken]:
    found: dict[Id, Taken] = {}

    def take(record: ConsumerRecord) -> None:
        batch = decode_batch(record.value)
        taken = Taken(batch.recv_ns / 1e6, record.timestamp)
        for group in batch.symbols:
            series = (batch.exchange, batch.channel, group.symbol)
            found.update(((series, id_), taken) for id_ in group.id)

    await read_topic(run, TRADES, take)
    return found


async def _told(run: Run) -> dict[Id, int]:
    """Return when the first candle left whose last trade has that id."""
    found: dict[Id, int] = {}

    def take(record: ConsumerRecord) -> None:
        envelope = decode_klines(record.value)
        for row in envelope.data:
            series = (envelope.exchange, envelope.channel, row.symbol)
            found.setdefault((series, row.last_id), record.timestamp)

    await read_topic(run, KLINES_LIVE, take)
    return found


async def read_topic(run: Run, topic: Topic, take: Callable[[ConsumerRecord], None]) -> None:
    """Give every record of a topic since the clock began to run."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=run.settings.kafka_bootstrap, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        name = run.settings.kafka_topic_prefix + topic.name
        tps = [TopicPartition(name, n) for n in range(run.settings.kafka_partitions)]
        consumer.assign(tps)
        begin = await consumer.offsets_for_times(dict.fromkeys(tps, run.from_ns // 1_000_000))
        ends = await consumer.end_offsets(tps)
        for tp in tps:
            at = begin[tp]
            consumer.seek(tp, ends[tp] if at is None else at.offset)
        while behind := [tp for tp in tps if await consumer.position(tp) < ends[tp]]:
            for records in (await consumer.getmany(*behind, timeout_ms=200)).values():
                for record in records:
                    take(record)
    finally:
        await consumer.stop()
