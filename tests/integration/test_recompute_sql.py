"""The SQL of candles on chDB, over the sink's own endpoint: field by field what the engine says."""

import asyncio
from collections.abc import Sequence

import httpx
import pytest
import warehousing
from msgspec.structs import replace

from processors.engine.windows import CORRECTION_MS
from processors.recompute.plan import Asked
from processors.recompute.recomputation import recompute
from processors.recompute.rows import envelopes
from processors.recompute.warehouse import Warehouse
from runtime.settings import Settings
from schemas.intervals import Interval
from schemas.klines import Kline, decode_klines
from schemas.topics import KLINES, TRADES
from schemas.trades import Flag, TradeBatch, encode_batch
from sinks.base import Batch, Record
from sinks.clickhouse import ClickHouseSink
from tests.support import market

pytestmark = pytest.mark.integration


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
async def warehouse(sink):
    url = f"http://127.0.0.1:{sink.facts()['http_port']}"
    while not await answers(url):  # noqa: ASYNC110 - it says nothing when it listens
        await asyncio.sleep(0.01)
    warehouse = await asyncio.to_thread(Warehouse.connect, url)
    yield warehouse
    warehouse.close()


async def answers(url: str) -> bool:
    async with httpx.AsyncClient() as client:
        try:
            return (await client.get(f"{url}/ping")).is_success
        except httpx.TransportError:
            return False


async def store(sink, records: list[TradeBatch], *, without: set[int] = frozenset()) -> None:
    stored = [
        Record(TRADES.name, 0, offset, 0, encode_batch(batch))
        for offset, batch in enumerate(records)
        if offset not in without
    ]
    assert not await sink.write(Batch(stored, {}))


async def asked_of(records: list[TradeBatch], rev: int, **changes) -> Asked:
    times = [ms for batch in records[: rev + 1] for ms in batch.symbols[0].ts]
    batch, group = records[0], records[0].symbols[0]
    asked = Asked(
        batch.exchange, batch.channel, group.symbol, group.ids, min(times), max(times), rev
    )
    return asked._replace(**changes)


async def computed(
    warehouse, asked: Asked, intervals: Sequence[Interval] = warehousing.INTERVALS
) -> list[Kline]:
    def work() -> list[Kline]:
        found = []
        for judged in recompute(warehouse, asked, intervals, "venue"):
            for value in envelopes(asked, judged.news):
                found += decode_klines(value).data
        return found

    return await asyncio.to_thread(work)


def given_up(records, rev, kline: Kline) -> bool:
    watermark_ms = max(
        ms
        for batch in records[:rev]
        for group in batch.symbols
        for ms, flags in zip(group.ts, group.flag_list(), strict=True)
        if not flags & Flag.NON_MARKET
    )
    return kline.frame.end_ms(kline.timestamp) + CORRECTION_MS <= watermark_ms


def as_of(kline: Kline, rev: int) -> Kline:
    """Leave out what only the engine's own revisions tell."""
    return replace(kline, rev=rev, cause="live", closed=True)


CASES = [
    ("dense", "binance"),
    ("range", "okx"),
    ("unique", "hyperliquid"),
    ("unique", "kraken"),
    ("unique", "bybit"),
    ("dense", "bybit"),
]


