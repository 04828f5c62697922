"""Anchored candles in chDB: told apart, and beside those of a database of before."""

from decimal import Decimal

import clickhouse_connect
import httpx
import pytest
from msgspec.structs import replace

from runtime.settings import Settings
from schemas import clickhouse
from schemas.clickhouse import layout
from schemas.intervals import parse_interval
from schemas.topics import KLINES
from sinks.clickhouse import ClickHouseSink, store
from tests.support import market

pytestmark = pytest.mark.integration

TEXTS = ("7D", "1w@mon", "2w@sun@tz=Asia/Tokyo", "30D", "1M", "12M@tz=America/New_York", "1D",
         "1D@tz=Asia/Tokyo", "8h", "8h@funding", "173m")  # fmt: skip


async def write(sink: ClickHouseSink, *klines) -> None:
    assert await sink.write(market.batch(KLINES.name, [market.klines_value(*klines)])) == []


async def select(sink: ClickHouseSink, sql: str) -> list[list[str]]:
    async with httpx.AsyncClient(timeout=60) as client:
        url = f"http://127.0.0.1:{sink.facts()['http_port']}/"
        answer = await client.get(url, params={"query": sql})
    assert answer.status_code == 200, answer.text
    return [line.split("\t") for line in answer.text.splitlines()]


async def test_each_interval_reads_as_its_text_and_ends_where_its_window_ends(tmp_path) -> None:
    sink = ClickHouseSink(Settings(data_dir=tmp_path))
    await sink.open()
    try:
        windows = {text: parse_interval(text).window(market.BASE_MS) for text in TEXTS}
        klines = []
        for text, (open_ms, _) in windows.items():
            frame = parse_interval(text)
            fields = {"interval": frame.length_ms, "anchor": frame.anchor, "timestamp": open_ms}
            klines.append(market.kline(**fields))
        await write(sink, *klines)
        rows = await select(
            sink,
            "SELECT interval, toUnixTimestamp64Milli(open_time),"
            " toUnixTimestamp64Milli(close_time) FROM candles",
        )
        assert {text: (int(at), int(end)) for text, at, end in rows} == windows
        await write(sink, *[replace(k, rev=9, close=Decimal(2)) for k in klines])
        sql = "SELECT count(), uniqExact(interval), min(rev), sum(close) FROM candles"
        assert await select(sink, sql) == [["11", "11", "9", "22"]]
        monday = "SELECT anchor, rev FROM candles WHERE interval = '1w@mon'"
        assert await select(sink, monday) == [["mon", "9"]]
    finally:
        await sink.close()


async def test_a_database_of_before_keeps_its_candles_and_goes_on(tmp_path, monkeypatch) -> None:
    before = clickhouse.read_migrations()[:3]
    folder = tmp_path / "clickhouse"
    folder.mkdir()
    client = clickhouse_connect.get_client(interface="chdb", path=str(folder))
    client.command(f"CREATE DATABASE {store.EMBEDDED_DATABASE}")
    client.database = store.EMBEDDED_DATABASE
    with monkeypatch.context() as patch:
        patch.setattr(layout, "read_migrations", lambda: before)
        store.migrate(client)
    client.command(
        "INSERT INTO klines (exchange, channel, symbol, interval_ms, open_time, close, rev,"
        " version, closed) SELECT 'binance', 'linear', symbol, 60000,"
        " fromUnixTimestamp64Milli({opened:Int64}), 1, 7, 15, true"
        " FROM (SELECT arrayJoin(['OLD', 'CORRECTED']) AS symbol)",
        parameters={"opened": market.BASE_MS},
    )
    client.close()
    sink = ClickHouseSink(Settings(data_dir=tmp_path))
    await sink.open()
    try:
        await write(sink, market.kline(symbol="CORRECTED", rev=8, close=Decimal(2)))
        rows = await select(
            sink,
            "SELECT symbol, interval, anchor, close, rev,"
            " toUnixTimestamp64Milli(close_time) - toUnixTimestamp64Milli(open_time)"
            " FROM candles ORDER BY symbol",
        )
        assert rows == [
            ["CORRECTED", "1m", "", "2", "8", "60000"],
            ["OLD", "1m", "", "1", "7", "60000"],
        ]
    finally:
        await sink.close()
