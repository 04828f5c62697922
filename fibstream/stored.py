"""What the stores hold at the end: trades and candles in ClickHouse, hashes in Redis, gaps."""

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

import httpx
import redis.asyncio as redis
from aiokafka import AIOKafkaConsumer

from fibstream.truth import Series, TruthCandle
from runtime.settings import Settings
from schemas.klines import decode_gaps
from schemas.topics import GAPS


class StoredTrade(NamedTuple):
    """A row of the trades table."""

    id: int
    ts: int
    price: Decimal
    qty: Decimal
    side: int
    first: int
    last: int


class StoredCandle(NamedTuple):
    """A row of the candles view."""

    candle: TruthCandle
    closed: bool
    quality: str
    missing: int


CandleKey = tuple[str, str, int, int]  # channel, symbol, interval_ms, open_ms


class Warehouse:
    """SQL over the HTTP endpoint of the ClickHouse sink."""

    def __init__(self, client: httpx.AsyncClient, port: int) -> None:
        self._client = client
        self._url = f"http://127.0.0.1:{port}/"

    async def count_trades(self) -> tuple[int, int]:
        """Return (distinct trades, rows that a reader sees)."""
        sql = "SELECT uniqExact(exchange, channel, symbol, id), count() FROM trades_unique"
        (row,) = await self._rows(sql)
        return int(row[0]), int(row[1])

    async def trades(self, series: Series) -> list[StoredTrade]:
        """Return the trades of one symbol by id."""
        rows = await self._rows(
            "SELECT id, toUnixTimestamp64Milli(ts), price, qty, side, first_id, last_id "
            "FROM trades_unique WHERE channel = {channel:String} AND symbol = {symbol:String} "
            "ORDER BY id",
            {"param_channel": series[0], "param_symbol": series[1]},
        )
        return [
            StoredTrade(int(i), int(t), Decimal(p), Decimal(q), int(s), int(f), int(n))
            for i, t, p, q, s, f, n in rows
        ]

    async def candles(self) -> dict[CandleKey, StoredCandle]:
        """Return the latest revision of every candle."""
        rows = await self._rows(
            "SELECT channel, symbol, interval_ms, toUnixTimestamp64Milli(open_time), "
            "closed, quality, missing, open, high, low, close, volume, quote_volume, "
            "taker_buy_volume, taker_buy_quote_volume, trade_count, first_id, last_id FROM candles"
        )
        return {
            (channel, symbol, int(interval_ms), int(open_ms)): StoredCandle(
                TruthCandle.read(values),
                closed == "true",
                quality,
                int(missing),
            )
            for channel, symbol, interval_ms, open_ms, closed, quality, missing, *values in rows
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


async def read_redis(settings: Settings) -> dict[str, dict[str, str]]:
    """Return every hash under the main key."""
    client = redis.Redis(
        host=settings.redis_host,
        port=settings.redis_port,
        db=settings.redis_base,
        decode_responses=True,
    )
    try:
        keys = [key async for key in client.scan_iter(f"{settings.redis_main_key}:*")]
        return {
            key: await client.hgetall(key)  # type: ignore[misc] # sync or async by the client
            for key in keys
            if await client.type(key) == "hash"
        }
    finally:
        await client.aclose()


async def named_missing(settings: Settings) -> dict[Series, set[int]]:
    """Return the ids that ``md.gaps.v1`` names as missing, by symbol."""
    consumer = AIOKafkaConsumer(
        settings.kafka_topic_prefix + GAPS.name,
        bootstrap_servers=settings.kafka_bootstrap,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await consumer.start()
    named: dict[Series, set[int]] = defaultdict(set)
    try:
        ends = await consumer.end_offsets(consumer.assignment())
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=500)).values():
                for record in records:
                    envelope = decode_gaps(record.value)
                    for gap in envelope.data:
                        if gap.state == "found":
                            ids = range(gap.first_id, gap.last_id + 1)
                            named[envelope.channel, gap.symbol].update(ids)
    finally:
        await consumer.stop()
    return named
