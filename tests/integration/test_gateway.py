"""The whole gateway on a real broker: what a program on the other end of the WebSocket sees."""

import asyncio
import json
import socket
from contextlib import asynccontextmanager
from decimal import Decimal

import httpx
import msgspec
import pytest
from aiokafka import AIOKafkaProducer
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from runtime.errors import Misconfigured
from runtime.kafka import TopicSpec, ensure_topics
from runtime.ports import free_port
from runtime.servers.kafka import EmbeddedKafka
from runtime.settings import Settings
from schemas.klines import Kline, KlineEnvelope
from schemas.topics import KLINES, KLINES_LIVE, symbol_key
from sinks.gateway import app, feed, hub
from tests.support.gateways import raw_client, read_to_end
from tests.support.told import fits

pytestmark = pytest.mark.integration

MINUTE = 60_000
KLINES_WANTED = {"symbol": "BTCUSDT", "timeframes": ["1m"]}
PARTITIONS = 3
encode = msgspec.json.Encoder(decimal_format="number").encode


def kline(
    minute: int, rev: int, *, closed=True, symbol="BTCUSDT", close="28145.10", **more
) -> Kline:
    fields = {
        "symbol": symbol, "interval": MINUTE, "timestamp": minute * MINUTE, "closed": closed,
        "open": Decimal("28145.10"), "high": Decimal("28150.00"), "low": Decimal("28140.50"),
        "close": Decimal(close), "volume": Decimal("0.100"), "quote_volume": Decimal("2814.51000"),
        "taker_buy_volume": Decimal("0.000"), "taker_buy_quote_volume": Decimal("0.00000"),
        "trade_count": 2, "first_id": 1, "last_id": 2, "rev": rev, "cause": "live",
        "quality": "proven", "missing": 0,
    }  # fmt: skip
    return Kline(**{**fields, **more})


