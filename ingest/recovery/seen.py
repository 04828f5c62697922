"""Which trades of a symbol the topic holds since some time, where ids prove nothing.

A worker remembers the ids of such venues for 60 s; a trade that it had before and forgot would
count twice, so what is in the topic is not published again: neither what was heard around the gap,
nor what recovery published before it was killed.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import repeat

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from ingest.exchanges.base import TradeRow
from ingest.recovery.delivery import KafkaAway
from runtime.kafka import close_consumer
from schemas.trades import Channel, UnreadableBatch, decode_batch

AROUND_MS = 120_000  # clocks differ, and a trade may arrive late
RECORDS_MAX = 500
POLL_MS = 500


@dataclass(frozen=True, slots=True)
class Series:
    """One symbol's trades, and the partition where they are."""

    exchange: str
    channel: Channel
    symbol: str
    partition: TopicPartition


async def seen_keys(bootstrap: str, series: Series, from_ms: int, to_ms: int) -> set[int | str]:
    """Return the ids of the trades of these times that were published until now."""
    async with _reader(bootstrap, series.partition) as consumer:
        end = (await consumer.end_offsets([series.partition]))[series.partition]
        begin = await _offset_at(consumer, series.partition, from_ms - AROUND_MS)
        if begin is None:
            return set()
        consumer.seek(series.partition, begin)
        times_ms = range(from_ms - AROUND_MS, to_ms + AROUND_MS + 1)
        found: set[int | str] = set()
        while await consumer.position(series.partition) < end:
            polled = await consumer.getmany(timeout_ms=POLL_MS, max_records=RECORDS_MAX)
            for message in polled.get(series.partition, ()):
                found.update(_keys_of(message.value or b"", series, times_ms))
        return found


async def oldest_ms(bootstrap: str, partition: TopicPartition) -> int | None:
    """Return when the oldest record that the partition still has was written."""
    async with _reader(bootstrap, partition) as consumer:
        found = (await consumer.offsets_for_times({partition: 0}))[partition]
        return found.timestamp if found is not None else None


@asynccontextmanager
async def _reader(bootstrap: str, partition: TopicPartition) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    try:
        await consumer.start()
        consumer.assign([partition])
        yield consumer
    except KafkaError as e:
        raise KafkaAway(f"Kafka: {e!r}", retry_after_s=1.0) from e
    finally:
        await close_consumer(consumer)


async def _offset_at(
    consumer: AIOKafkaConsumer, partition: TopicPartition, at_ms: int
) -> int | None:
    found = (await consumer.offsets_for_times({partition: max(0, at_ms)}))[partition]
    return found.offset if found is not None else None


def _keys_of(value: bytes, series: Series, times_ms: range) -> Iterator[int | str]:
    try:
        batch = decode_batch(value)
    except UnreadableBatch:
        return  # its readers set it aside
    if (batch.exchange, batch.channel) != (series.exchange, series.channel):
        return
    for group in batch.symbols:
        if group.symbol == series.symbol:
            keys = zip(group.id, group.uid or repeat(""), group.ts, strict=False)
            yield from (uid or id_ for id_, uid, ts in keys if ts in times_ms)


def unseen(rows: Sequence[TradeRow], seen: set[int | str]) -> list[TradeRow]:
    """Return the rows that are not among them, and note them."""
    fresh = []
    for row in rows:
        key: int | str = row.uid or row.id
        if key not in seen:
            seen.add(key)
            fresh.append(row)
    return fresh
