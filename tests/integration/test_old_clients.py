"""What the documents of other programs let their clients send, sent to the gateway as written."""

import asyncio
import json
from decimal import Decimal

import httpx
import msgspec
import pytest
from websockets.asyncio.client import connect

from runtime.kafka import TopicSpec, ensure_topics
from runtime.settings import Settings
from schemas.klines import Kline, KlineEnvelope
from schemas.snapshots import Tick, TickEnvelope, encode_snapshot
from schemas.topics import GAPS, KLINES, KLINES_LIVE, TICKS, symbol_key
from sinks.gateway.seeds.health import redis_state_of
from tests.support.streaming import World
from tests.support.told import fits

pytestmark = pytest.mark.integration

SECOND, MINUTE = 1_000, 60_000
T0 = 1_731_232_845_000  # 2024-11-10 15:30:45 in India
NAMES = {"exchange": "binance", "channel": "linear"}
ADD = "Subscribed to BTCUSDT"
STATUS = {"historical_loading": False, "gap_recovery": False, "data_quality": "complete"}
encode = msgspec.json.Encoder(decimal_format="number").encode


def kline(at_ms: int, rev: int, *, interval=SECOND, closed=True, **more) -> Kline:
    fields = {
        "symbol": "BTCUSDT", "interval": interval, "timestamp": at_ms - at_ms % interval,
        "open": Decimal("53250.50"), "high": Decimal("53275.00"), "low": Decimal("53240.20"),
        "close": Decimal("53260.75"), "volume": Decimal("12.45332"), "closed": closed,
        "quote_volume": Decimal("1.0"), "taker_buy_volume": Decimal("0.0"),
        "taker_buy_quote_volume": Decimal("0.0"), "trade_count": 142, "first_id": 1, "last_id": 2,
        "rev": rev, "cause": "live", "quality": "proven", "missing": 0,
    }  # fmt: skip
    return Kline(**{**fields, **more})