class Market:
    """Puts candles on the topics as the processor does."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        self.settings = Settings(
            _env_file=None, kafka_bootstrap=bootstrap, kafka_topic_prefix=prefix,
            websocket_port=free_port(), kline_intervals=("1m", "173m"),
        )  # fmt: skip
        self.producer = AIOKafkaProducer(bootstrap_servers=bootstrap, linger_ms=1)

    async def put(self, *klines: Kline, recv_ms: int = 1) -> None:
        topic = KLINES if klines[0].closed else KLINES_LIVE
        envelope = KlineEnvelope("binance", "linear", list(klines), recv_ms)
        await self.put_raw(topic.name, klines[0].symbol, encode(envelope))

    async def put_raw(self, topic: str, symbol: str, value: bytes) -> None:
        key = symbol_key("binance", "linear", symbol)
        await self.producer.send_and_wait(self.settings.kafka_topic_prefix + topic, value, key)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.settings.websocket_port}"

    @asynccontextmanager
    async def gateway(self):
        stop = asyncio.Event()
        running = asyncio.create_task(app.run(self.settings, stop))
        try:
            await self._ready(running)
            yield
        finally:
            stop.set()
            async with asyncio.timeout(20):
                await running

    async def _ready(self, running: asyncio.Task) -> None:
        async with httpx.AsyncClient() as http, asyncio.timeout(30):
            while not running.done():
                try:
                    if (await http.get(f"http://{self.address}/health/ready")).status_code == 200:
                        return
                except (httpx.ConnectError, httpx.ReadTimeout):
                    pass
                await asyncio.sleep(0.05)

    def client(self, path: str = "/?stats=false", **options):
        return connect(f"ws://{self.address}{path}", **options)


def specs(market: Market) -> list[TopicSpec]:
    names = [market.settings.kafka_topic_prefix + topic.name for topic in (KLINES, KLINES_LIVE)]
    return [TopicSpec(name=name, partitions=PARTITIONS) for name in names]


@pytest.fixture
async def market(kafka_bootstrap, topic_prefix):
    market = Market(kafka_bootstrap, topic_prefix)
    await ensure_topics(kafka_bootstrap, specs(market))
    await market.producer.start()
    yield market
    await market.producer.stop()


async def say(client, **message) -> None:
    await client.send(json.dumps(message))


async def subscribe(client, *timeframes, symbol="BTCUSDT") -> dict:
    item = {"symbol": symbol, "timeframes": list(timeframes) or ["1m"]}
    await say(client, action="subscribe", subscriptions=[item])
    return await receive(client)


async def receive(client) -> dict:
    async with asyncio.timeout(10):
        return fits(json.loads(await client.recv()))


async def test_a_client_gets_the_past_then_live_updates_closes_and_corrections(market):
    for minute in range(5):
        await market.put(kline(minute, minute))
    async with market.gateway(), market.client() as client:
        ack = await subscribe(client, {"timeframe": "1m", "initial_candles": 3})
        assert ack["type"] == "subscribed"
        assert ack["subscriptions"][0]["candles"] == 3
        snapshot = await receive(client)
        assert snapshot["snapshot"] is True
        assert [row["timestamp"] // MINUTE for row in snapshot["data"]] == [2, 3, 4]

        await market.put(kline(5, 9, closed=False, close="28146.00"), recv_ms=123)
        update = await receive(client)
        assert (update["recv_ms"], update["data"][0]["closed"]) == (123, False)
        await market.put(kline(5, 9, closed=True))
        assert (await receive(client))["data"][0]["closed"] is True
        await market.put(kline(5, 9, closed=True))  # as after a crash of the processor
        await market.put(kline(2, 11, cause="late", trade_count=3))
        correction = (await receive(client))["data"][0]
        assert (correction["timestamp"], correction["rev"]) == (2 * MINUTE, 11)
        assert correction["cause"] == "late"


async def test_numbers_reach_the_client_digit_for_digit(market):
    exact = kline(1, 1, close="0.10000000000000000010", volume=Decimal("123456789012345678.90"))
    await market.put(exact)
    async with market.gateway(), market.client("/ws/stream?stats=false") as client:
        await subscribe(client)
        text = await client.recv()
        assert '"close":0.10000000000000000010,' in text
        assert '"volume":123456789012345678.90,' in text
        rows = msgspec.json.decode(text, type=KlineEnvelope).data
        assert rows == [exact]


async def test_the_past_is_complete_when_the_gateway_says_it_is_ready(market, monkeypatch):
    monkeypatch.setitem(feed.PAST_RECORDS_PER_PARTITION, KLINES.name, 400)
    symbols = [f"S{n}USDT" for n in range(6)]
    for minute in range(600):
        for symbol in symbols:
            envelope = KlineEnvelope("binance", "linear", [kline(minute, minute, symbol=symbol)], 1)
            key = symbol_key("binance", "linear", symbol)
            topic = market.settings.kafka_topic_prefix + KLINES.name
            await market.producer.send(topic, encode(envelope), key)
    await market.producer.flush()
    async with market.gateway(), market.client() as client:
        ack = await subscribe(client, {"timeframe": "1m", "initial_candles": 10}, symbol="*")
        assert ack["subscriptions"][0]["candles"] == 10 * len(symbols)
        found = {}
        for _ in symbols:
            data = (await receive(client))["data"]
            found[data[0]["symbol"]] = [row["timestamp"] // MINUTE for row in data]
        assert found == {symbol: list(range(590, 600)) for symbol in symbols}
        async with httpx.AsyncClient(base_url=f"http://{market.address}") as http:
            series = (await http.get("/api/v1/series")).json()
        assert [item["symbol"] for item in series["series"]] == symbols
        assert series["intervals"] == ["1m", "173m"]


async def test_bad_messages_are_answered_and_the_connection_stays(market):
    async with market.gateway(), market.client(max_size=None) as client:
        for bad in ["{", '{"action":"sell"}', b"\xff\x00", "x" * 100_000]:
            await client.send(bad)
            assert (await receive(client))["type"] == "error"
        answer = await subscribe(client, "7x")
        assert "'7x'" in answer["error"]
        assert "173m" in answer["hint"]
        await say(client, action="ping")
        assert (await receive(client))["type"] == "pong"
        await client.send("x" * 1_000_000)
        await client.wait_closed()
        assert client.close_code == 1009


async def test_an_unreadable_record_is_passed_over(market):
    async with market.gateway(), market.client() as client:
        await subscribe(client)
        await market.put_raw(KLINES.name, "BTCUSDT", b'{"exchange":')
        await market.put(kline(1, 1))
        assert (await receive(client))["data"][0]["rev"] == 1


async def test_statistics_come_once_a_second(market):
    async with market.gateway(), market.client("/") as client:
        first, second = await receive(client), await receive(client)
        assert {"trades_per_s", "latency_ms", "clients", "symbols"} < first.keys()
        assert 900 < second["time_ms"] - first["time_ms"] < 3_000


async def test_a_client_that_stops_reading_is_disconnected_and_others_do_not_suffer(
    market, monkeypatch
):
    monkeypatch.setattr(hub.Outbox.__init__, "__defaults__", (200_000,))
    async with market.gateway(), market.client() as quick:
        slow = await raw_client(market.settings.websocket_port, KLINES_WANTED)
        await subscribe(quick)
        minutes, step = 12_000, 250
        closed, parting = [], None
        # In steps, each read before the next: on a busy machine too the quick one keeps up.
        for first in range(0, minutes, step):
            await _flood(market, range(first, first + step))
            while len(closed) < first + step:
                closed += [row["timestamp"] // MINUTE for row in (await receive(quick))["data"]]
            if parting is None and await _clients(market) == 1:
                # Before the gateway stops waiting for the farewell to be read.
                parting = asyncio.create_task(asyncio.to_thread(read_to_end, slow))
        assert closed == list(range(minutes))
        farewell = await parting
        assert b"too slow" in farewell
        assert (1_013).to_bytes(2, "big") in farewell


async def _clients(market: Market) -> int:
    async with httpx.AsyncClient(base_url=f"http://{market.address}") as http:
        return (await http.get("/health/ready")).json()["clients"]


async def _flood(market: Market, minutes: range) -> None:
    topic = market.settings.kafka_topic_prefix + KLINES.name
    key = symbol_key("binance", "linear", "BTCUSDT")
    for minute in minutes:
        value = encode(KlineEnvelope("binance", "linear", [kline(minute, minute)], 1))
        await market.producer.send(topic, value, key)
    await market.producer.flush()


async def test_a_flood_of_messages_is_slowed_down_not_answered_faster(market):
    async with market.gateway(), market.client() as client:
        started_s = asyncio.get_running_loop().time()
        for _ in range(60):
            await say(client, action="ping")
        for _ in range(60):
            assert (await receive(client))["type"] == "pong"
        assert asyncio.get_running_loop().time() - started_s > 1.5


async def test_the_page_and_its_files_are_served_under_a_strict_policy(market):
    async with market.gateway(), httpx.AsyncClient(base_url=f"http://{market.address}") as http:
        page = await http.get("/", headers={"accept": "text/html"})
        assert page.headers["content-type"].startswith("text/html")
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert page.headers["x-content-type-options"] == "nosniff"
        library = await http.get("/static/lightweight-charts.js")
        assert "TradingView Lightweight Charts" in library.text[:200]
        again = await http.get(
            "/static/app.js",
            headers={"if-none-match": (await http.get("/static/app.js")).headers["etag"]},
        )
        assert again.status_code == 304
        for path in ("/static/../app.py", "/static/%2e%2e/app.py", "/static//etc/passwd", "/docs"):
            assert (await http.get(path)).status_code == 404
        assert (await http.get("/health/live")).json() == {"status": "live"}


async def test_a_port_in_use_is_named_before_anything_starts(market):
    taken = socket.create_server(("127.0.0.1", market.settings.websocket_port))
    with taken, pytest.raises(Misconfigured) as refused:
        await app.run(market.settings, asyncio.Event())
    assert refused.value.setting == "STREAMER_WEBSOCKET_PORT"


@pytest.mark.parametrize(
    ("change", "setting"),
    [
        ({"websocket_host": "no.such.host.invalid"}, "STREAMER_WEBSOCKET_HOST"),
        ({"kline_intervals": ("1m", "7x")}, "STREAMER_KLINE_INTERVALS"),
        ({"kafka_bootstrap": "nonsense"}, "STREAMER_KAFKA_BOOTSTRAP"),
        ({"kafka_topic_prefix": "nowhere."}, "STREAMER_KAFKA_TOPIC_PREFIX"),
    ],
)
async def test_bad_settings_are_named(market, monkeypatch, change, setting):
    monkeypatch.setattr(feed, "TOPICS_WITHIN_S", 1.0)
    with pytest.raises(Misconfigured) as refused:
        await app.run(market.settings.model_copy(update=change), asyncio.Event())
    assert refused.value.setting == setting


async def test_stopping_does_not_wait_for_a_client_that_does_not_read(market):
    async with market.gateway():
        slow = await raw_client(market.settings.websocket_port, KLINES_WANTED)
        await _flood(market, range(3_000))
        stopped_s = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - stopped_s < 10
    slow.close()


async def test_a_broker_that_is_away_is_told_to_clients_and_to_probes(topic_prefix, monkeypatch):
    monkeypatch.setattr(feed, "SILENT_AFTER_MS", 1_000)
    kafka = EmbeddedKafka(None, heap_mb=256)
    try:
        market = Market(await kafka.start(), topic_prefix)
        await ensure_topics(market.settings.kafka_bootstrap, specs(market))
        async with market.gateway(), market.client("/") as client:
            while (await receive(client))["kafka"] != "up":
                pass
            await kafka.stop()
            while (await receive(client))["kafka"] != "away":
                pass
            async with httpx.AsyncClient(base_url=f"http://{market.address}") as http:
                answer = await http.get("/health/ready")
            assert (answer.status_code, answer.json()["status"]) == (503, "kafka away")
    finally:
        await kafka.stop()


async def test_stopping_ends_connections_with_a_code_that_means_restart(market):
    async with market.gateway():
        client = await market.client()
        await subscribe(client)
    with pytest.raises(ConnectionClosed):
        await receive(client)
    assert client.close_code == 1012
