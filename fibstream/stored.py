"""What the stores hold at the end: trades and candles in ClickHouse, hashes in Redis, gaps."""

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

import httpx
import redis.asyncio as redis
from aiokafka import AIOKafkaConsumer

from fibstream.truth import Series, TruthCandle
from runtime.settings import Settings
from schemas.intervals import Interval
from schemas.klines import Gap, GapEnvelope, StreamGapEnvelope, decode_gaps
from schemas.topics import GAPS, RAW


class StoredTrade(NamedTuple):
    """A row of the trades table."""

    id: int
    ts: int
    price: Decimal
    qty: Decimal
    side: int
    first: int
    last: int
    uid: str

    @property
    def key(self) -> tuple[int, str]:
        """What no other trade of the symbol has."""
        return self.id, self.uid


class StoredCandle(NamedTuple):
    """A row of the candles view."""

    candle: TruthCandle
    closed: bool
    quality: str
    missing: int


CandleKey = tuple[str, str, str, Interval, int]  # exchange, channel, symbol, interval, open_ms


class Warehouse:
    """SQL over the HTTP endpoint of the ClickHouse sink."""

    def __init__(self, client: httpx.AsyncClient, port: int) -> None:
        self._client = client
        self._url = f"http://127.0.0.1:{port}/"

    async def trades(self, series: Series) -> list[StoredTrade]:
        """Return the trades of one symbol in the order in which they came."""
        rows = await self._rows(
            "SELECT id, toUnixTimestamp64Milli(ts), price, qty, side, first_id, last_id, uid "
            "FROM trades_unique WHERE exchange = {exchange:String} "
            "AND channel = {channel:String} AND symbol = {symbol:String} ORDER BY rev, place",
            dict(zip(("param_exchange", "param_channel", "param_symbol"), series, strict=True)),
        )
        return [
            StoredTrade(int(i), int(t), Decimal(p), Decimal(q), int(s), int(f), int(n), uid)
            for i, t, p, q, s, f, n, uid in rows
        ]

    async def candles(self) -> dict[CandleKey, StoredCandle]:
        """Return the latest revision of every candle."""
        rows = await self._rows(
            "SELECT exchange, channel, symbol, interval_ms, anchor, "
            "toUnixTimestamp64Milli(open_time), closed, quality, missing, "
            "open, high, low, close, volume, quote_volume, "
            "taker_buy_volume, taker_buy_quote_volume, trade_count, first_id, last_id FROM candles"
        )
        return {
            (exchange, channel, symbol, Interval(int(length), anchor), int(open_ms)): StoredCandle(
                TruthCandle.read(values), closed == "true", quality, int(missing)
            )
            for exchange, channel, symbol, length, anchor, open_ms, *rest in rows
            for closed, quality, missing, *values in (rest,)
        }

    async def _rows(self, sql: str, params: dict[str, str] | None = None) -> Iterable[list[str]]:
        response = await self._client.post(self._url, params=params, content=sql)
        response.raise_for_status()
        return [line.split("\t") for line in response.text.splitlines()]


async def count_redis_keys(settings: Settings) -> int:
    """Return how many keys Redis holds."""
    client = redis.Redis(host=settings.redis_host, port=settings.redis_port, db=settings.redis_base)
    try:
        return int(await client.dbsize())
    finally:
        await client.aclose()


@dataclass(frozen=True, slots=True)
class ToldGaps:
    """What ``md.gaps.v1`` tells: nothing else excuses a trade that is not there."""

    missing: dict[Series, set[int]] = field(default_factory=lambda: defaultdict(set))
    """Ids that were found missing."""
    silent: dict[tuple[Series, int], float] = field(default_factory=dict)
    """By series (an empty symbol: each) and its first ms, until when its trades did not come."""

    def add(self, envelope: GapEnvelope | StreamGapEnvelope) -> None:
        """Take one record."""
        for gap in envelope.data:
            series = (envelope.exchange, envelope.channel, gap.symbol)
            if isinstance(gap, Gap):
                if gap.state == "found":
                    self.missing[series].update(range(gap.first_id, gap.last_id + 1))
            elif gap.kind == "trades":
                self.silent[series, gap.from_ms] = gap.to_ms or math.inf

    def silences(self, series: Series) -> list[tuple[int, float]]:
        """Return the spans (ms, our clock) in which trades of a symbol may not have come."""
        exchange, channel, symbol = series
        return [
            (from_ms, to_ms)
            for ((*market, name), from_ms), to_ms in self.silent.items()
            if market == [exchange, channel] and name in ("", symbol)
        ]


async def told_gaps(settings: Settings) -> ToldGaps:
    """Read the whole of ``md.gaps.v1``."""
    consumer = AIOKafkaConsumer(
        settings.kafka_topic_prefix + GAPS.name,
        bootstrap_servers=settings.kafka_bootstrap,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await consumer.start()
    told = ToldGaps()
    try:
        ends = await consumer.end_offsets(consumer.assignment())
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=500)).values():
                for record in records:
                    told.add(decode_gaps(record.value))
    finally:
        await consumer.stop()
    return told


async def count_records(settings: Settings) -> dict[str, int]:
    """Return how many records each raw topic was given."""
    prefix = settings.kafka_topic_prefix
    names = [prefix + topic.name for topic in RAW.values()]
    consumer = AIOKafkaConsumer(*names, bootstrap_servers=settings.kafka_bootstrap)
    await consumer.start()
    try:
        ends = await consumer.end_offsets(consumer.assignment())
    finally:
        await consumer.stop()
    return {
        name: sum(end for tp, end in ends.items() if tp.topic == name) for name in sorted(names)
    }
