"""What integrity says and hears on topics: gaps, each once, and the periods that it looked at."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka import errors as kafka_errors

from runtime.errors import Retriable
from runtime.follow import Follower
from runtime.kafka import close_consumer, ensure_topics, producer_options, topic_specs
from runtime.settings import Settings
from schemas.integrity import IntegrityEnvelope, encode_integrity
from schemas.klines import Gap, GapEnvelope, decode_gaps
from schemas.recovery import Recovery, decode_progress
from schemas.topics import GAPS, INTEGRITY, RECOVERY, symbol_key
from sinks.integrity.judgement import Verdict
from sinks.integrity.ranges import Missing
from sinks.integrity.warehouse import Market, Told

ROWS_MAX = 500  # of one record
POLL_MS = 500
RETRY_AFTER_S = 1.0
# The sink brings what is told into the warehouse; what it has not yet is read from the topic.
LATELY_MS = 6 * 3_600_000


class Teller:
    """Every method raises Retriable while Kafka is away."""

    def __init__(self, settings: Settings, producer: AIOKafkaProducer) -> None:
        self._settings = settings
        self._producer = producer

    @classmethod
    async def connect(cls, settings: Settings) -> "Teller":
        """Make the topics where they are missing, and connect."""
        bootstrap = settings.kafka_bootstrap
        await ensure_topics(bootstrap, topic_specs(settings, (GAPS, INTEGRITY, RECOVERY)))
        producer = AIOKafkaProducer(bootstrap_servers=bootstrap, **producer_options())
        try:
            await producer.start()
        except kafka_errors.KafkaError as e:
            await producer.stop()
            raise _sorted(e) from e
        return cls(settings, producer)

    async def close(self) -> None:
        """Disconnect."""
        await self._producer.stop()

    async def tell(self, market: Market, verdict: Verdict, missing: Sequence[Missing]) -> None:
        """Tell what is missing, then what was looked at; return when both are acknowledged."""
        key = symbol_key(*market, verdict.symbol)
        # A kill between the two leaves the gaps told and the periods to be looked at again.
        await self._send(GAPS.name, key, gap_records(market, verdict, missing))
        await self._send(INTEGRITY.name, key, row_records(market, verdict))

    async def _send(self, topic: str, key: bytes, values: Iterator[bytes]) -> None:
        name = self._settings.kafka_topic_prefix + topic
        try:
            sent = [await self._producer.send(name, value, key=key) for value in values]
            await asyncio.gather(*sent)
        except kafka_errors.KafkaError as e:
            raise _sorted(e) from e


def gap_records(market: Market, verdict: Verdict, missing: Sequence[Missing]) -> Iterator[bytes]:
    """Yield what is missing as records of ``md.gaps.v1``."""
    for at in range(0, len(missing), ROWS_MAX):
        data = [
            Gap(verdict.symbol, *gap, missing=gap.ids, state="found", rev=verdict.rev)
            for gap in missing[at : at + ROWS_MAX]
        ]
        yield msgspec.json.encode(GapEnvelope(market.exchange, market.channel, data))


def row_records(market: Market, verdict: Verdict) -> Iterator[bytes]:
    """Yield what was looked at as records of ``md.integrity.v1``."""
    for at in range(0, len(verdict.rows), ROWS_MAX):
        rows = verdict.rows[at : at + ROWS_MAX]
        yield encode_integrity(IntegrityEnvelope(market.exchange, market.channel, rows))


async def given_up(settings: Settings) -> dict[Market, list[Told]]:
    """Return the ids that recovery could get nowhere, as it wrote them down for good."""
    found: dict[bytes, Recovery] = {}

    def take(_topic: str, key: bytes | None, value: bytes | None) -> None:
        found.pop(key or b"", None)
        try:
            progress = decode_progress(value) if value else None
        except msgspec.MsgspecError:
            return  # recovery counts it
        if isinstance(progress, Recovery) and progress.state == "unrecoverable":
            found[key or b""] = progress

    topic = settings.kafka_topic_prefix + RECOVERY.name
    async with Follower(settings.kafka_bootstrap, [topic], take) as follower:
        await follower.ready()
    ranges: dict[Market, list[Told]] = {}
    for gap in found.values():
        rows = ranges.setdefault(Market(gap.exchange, gap.channel), [])
        rows += [Told(gap.symbol, first, last, "unrecoverable") for first, last in gap.left]
    return ranges


async def told_lately(settings: Settings, now_ms: int) -> dict[Market, list[tuple[Told, int]]]:
    """Return what ``md.gaps.v1`` said of ids within ``LATELY_MS``, in order, and when."""
    consumer = AIOKafkaConsumer(
        settings.kafka_topic_prefix + GAPS.name,
        bootstrap_servers=settings.kafka_bootstrap,
        enable_auto_commit=False,
    )
    try:
        await consumer.start()
        return await _read(consumer, now_ms - LATELY_MS)
    except kafka_errors.KafkaError as e:
        raise _sorted(e) from e
    finally:
        await close_consumer(consumer)


async def _read(consumer: Any, since_ms: int) -> dict[Market, list[tuple[Told, int]]]:
    found: dict[Market, list[tuple[Told, int]]] = {}
    partitions = consumer.assignment()
    ends = await consumer.end_offsets(partitions)
    starts = await consumer.offsets_for_times(dict.fromkeys(partitions, since_ms))
    for tp in partitions:
        consumer.seek(tp, starts[tp].offset if starts.get(tp) else ends[tp])
    while any([await consumer.position(tp) < end for tp, end in ends.items()]):
        for records in (await consumer.getmany(timeout_ms=POLL_MS)).values():
            for record in records:
                _take(record.value, record.timestamp, found)
    return found


def _take(value: bytes, at_ms: int, found: dict[Market, list[tuple[Told, int]]]) -> None:
    try:
        envelope = decode_gaps(value)
    except msgspec.MsgspecError:
        return  # the sink sets it aside
    if isinstance(envelope, GapEnvelope):
        rows = found.setdefault(Market(envelope.exchange, envelope.channel), [])
        for gap in envelope.data:
            rows.append((Told(gap.symbol, gap.first_id, gap.last_id, gap.state), at_ms))


def _sorted(e: Exception) -> Exception:
    if getattr(e, "retriable", False) or isinstance(e, kafka_errors.KafkaConnectionError):
        return Retriable(f"Kafka: {e!r}", retry_after_s=RETRY_AFTER_S)
    return e
