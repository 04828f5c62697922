"""Prices, candles and gaps from Kafka, without a group and without commits.

Every start reads prices and gaps from their beginning, and as much of the candles as the rules
need: the machine knows what it has judged, so reading again is harmless.
"""

import time
from typing import Any

import msgspec
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from runtime.errors import Retriable
from runtime.kafka import close_consumer
from runtime.settings import Settings
from schemas.klines import decode_gaps, decode_klines, decode_prices
from schemas.topics import GAPS, KLINES, PRICES
from sinks import topics
from sinks.alerts import metrics
from sinks.alerts.machine import Machine

logger = structlog.get_logger(__name__)

READ = (PRICES, KLINES, GAPS)
POLL_MS = 100
POLL_RECORDS_MAX = 1_000
FETCH_WAIT_MS = 50
RETRY_AFTER_S = 1.0


class Feed:
    """``open``, then ``step`` again and again, at last ``close``."""

    def __init__(self, settings: Settings, machine: Machine) -> None:
        self._settings = settings
        self._machine = machine
        self._topics = {settings.kafka_topic_prefix + topic.name: topic.name for topic in READ}
        self._consumer: Any = None
        self._candles: list[TopicPartition] = []
        self._behind: dict[TopicPartition, int] = {}
        self._lookback_ms = 0

    async def open(self) -> None:
        """Connect, and begin at the beginning; raise Retriable while Kafka is away."""
        await topics.ensure(self._settings, READ)
        consumer = self._consumer = AIOKafkaConsumer(
            *self._topics,  # without a group it is assigned every partition
            bootstrap_servers=self._settings.kafka_bootstrap,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=FETCH_WAIT_MS,
        )
        try:
            await consumer.start()
            partitions = list(consumer.assignment())
            self._candles = [tp for tp in partitions if self._topics[tp.topic] == KLINES.name]
            others = [tp for tp in partitions if tp not in self._candles]
            await consumer.seek_to_beginning(*others)
            await consumer.seek_to_end(*self._candles)
            consumer.pause(*self._candles)
            starts = await consumer.beginning_offsets(others)
            ends = await consumer.end_offsets(others)
        except KafkaError as e:
            raise Retriable(f"Kafka: {e!r}", retry_after_s=RETRY_AFTER_S) from e
        self._behind = {tp: end for tp, end in ends.items() if end > starts[tp]}

    async def close(self) -> None:
        """Disconnect."""
        if self._consumer is not None:
            await close_consumer(self._consumer)

    @property
    def is_caught_up(self) -> bool:
        """Say whether all was read that was there at the start: then the clock may judge."""
        return not self._behind

    async def look_back(self, lookback_ms: int) -> None:
        """Read candles from so far back on; 0: none are needed. Raise Retriable."""
        if lookback_ms == 0:
            self._consumer.pause(*self._candles)
        else:
            since_ms = time.time_ns() // 1_000_000 - lookback_ms
            try:
                found = await self._consumer.offsets_for_times(
                    dict.fromkeys(self._candles, since_ms)
                )
                ends = await self._consumer.end_offsets(self._candles)
            except KafkaError as e:
                raise Retriable(f"Kafka: {e!r}", retry_after_s=RETRY_AFTER_S) from e
            for tp in self._candles:
                self._consumer.seek(tp, found[tp].offset if found[tp] else ends[tp])
            self._consumer.resume(*self._candles)

    async def step(self) -> None:
        """Let the machine judge what comes within a moment."""
        try:
            polled = await self._consumer.getmany(timeout_ms=POLL_MS, max_records=POLL_RECORDS_MAX)
            for tp, messages in polled.items():
                topic = self._topics[tp.topic]
                metrics.RECORDS.labels(topic).inc(len(messages))
                for message in messages:
                    if message.value is not None:
                        self._take(topic, message)
            for tp, end in list(self._behind.items()):
                if await self._consumer.position(tp) >= end:
                    del self._behind[tp]
        except KafkaError as e:
            if not e.retriable:
                raise
            raise Retriable(f"Kafka: {e!r}", retry_after_s=RETRY_AFTER_S) from e

    def _take(self, topic: str, message: Any) -> None:
        try:
            if topic == PRICES.name:
                prices = decode_prices(message.value)
                for price in prices.data:
                    market = (prices.exchange, prices.channel, price.symbol)
                    self._machine.take_price(market, price)
            elif topic == KLINES.name:
                candles = decode_klines(message.value)
                for candle in candles.data:
                    if candle.closed:
                        market = (candles.exchange, candles.channel, candle.symbol)
                        self._machine.take_candle(market, candle)
            else:
                self._machine.gaps.take(decode_gaps(message.value), message.timestamp)
        except msgspec.MsgspecError as e:
            metrics.REFUSED.labels(topic).inc()
            where = f"{message.topic}/{message.partition}/{message.offset}"
            logger.warning("record_refused", record=where, reason=str(e))
