"""From a wish on the gateway to what an ingestor streams and a database keeps, on real parts."""

import asyncio
from contextlib import asynccontextmanager

import clickhouse_connect
import httpx
import msgspec
import pytest
from aiokafka import AIOKafkaProducer

from fibstream.topics import create_topics
from ingest import app as ingest_app
from runtime.ports import free_port
from runtime.settings import Settings
from schemas.control import Control
from schemas.streams import StreamKey
from schemas.topics import CONTROL, TRADES
from simulator import Simulator, SimulatorOptions
from sinks import topics
from sinks.clickhouse import ClickHouseSink
from sinks.gateway import app as gateway_app
from tests.support import market

pytestmark = pytest.mark.integration

OBEYED_WITHIN_S = 2.0
START_WITHIN_S = 40.0
BTC = {"exchange": "BinanceLinear", "symbol": "BTCUSDT", "kind": "Trades", "transport": "Ws"}
ETH = {**BTC, "symbol": "ETHUSDT"}
BOOK = {**BTC, "kind": "L2Book"}
OPEN_INTEREST = {**BTC, "kind": "OpenInterest", "transport": "HttpPoll"}


@asynccontextmanager
async def running(run, settings: Settings):
    stop = asyncio.Event()
    task = asyncio.create_task(run(settings, stop))
    try:
        yield task
    finally:
        stop.set()
        async with asyncio.timeout(25):
            await task


class Desk:
    """A client of the gateway that waits for what it wants to see."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def say(self, method: str, body: dict) -> int:
        return (await self._client.request(method, "/streams", json=body)).status_code

    async def sees(self, body: dict, state: str, within_s: float = OBEYED_WITHIN_S) -> None:
        path = "/streams/{exchange}/{symbol}/{kind}/{transport}".format(**body)
        found: object = None
        try:
            async with asyncio.timeout(within_s):
                while True:
                    with_it = await self._answer(path)
                    found = with_it
                    if with_it.get("state") == state:
                        return
                    await asyncio.sleep(0.02)
        except TimeoutError:
            pytest.fail(f"{body} is not {state}: {found}")

    async def _answer(self, path: str) -> dict:
        try:
            return (await self._client.get(path)).json()
        except httpx.ConnectError:
            return {}


async def test_an_ingestor_obeys_within_two_seconds_and_after_restarts(
    kafka_bootstrap, topic_prefix
) -> None:
    port = free_port()
    async with Simulator(SimulatorOptions(symbols=4, trades_per_s=200)) as simulated:
        host = f"127.0.0.1:{simulated.port}/binance/linear"
        settings = Settings(
            _env_file=None, kafka_bootstrap=kafka_bootstrap, kafka_topic_prefix=topic_prefix,
            kafka_partitions=2, websocket_port=port, exchange_symbols=("BTCUSDT",),
            exchange_linear_rest_url=f"http://{host}", exchange_linear_ws_url=f"ws://{host}",
        )  # fmt: skip
        await create_topics(settings)
        base = f"http://127.0.0.1:{port}"
        async with (
            running(gateway_app.run, settings),
            httpx.AsyncClient(base_url=base, timeout=20) as client,
        ):
            desk = Desk(client)
            async with running(ingest_app.run, settings):
                await desk.sees(BTC, "live", START_WITHIN_S)
                for wish in (ETH, BOOK, OPEN_INTEREST):
                    assert await desk.say("POST", wish) == 202
                    await desk.sees(wish, "live")
                assert await desk.say("POST", {**BTC, "symbol": "NOUSDT"}) == 404
                assert await desk.say("DELETE", BTC) == 202
                await desk.sees(BTC, "stopped")
            await desk.sees(ETH, "stopped")
            async with running(ingest_app.run, settings):
                await desk.sees(ETH, "live", START_WITHIN_S)
                await desk.sees(BOOK, "live")
                await desk.sees(BTC, "stopped")  # though the settings name it
                assert await desk.say("POST", BTC) == 202
                await desk.sees(BTC, "live")


async def test_a_database_leaves_out_a_muted_stream_from_its_first_write_on(
    kafka_bootstrap, topic_prefix, tmp_path
) -> None:
    settings = Settings(
        _env_file=None, kafka_bootstrap=kafka_bootstrap, kafka_topic_prefix=topic_prefix,
        data_dir=tmp_path,
    )  # fmt: skip
    await topics.ensure(settings, [CONTROL])
    stream = StreamKey("binance", "linear", "BTCUSDT", "trades", "ws")
    off = Control(**stream._asdict(), db_writes_enabled=False)
    async with AIOKafkaProducer(bootstrap_servers=kafka_bootstrap) as producer:
        value = msgspec.json.encode(off)
        await producer.send_and_wait(topic_prefix + CONTROL.name, value, str(stream).encode())
    sink = ClickHouseSink(settings)
    try:
        await sink.open()
        both = market.trades_value(market.group(), market.group(symbol="ETHUSDT"))
        assert await sink.write(market.batch(TRADES.name, [both, market.trades_value()])) == []
        port = sink.facts()["http_port"]
        rows = await asyncio.to_thread(stored, port)
    finally:
        await sink.close()
    assert rows == [("ETHUSDT", 3)]


def stored(port: int) -> list[tuple[str, int]]:
    with clickhouse_connect.get_client(host="127.0.0.1", port=port) as client:
        counts = client.query("SELECT toString(symbol), count() FROM trades GROUP BY symbol")
        return [tuple(row) for row in counts.result_rows]
