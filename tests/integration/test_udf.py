"""TradingView's feed over the sink's own chDB and memory, asked as its library asks."""

import asyncio
import time
from contextlib import asynccontextmanager

import httpx
import pytest
import pytest_asyncio
from market import kline, klines_value

from runtime.settings import Settings
from schemas.intervals import parse_interval, parse_intervals
from schemas.topics import INSTRUMENTS, symbol_key
from sinks.gateway import candles
from sinks.gateway.control import StreamTable
from sinks.gateway.data import build_data
from sinks.gateway.history import History
from sinks.gateway.hub import Hub
from sinks.gateway.last import LastTrades
from sinks.gateway.seeds.finding import Finder
from sinks.gateway.seeds.rest import build_prices
from sinks.gateway.server import Server, listen
from sinks.gateway.udf import build_udf
from sinks.gateway.warehouse import Warehouse
from sinks.gateway.web import build_web
from tests.support.history import START_MS, STEP_MS, batch, put, stored
from tests.support.streaming import encode, instrument

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

TRADES = 1_500
START_S = START_MS // 1_000
LAST_MS = START_MS + 153 + (TRADES - 1) * STEP_MS
NAME = "binance.linear:BTCUSDT"
LISTED = instrument("binance", "linear", "BTCUSDT", "BTC/USDT:USDT")


@asynccontextmanager
async def serving(data_dir, port: int):
    settings = Settings(_env_file=None, data_dir=data_dir, clickhouse_http_port=port)
    hub, table = Hub(History(), parse_intervals(["1m"])), StreamTable()
    table.take(INSTRUMENTS.name, symbol_key("binance", "linear", "BTCUSDT"), encode(LISTED))
    warehouse = Warehouse(settings)
    routes = [
        build_udf(warehouse, hub, table, settings),
        build_prices(Finder(table, hub), hub, LastTrades(), warehouse, "binance"),
        build_data(warehouse, hub, table, settings, lambda: False),
    ]
    listener = listen("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    web = build_web(hub, asyncio.Event(), lambda: False, "/", routes)
    async with Server(web).running(listener), httpx.AsyncClient(base_url=url, timeout=30) as api:
        yield api, hub
    await warehouse.close()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def sql_port(tmp_path_factory):
    async with stored(tmp_path_factory.mktemp("udf")) as sink:
        await put(sink, 0, batch(1, TRADES))
        yield sink.facts()["http_port"]


@pytest_asyncio.fixture(loop_scope="module")
async def feed(sql_port, tmp_path):
    async with serving(tmp_path, sql_port) as (api, hub):
        async with asyncio.timeout(10):
            while (await api.get("/api/v1/integrity")).status_code == 503:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        yield api, hub


async def bars(api, **asked) -> dict:
    said = {"symbol": NAME, "resolution": "1", "from": 0, "to": LAST_MS // 1_000 + 1} | asked
    answer = await api.get("/udf/history", params=said)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def rows(api, timeframe: str) -> list[dict]:
    path = "/api/v1/data/klines/BTCUSDT"
    asked = {"timeframe": timeframe, "limit": 1_000}
    return (await api.get(path, params=asked)).json()["data"]


async def test_the_feed_is_read_as_the_library_reads_it(feed):
    api, _ = feed
    config = (await api.get("/udf/config")).json()
    assert {"1", "173", "2584", "1D", "1W", "1M"} <= set(config["supported_resolutions"])
    assert abs(int((await api.get("/udf/time")).text) - time.time()) < 60
    found = (await api.get("/udf/search?query=btc&type=&exchange=&limit=30")).json()
    assert [each["ticker"] for each in found] == [NAME]
    for name in (NAME, "BTCUSDT", "BINANCE:BTCUSDT", "BinanceLinear:btcusdt"):
        info = (await api.get("/udf/symbols", params={"symbol": name})).json()
        assert (info["ticker"], info["minmov"], info["pricescale"]) == (NAME, 1, 10)
        assert (info["session"], info["timezone"]) == ("24x7", "Etc/UTC")
        assert "173" in info["intraday_multipliers"]
    for resolution, timeframe in (("173", "173"), ("1", "1m"), ("1W", "1w@mon")):
        told, wanted = await bars(api, resolution=resolution), await rows(api, timeframe)
        assert told["s"] == "ok"
        assert told["t"] == [row["timestamp"] // 1_000 for row in wanted]
        for column, field in zip("ohlcv", ("open", "high", "low", "close", "volume"), strict=True):
            assert told[column] == [row[field] for row in wanted]
    assert (await api.get("/udf/marks", params={"symbol": NAME, "from": 0, "to": 1})).json()
    text = (await api.get("/tick/BTCUSDT?tz=UTC")).json()  # nobody tells the last trades here
    assert text["timestamp"].startswith("2022-01-01 01:47:57")


async def test_counts_spans_and_what_is_not_there(feed):
    api, _ = feed
    every = (await bars(api))["t"]
    assert (await bars(api, countback=5))["t"] == every[-5:]
    middle = every[100]
    assert (await bars(api, to=middle, countback=7, **{"from": middle}))["t"] == every[93:100]
    assert (await bars(api, to=every[20], **{"from": every[10]}))["t"] == every[10:20]
    later = every[-1] + 3_600
    told = await bars(api, to=later + 60, **{"from": later})
    assert told == {"s": "no_data", "nextTime": every[-1]}
    assert await bars(api, to=START_S - 60, **{"from": START_S - 600}) == {"s": "no_data"}
    assert await bars(api, to=START_S - 60, countback=3) == {"s": "no_data"}
    for asked, status, said in (
        ({"symbol": "BTCUSD"}, 404, "BTCUSDT"),
        ({"symbol": "binance:X:Y"}, 404, "unknown symbol"),
        ({"resolution": "7x"}, 422, "173"),
        ({"from": 10, "to": 5}, 422, "after"),
    ):
        params = {"symbol": NAME, "resolution": "1", "from": 0, "to": 9} | asked
        answer = await api.get("/udf/history", params=params)
        assert (answer.status_code, answer.json()["s"]) == (status, "error"), asked
        assert said in answer.json()["errmsg"]


async def test_memory_and_warehouse_are_one_history(feed):
    api, hub = feed
    every = await rows(api, "1m")
    corrected, minute = every[-1]["timestamp"], parse_interval("1m").length_ms
    for at_ms, rev in ((corrected, 10_000), (corrected + minute, 10_001)):
        value = klines_value(kline(timestamp=at_ms, rev=rev, cause="late"))
        hub.accept(candles.read(value), 0)
    told = await bars(api, to=LAST_MS // 1_000 + 600)
    times = [row["timestamp"] // 1_000 for row in every]
    assert told["t"] == [*times, times[-1] + 60]
    assert told["c"][-2:] == [28149.99, 28149.99]  # the higher revision is true
    asked = {"symbol": NAME, "resolution": "1", "from": 0, "to": LAST_MS // 1_000 + 600}
    marks = (await api.get("/udf/marks", params=asked)).json()
    assert marks["time"] == [times[-1], times[-1] + 60]
    assert set(marks["label"]) == {"C"}


async def test_without_an_answer_of_the_warehouse_nothing_is_made_up(tmp_path):
    async with serving(tmp_path, 1) as (api, hub):
        hub.accept(candles.read(klines_value(kline())), 0)
        asked = {"symbol": NAME, "resolution": "1", "from": 0, "to": LAST_MS // 1_000}
        answer = await api.get("/udf/history", params=asked)
        assert (answer.status_code, answer.json()["s"]) == (503, "error")
        assert int(answer.headers["retry-after"]) >= 1