class Market(World):
    """A world in which candles are made and trades told."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        super().__init__(bootstrap, prefix)
        agents = ("klines", "ticks")
        changes = {"kafka_partitions": 1, "process_agents": agents}
        self.settings = self.settings.model_copy(update=changes)

    async def make(self, *klines: Kline) -> None:
        envelope = KlineEnvelope("binance", "linear", list(klines), 1)
        topic = KLINES if klines[0].closed else KLINES_LIVE
        key = symbol_key("binance", "linear", klines[0].symbol)
        await self.put(topic, key, encode(envelope))

    async def trade(self, price: str, qty: str) -> None:
        tick = Tick("BTCUSDT", Decimal(price), Decimal(qty), 1, T0, 7, 7)
        value = encode_snapshot(TickEnvelope("binance", "linear", [tick], 1))
        await self.put(TICKS, symbol_key("binance", "linear", "BTCUSDT"), value)


@pytest.fixture
async def market(kafka_bootstrap, topic_prefix):
    early = [TopicSpec(name=topic_prefix + topic.name, partitions=1) for topic in (GAPS, TICKS)]
    await ensure_topics(kafka_bootstrap, early)
    async with Market(kafka_bootstrap, topic_prefix) as market:
        yield market


@pytest.fixture
async def api(market):
    async with market.gateway() as client:
        yield client


def stream(api: httpx.AsyncClient, path: str):
    return connect(str(api.base_url).replace("http", "ws").rstrip("/") + path)


async def receive(client) -> dict:
    async with asyncio.timeout(10):
        return json.loads(await client.recv())


async def until(ask, done) -> httpx.Response:
    async with asyncio.timeout(5):
        while not done(answer := await ask()):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return answer


OHLC = {
    "symbol": "BTCUSDT", "timestamp": "2024-11-10 15:30:45 IST",
    "open": 53250.50, "high": 53275.00, "low": 53240.20, "close": 53260.75,
}  # fmt: skip
TICK = {
    "symbol": "BTCUSDT", "price": 53250.50, "qty": 0.05234, "timestamp": "2024-11-10 15:30:45 IST",
}  # fmt: skip
# Of the price streamer's document, in its order: request, body, answer.
WRITTEN = [
    ("GET", "/", None, {"message": "Crypto Price Streaming Platform is active"}),
    ("GET", "/symbols/available", None, {"count": 2, "symbols": ["BTCUSDT", "ETHUSDT"]}),
    ("GET", "/symbols", None, {"symbols": []}),
    ("POST", "/add_symbol", {"symbol": "BTCUSDT"}, {"message": ADD, "symbol": "BTCUSDT"}),
    ("POST", "/add_symbol", {"symbol": "btcusdt"}, {"message": ADD, "symbol": "BTCUSDT"}),
    ("GET", "/symbols", None, {"symbols": ["BTCUSDT"]}),
    ("GET", "/tick/BTCUSDT", None, TICK),
    ("GET", "/ohlc/BTCUSDT", None, OHLC),
    ("GET", "/ohlc/btcusdt?tz=UTC", None, OHLC | {"timestamp": "2024-11-10 10:00:45 UTC"}),
    ("DELETE", "/remove_symbol/BTCUSDT", None, {"message": "Unsubscribed from BTCUSDT"}),
    ("GET", "/symbols", None, {"symbols": []}),
]
REFUSED = [
    ("POST", "/add_symbol", {"symbol": "BTCUSD"}, 404, ["BTCUSDT"]),
    ("POST", "/add_symbol", {"symbol": "LUNAUSDT"}, 422, []),
    ("DELETE", "/remove_symbol/BTCUSDT", None, 404, []),
    ("GET", "/tick/BTCUSD", None, 404, ["BTCUSDT"]),
    ("GET", "/tick/ETHUSDT", None, 404, []),
    ("GET", "/ohlc/ETHUSD", None, 404, ["ETHUSDT"]),
    ("GET", "/ohlc/ETHUSDT", None, 404, []),
    ("GET", "/ohlc/BTCUSDT?tz=Mars", None, 422, ["UTC", "Asia/Kolkata"]),
    ("GET", "/ohlc/BTCUSDT?exchange=binanse", None, 404, ["binance"]),
    ("GET", "/symbols?channel=linear&exchange=kraken", None, 422, ["spot"]),
]


async def test_every_request_of_the_price_streamer_gets_the_answer_written_there(market, api):
    await market.make(kline(T0, 5))
    await market.make(kline(T0 + SECOND, 6, closed=False, close=Decimal("1.0")))  # not over yet
    await market.trade("53250.50", "0.05234")
    for path in ("/tick/BTCUSDT", "/ohlc/BTCUSDT"):
        await until(lambda path=path: api.get(path), lambda answer: answer.status_code == 200)
    for method, path, body, answer in WRITTEN:
        found = await api.request(method, path, json=body)
        assert (found.status_code, found.json()) == (200, answer), path
    assert '"price":53250.50' in (await api.get("/tick/BTCUSDT")).text  # digit for digit
    wanted = [control.enabled for _, control in await market.controls()]
    assert wanted == [True, False]  # twice is as good as once
    for method, path, body, status, near in REFUSED:
        found = await api.request(method, path, json=body)
        like = found.json()["detail"]["near"]
        assert (found.status_code, like[: max(len(near), 1)]) == (status, near), path


async def test_browsers_get_the_page_where_programs_get_the_message(api):
    page = await api.get("/", headers={"accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["vary"] == "accept"


async def test_each_second_is_pushed_once_in_the_form_written_there(market, api):
    async with stream(api, "/ws/ohlc") as client, stream(api, "/?format=ohlc&tz=UTC") as utc:
        await asyncio.sleep(0.1)  # both are subscribed before the first candle is made
        await market.make(kline(T0, 5), kline(T0, 5, interval=MINUTE))
        assert fits(await receive(client), "ohlc") == OHLC
        assert (await receive(utc))["timestamp"] == "2024-11-10 10:00:45 UTC"
        await market.make(kline(T0 + SECOND, 6, closed=False))
        await market.make(kline(T0, 7, cause="late", close=Decimal("1.0")))
        await market.make(kline(T0 + SECOND, 8))
        assert (await receive(client))["timestamp"] == "2024-11-10 15:30:46 IST"


SUBSCRIBE = """{
  "action": "subscribe",
  "subscriptions": [
    {
      "symbol": "BTCUSDT",
      "timeframes": [
        {"timeframe": 15, "initial_candles": 100},
        {"timeframe": 173, "initial_candles": 20}
      ]
    }
  ]
}"""


async def test_a_subscription_of_the_data_provider_gets_updates_as_written_there(market, api):
    quarter = 15 * MINUTE
    await market.make(kline(T0, 5, interval=quarter))
    await until(lambda: api.get("/api/v1/series"), lambda answer: answer.json()["series"])
    async with stream(api, "/ws/stream?format=ohlcv_update&key=k&user=admin") as client:
        await client.send(SUBSCRIBE)
        assert (await receive(client))["type"] == "subscribed"
        update = {
            "type": "ohlcv_update", "symbol": "BTCUSDT", "timeframe": "15m",
            "data": {"candle_time": T0 - T0 % quarter, "open": 53250.50, "high": 53275.00,
                     "low": 53240.20, "close": 53260.75, "volume": 12.45332, "trades_count": 142},
            "data_status": STATUS,
        }  # fmt: skip
        assert fits(await receive(client), "ohlcv_update") == update
        await market.make(kline(T0 + quarter, 6, interval=quarter, closed=False))
        assert (await receive(client))["data"]["candle_time"] == T0 - T0 % quarter + quarter
        await client.send('{"action":"sell"}')
        assert (await receive(client))["type"] == "error"


async def test_every_closed_candle_comes_in_the_streamers_envelope_without_a_word(market, api):
    async with stream(api, "/?format=envelope") as client:
        await client.send('{"action":"ping"}')
        assert (await receive(client))["type"] == "pong"
        await market.make(kline(T0, 5, interval=MINUTE, closed=False))
        await market.make(kline(T0, 6, interval=MINUTE))
        row = {
            "symbol": "BTCUSDT", "interval": MINUTE, "timestamp": T0 - T0 % MINUTE,
            "open": 53250.50, "high": 53275.00, "low": 53240.20, "close": 53260.75,
            "volume": 12.45332, "trade_count": 142,
        }  # fmt: skip
        told = fits(await receive(client), "envelope")
        assert told == NAMES | {"data_type": "klines", "data": [row]}


# Of the tick streamer's document: exchange, symbol, kind, transport; how many streams that is here.
STREAMS = [
    ("BinanceLinear", "BTCUSDT", "OpenInterest", "HttpPoll", 1),
    ("BinanceLinear", "BTCUSDT", "Funding", "HttpPoll", 1),
    ("BinanceLinear", "BTCUSDT", "Trades", "Ws", 1),
    ("BinanceLinear", "BTCUSDT", "L2Book", "Ws", 1),
    ("BinanceLinear", "BTCUSDT", "Liquidations", "Ws", 1),
    ("HyperliquidPerp", "BTC", "Trades", "Ws", 1),
    ("HyperliquidPerp", "BTC", "L2Book", "Ws", 1),
    ("HyperliquidPerp", "BTC", "FundingOpenInterest", "Ws", 2),
]
PATCH = {"db_writes_enabled": True, "redis_publishes_enabled": True}


async def test_the_calls_of_the_tick_streamer_are_obeyed_as_written_there(api):
    assert "binance" in (await api.get("/streams/capabilities")).json()
    for *named, count in STREAMS:
        body = dict(zip(("exchange", "symbol", "kind", "transport"), named, strict=True))
        assert (await api.post("/streams", json=body)).status_code == 202, named
        found = (await api.get("/streams/" + "/".join(named))).json()
        assert found.get("count", 1) == count, named
    everything = sum(count for *_, count in STREAMS)
    assert (await api.get("/streams/count")).json()["count"] == everything
    assert (await api.get("/streams")).json()["count"] == everything
    knobs = "/streams/BinanceLinear/BTCUSDT/Trades/Ws/knobs"
    assert (await api.patch(knobs, json=PATCH)).json() == (await api.get(knobs)).json()
    trades = {"exchange": "BinanceLinear", "symbol": "BTCUSDT", "kind": "Trades", "transport": "Ws"}
    assert (await api.request("DELETE", "/streams", json=trades)).status_code == 202
    assert (await api.get("/streams/count")).json()["count"] == everything - 1


NO_FORMS = {
    "/?format=xml": "ohlcv_update",
    "/?format=envelope&channel=swap": "spot",
    "/?format=envelope&exchange=binanse": "binance",
    "/ws/ohlc?tz=Mars": "Asia/Kolkata",
}
HEALTH = {"runtime": "ok", "kafka": "ok", "db": "not configured", "redis": "not configured"}


async def test_a_form_that_is_none_is_told_and_health_is_told_part_by_part(api):
    for path, hint in NO_FORMS.items():
        async with stream(api, path) as client:
            assert hint in (await receive(client))["hint"]
            await client.wait_closed()
            assert client.close_code == 1008
    found = {part: await api.get(f"/health/{part}") for part in HEALTH}
    assert {part: answer.json()["status"] for part, answer in found.items()} == HEALTH
    assert [answer.status_code for answer in found.values()] == [200, 200, 503, 503]


async def test_redis_is_asked_for_its_health(redis_url):

    host, port = redis_url.removeprefix("redis://").removesuffix("/0").split(":")
    there = Settings(_env_file=None, redis_host=host, redis_port=int(port))
    assert await redis_state_of(there) == "ok"
    assert (await redis_state_of(there.model_copy(update={"redis_port": 1}))).startswith("away")