@pytest.mark.parametrize(("ids", "exchange"), CASES)
async def test_the_sql_says_what_an_engine_says_that_had_the_time(
    sink, warehouse, monkeypatch, ids, exchange
) -> None:
    compared = 0
    for seed in range(3):
        records = warehousing.stream(seed, ids, exchange, f"{ids}{seed}")
        await store(sink, records)
        for rev in {len(records) - 1, len(records) // 2}:
            compared += await compare(warehouse, records, rev, monkeypatch, warehousing.INTERVALS)
    assert compared > 100


@pytest.mark.parametrize("ids", ["dense", "unique"])
async def test_windows_of_calendars_are_whole_though_they_are_read_in_parts(
    sink, warehouse, monkeypatch, ids
) -> None:
    steps_ms = warehousing.LONG_STEPS_MS
    records = warehousing.stream(1, ids, symbol=f"long{ids}", trades=60, steps_ms=steps_ms)
    await store(sink, records)
    rev = len(records) - 1
    assert await compare(warehouse, records, rev, monkeypatch, warehousing.CALENDARS) > 20


async def compare(warehouse, records, rev: int, monkeypatch, intervals: Sequence[Interval]) -> int:
    """Hold every candle that the engine gave up against what it says when it does not."""
    engine = warehousing.patient_engine(records[: rev + 1], intervals, monkeypatch)
    expected = {
        key: as_of(kline, rev)
        for key, kline in engine.items()
        if rev and given_up(records, rev, kline)
    }
    asked = await asked_of(records, rev)
    found = {
        (k.frame, k.timestamp): as_of(k, rev) for k in await computed(warehouse, asked, intervals)
    }
    assert found.keys() == expected.keys()
    for key, kline in expected.items():
        assert found[key] == kline
    return len(expected)


async def test_a_request_of_a_moment_touches_the_windows_around_it_and_no_other(
    sink, warehouse
) -> None:
    records = warehousing.stream(4, "dense", symbol="moment", trades=60)
    await store(sink, records)
    rev, at_ms = len(records) - 1, records[1].symbols[0].ts[0]
    asked = await asked_of(records, rev, from_ms=at_ms, to_ms=at_ms)
    found = await computed(warehouse, asked)
    assert {(k.frame, k.timestamp) for k in found} <= {
        (interval, interval.open_ms(at_ms)) for interval in warehousing.INTERVALS
    }
    assert {k.interval for k in found} >= {1_000, 5_000, 60_000}
    assert {k.rev for k in found} == {rev}


async def test_what_the_warehouse_tells_already_is_not_told_again(sink, warehouse) -> None:
    records = warehousing.stream(5, "dense", symbol="told", trades=60)
    await store(sink, records)
    asked = await asked_of(records, len(records) - 1)
    values = await asyncio.to_thread(
        lambda: [
            value
            for judged in recompute(warehouse, asked, warehousing.INTERVALS, "venue")
            for value in envelopes(asked, judged.news)
        ]
    )
    await sink.write(
        Batch([Record(KLINES.name, 0, at, 0, value) for at, value in enumerate(values)], {})
    )
    assert values
    assert await computed(warehouse, asked) == []
    later = asked._replace(rev=asked.rev + 50)  # nothing came meanwhile
    told = {decode_klines(value).data[0].rev for value in values}
    assert told == {asked.rev}
    assert [k for k in await computed(warehouse, later) if given_up(records, asked.rev, k)] == []


@pytest.mark.parametrize("ids", ["dense", "unique"])
async def test_candles_that_lack_trades_of_the_warehouse_are_not_published(
    sink, warehouse, monkeypatch, ids
) -> None:
    """The operator switched the writing of trades off for a while; candles were written on."""
    records = warehousing.stream(7, ids, symbol=f"lacking-{ids}", trades=80)
    rev = len(records) - 1
    klines = warehousing.patient_engine(records, warehousing.INTERVALS, monkeypatch)
    dropped = set(range(len(records) // 3, len(records) // 2))
    await store(sink, records, without=dropped)
    asked = await asked_of(records, rev)
    rows = [replace(k, rev=max(0, k.rev - 1)) for k in klines.values() if k.rev < rev]
    value = market.klines_value(*rows, exchange=records[0].exchange)
    await sink.write(Batch([Record(KLINES.name, 0, 0, 0, value)], {}))

    def work():
        return list(recompute(warehouse, asked, warehousing.INTERVALS, "venue"))

    found = await asyncio.to_thread(work)
    assert any(judged.lacking for judged in found)
    for judged in found:
        for candle in judged.news:
            old = klines[candle.interval, candle.open_ms]
            assert candle.sums.trades >= old.trade_count or old.rev == rev
