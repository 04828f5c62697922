"""A warehouse with trades in it, and the gateway's own application in front of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from runtime.settings import Settings
from schemas.intervals import parse_intervals
from schemas.topics import TRADES
from schemas.trades import SymbolTrades, TradeBatch, encode_batch
from sinks.base import Batch, Record
from sinks.clickhouse import ClickHouseSink
from sinks.gateway.control import StreamTable
from sinks.gateway.data import build_data
from sinks.gateway.history import History
from sinks.gateway.hub import Hub
from sinks.gateway.server import Server, listen
from sinks.gateway.warehouse import Warehouse
from sinks.gateway.web import build_web

START_MS = 1_640_995_200_000  # 2022-01-01
STEP_MS = 4_321
JSON_ROWS_MAX = 2_000


def batch(first_id: int, n: int, symbol: str = "BTCUSDT") -> TradeBatch:
    """Trades at even steps; aggregates of two."""
    ids = list(range(first_id, first_id + n))
    group = SymbolTrades(
        symbol=symbol,
        price_scale=2,
        qty_scale=3,
        id=ids,
        ts=[START_MS + 153 + (id_ - 1) * STEP_MS for id_ in ids],
        price=[5_000_050 + id_ % 977 for id_ in ids],
        qty=[10 + id_ % 31 for id_ in ids],
        side=[-1 if id_ % 3 else 1 for id_ in ids],
        first=[2 * id_ for id_ in ids],
        last=[2 * id_ + 1 for id_ in ids],
    )
    return TradeBatch("binance", "linear", "live", 1_700_000_000_000_000_000, [group])


async def put(sink: ClickHouseSink, offset: int, of: TradeBatch) -> None:
    """Store one record."""
    assert not await sink.write(Batch([Record(TRADES.name, 0, offset, 0, encode_batch(of))], {}))


@asynccontextmanager
async def stored(data_dir: Path) -> AsyncIterator[ClickHouseSink]:
    """Run the sink."""
    sink = ClickHouseSink(Settings(data_dir=data_dir))
    await sink.open()
    try:
        yield sink
    finally:
        await sink.close()


@asynccontextmanager
async def serving(
    data_dir: Path, port: int, *, awaited: bool = True
) -> AsyncIterator[httpx.AsyncClient]:
    """Run the gateway's application before the SQL endpoint at ``port``."""
    settings = Settings(
        data_dir=data_dir, clickhouse_http_port=port, query_json_rows_max=JSON_ROWS_MAX
    )
    hub, warehouse = Hub(History(), parse_intervals(["1m"])), Warehouse(settings)
    routes = [build_data(warehouse, hub, StreamTable(), settings, lambda: False)]
    web = build_web(hub, asyncio.Event(), lambda: False, "/", routes)
    listener = listen("127.0.0.1", 0)
    base_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with (
        Server(web).running(listener),
        httpx.AsyncClient(base_url=base_url, timeout=30) as api,
    ):
        while awaited and (await api.get("/api/v1/integrity")).status_code == 503:  # noqa: ASYNC110
            await asyncio.sleep(0.02)  # the endpoint does not say when it listens
        yield api
    await warehouse.close()
