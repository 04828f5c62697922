"""Prices, candles and gaps from Kafka, without a group and without commits; none without a rule.

Every start, and the first rule, reads prices and gaps from their beginning, and as much of the
candles as the rules need: the machine knows what it has judged, so reading again is harmless.
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
    """``open``, then ``read`` what rules need, ``step`` again and again, at last ``close``."""

    def __init__(self, settings: Settings, machine: Machine) -> None:
        self._settings = settings
        self._machine = machine
        self._topics = {settings.kafka_topic_prefix + topic.name: topic.name for topic in READ}
        self._consumer: Any = None
        self._candles: list[TopicPartition] = []
        self._others: list[TopicPartition] = []
        self._is_reading = False
        self._behind: dict[TopicPartition, int] = {}
        self._lookback_ms = 0

    async def open(self) -> None:
        """Connect; raise Retriable while Kafka is away."""
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
            self._others = [tp for tp in partitions if tp not in self._candles]
            consumer.pause(*partitions)
            await consumer.seek_to_end(*partitions)
        except KafkaError as e:
            raise Retriable(f"Kafka: {e!r}", retry_after_s=RETRY_AFTER_S) from e

    async def close(self) -> None:
        """Disconnect."""
        if self._consumer is not None:
            await close_consumer(self._consumer)

    @property
    def is_caught_up(self) -> bool:
        """Say whether all was read that was there at the start: then the clock may judge."""
        return not self._behind

    async def read(self, lookback_ms: int, *, has_rules: bool) -> None:
        """Read what rules need, candles from so far back on (0: none); raise Retriable."""
        try:
            await self._read_others(has_rules=has_rules)
            await self._look_back(lookback_ms)
        except KafkaError as e:
            raise Retriable(f"Kafka: {e!r}", retry_after_s=RETRY_AFTER_S) from e

    async def _read_others(self, *, has_rules: bool) -> None:
        if has_rules and not self._is_reading:
            starts = await self._consumer.beginning_offsets(self._others)
            ends = await self._consumer.end_offsets(self._others)
            await self._consumer.seek_to_beginning(*self._others)
            self._consumer.resume(*self._others)
            self._behind = {tp: end for tp, end in ends.items() if end > starts[tp]}
        elif not has_rules:
            self._consumer.pause(*self._others)
            self._behind.clear()
        self._is_reading = has_rules

    async def _look_back(self, lookback_ms: int) -> None:
        if lookback_ms == 0:
            self._consumer.pause(*self._candles)
        else:
            since_ms = time.time_ns() // 1_000_000 - lookback_ms
            found = await self._consumer.offsets_for_times(dict.fromkeys(self._candles, since_ms))
            ends = await self._consumer.end_offsets(self._candles)
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
