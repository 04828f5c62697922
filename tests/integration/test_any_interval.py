"""Candles of any interval by SQL, on chDB: row for row what the engine makes of the same trades."""

import asyncio
import random
from itertools import count

import httpx
import msgspec
import pytest
import warehousing
from msgspec.structs import replace

from runtime.settings import Settings
from schemas.intervals import MINUTE_MS, Interval, parse_intervals
from schemas.klines import Kline
from schemas.topics import KLINES, TRADES
from schemas.trades import TradeBatch, encode_batch
from sinks.base import Batch, Record
from sinks.clickhouse import ClickHouseSink
from sinks.gateway.warehouse import Warehouse
from tests.support import market

pytestmark = pytest.mark.integration

INTERVALS = parse_intervals(
    ("1s", "5s", "1m", "5m", "173m", "1h", "1D", "1w@mon", "1M", "1D@tz=Asia/Tokyo", "8h@funding")
)
ALL = 10_000
offsets = count()
decode_row = msgspec.json.Decoder(Kline).decode


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("chdb")


@pytest.fixture
async def sink(data_dir):
    sink = ClickHouseSink(Settings(data_dir=data_dir))
    await sink.open()
    yield sink
    await sink.close()


@pytest.fixture
async def warehouse(sink, data_dir):
    port = sink.facts()["http_port"]
    async with httpx.AsyncClient() as client:
        while True:
            try:
                await client.get(f"http://127.0.0.1:{port}/ping")
                break
            except httpx.TransportError:
                await asyncio.sleep(0.01)
    warehouse = Warehouse(Settings(data_dir=data_dir, clickhouse_http_port=port))
    yield warehouse
    await warehouse.close()


async def store(sink, batches: list[TradeBatch], klines: list[Kline], exchange: str) -> None:
    records = [
        Record(TRADES.name, 0, offset, 0, encode_batch(batch))
        for offset, batch in enumerate(batches)
    ]
    values = [market.klines_value(kline, exchange=exchange) for kline in klines]
    records += [Record(KLINES.name, 0, next(offsets), 0, value) for value in values]
    assert not await sink.write(Batch(records, {}))


def comparable(kline: Kline, *, missing: bool = True) -> Kline:
    """Leave out why the revision exists and, of sums of minutes, how often a gap was counted.

    A revision also grows when a late trade proves what stands: that is not told by trades.
    """
    return replace(kline, rev=0, cause="live", missing=kline.missing if missing else 0)


async def candles(warehouse, exchange, symbol, interval, **asked) -> dict[int, Kline]:
    span = {"start_ms": None, "end_ms": None, "limit": ALL} | asked
    found = await warehouse.klines(exchange, "linear", symbol, interval, **span)
    rows = [decode_row(row) for row in found]
    assert [row.timestamp for row in rows] == sorted({row.timestamp for row in rows})
    assert {(row.symbol, row.frame) for row in rows} <= {(symbol, interval)}
    return {row.timestamp: row for row in rows}


CASES = [
    ("dense", "binance"),
    ("unique", "bybit"),
    pytest.param("unique", "hyperliquid", marks=pytest.mark.soak),
    pytest.param("unique", "kraken", marks=pytest.mark.soak),
]


@pytest.mark.parametrize(("ids", "exchange"), CASES)
@pytest.mark.parametrize("source", ["trades", "minutes", "stored"])
async def test_every_interval_equals_the_engine(
    sink, warehouse, monkeypatch, ids, exchange, source
) -> None:
    compared = 0
    for seed in (1,):
        symbol = f"{source}{seed}"
        batches = warehousing.stream(seed, ids, exchange, symbol, trades=120)
        truth = warehousing.patient_engine(batches, INTERVALS, monkeypatch)
        await store(sink, batches, stored_of(truth, source, random.Random(seed)), exchange)
        for interval in INTERVALS:
            expected = {k.timestamp: k for (of, _), k in truth.items() if of == interval}
            found = await candles(warehouse, exchange, symbol, interval)
            closed = {at: k for at, k in found.items() if k.closed}
            is_exact = ids == "dense" or source == "trades" or interval.length_ms <= MINUTE_MS
            assert closed.keys() == expected.keys(), (interval, seed)
            for at, kline in expected.items():
                assert comparable(closed[at], missing=is_exact) == comparable(
                    kline, missing=is_exact
                ), (interval, seed)
                assert closed[at].missing >= kline.missing
                assert closed[at].rev <= kline.rev or not kline.trade_count
                if source == "minutes":  # merged by the highest rev, no part of it is newer
                    assert closed[at].rev >= newest_part(truth, kline)
            compared += len(expected)
    assert compared > 30


def newest_part(truth, candle: Kline) -> int:
    """The highest revision of the minutes that a candle is made of."""
    end_ms = candle.frame.end_ms(candle.timestamp)
    parts = [
        minute.rev
        for (of, _), minute in truth.items()
        if of == Interval(MINUTE_MS) and candle.timestamp <= minute.timestamp < end_ms
    ]
    if candle.interval < MINUTE_MS:  # made of trades
        return 0
    assert parts
    return max(parts)


async def test_spans_and_limits_are_parts_of_the_whole(sink, warehouse, monkeypatch) -> None:
    batches = warehousing.stream(7, "dense", "binance", "parts", trades=150)
    truth = warehousing.patient_engine(batches, INTERVALS, monkeypatch)
    await store(sink, batches, stored_of(truth, "minutes", random.Random(7)), "binance")
    interval, pick = parse_intervals(["3m"])[0], random.Random(1)
    whole = await candles(warehouse, "binance", "parts", interval)
    assert [k.closed for k in whole.values()] == [True] * (len(whole) - 1) + [False]
    times = list(whole)
    for _ in range(6):
        start_ms, end_ms = sorted(pick.randrange(times[0], times[-1]) for _ in range(2))
        limit, newest = pick.randrange(1, 9), pick.random() < 0.5
        inside = [k for at, k in whole.items() if start_ms <= at < end_ms]
        found = await candles(
            warehouse, "binance", "parts", interval,
            start_ms=start_ms, end_ms=end_ms, limit=limit, newest=newest,
        )  # fmt: skip
        wanted = inside[-limit:] if newest else inside[:limit]
        assert [comparable(k) for k in found.values()] == [comparable(k) for k in wanted]


def stored_of(truth, source: str, pick: random.Random) -> list[Kline]:
    minutes = [kline for (of, _), kline in truth.items() if of == Interval(MINUTE_MS)]
    match source:
        case "trades":
            return []
        case "minutes":
            older = [replace(k, rev=k.rev - 1, volume=k.volume + 1) for k in minutes if k.rev]
            return minutes + older  # a revision that comes again after the one that is true
    # Some intervals stored in part, as one that was added for a while.
    others = [k for (of, _), k in truth.items() if of.length_ms > MINUTE_MS and pick.random() < 0.5]
    return minutes + others
