"""The Redis sink on a real Redis, and on a real broker where the log matters."""

import asyncio
import json
from decimal import Decimal
from urllib.parse import urlsplit

import msgspec
import pytest
from aiokafka import AIOKafkaProducer
from redis.asyncio import Redis

from runtime.errors import Misconfigured, Retriable
from runtime.kafka import TopicSpec, ensure_topics
from runtime.ports import free_port
from runtime.servers.redis import EmbeddedRedis
from runtime.settings import Settings
from schemas.control import Control
from schemas.streams import StreamKey
from schemas.topics import CONTROL, DEAD_LETTERS, KLINES, PRICES
from sinks import app, topics
from sinks.redis import RedisSink
from tests.support import market

pytestmark = pytest.mark.integration

MINUTE_MS = 60_000


async def no_history(_topic):
    return
    yield


@pytest.fixture
def settings(redis_url, topic_prefix) -> Settings:
    url = urlsplit(redis_url)
    return Settings(
        redis_host=url.hostname,
        redis_port=url.port,
        redis_main_key=topic_prefix + "main[1]*",
        kafka_topic_prefix=topic_prefix,
        kafka_partitions=2,
    )


@pytest.fixture
async def redis(redis_url):
    async with Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


@pytest.fixture
async def sink(settings):
    sink = RedisSink(settings, history=no_history)
    await sink.open()
    yield sink
    await sink.close()


def closed(minute: int, close: str, rev: int) -> bytes:
    opened_ms = market.BASE_MS + minute * MINUTE_MS
    return market.klines_value(market.kline(timestamp=opened_ms, close=Decimal(close), rev=rev))


async def last_closed(redis, settings, interval="1m", symbol="BTCUSDT"):
    text = await redis.hget(f"{settings.redis_main_key}:last-closed:linear:{interval}", symbol)
    return json.loads(text, parse_float=Decimal) if text else None


async def test_a_closed_candle_is_kept_as_the_row_with_exact_numbers(sink, settings, redis) -> None:
    assert await sink.write(market.batch(KLINES.name, [closed(0, "28149.99", 7)])) == []
    row = await last_closed(redis, settings)
    assert row["symbol"] == "BTCUSDT"
    assert row["interval"] == MINUTE_MS
    assert row["close"] == Decimal("28149.99")
    assert row["trade_count"] == 42
    key = f"{settings.redis_main_key}:last-closed:linear:1m"
    assert 0 < await redis.ttl(key) <= settings.redis_ttl_s


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)])
@pytest.mark.parametrize("together", [True, False])
async def test_any_order_of_arrival_ends_at_the_newest_revision_of_the_newest_candle(
    sink, settings, redis, order, together
) -> None:
    values = [closed(0, "1", 5), closed(0, "2", 9), closed(1, "3", 7), closed(1, "4", 8)]
    arriving = [values[i] for i in order]
    batches = [arriving] if together else [[value] for value in arriving]
    for each in batches:
        await sink.write(market.batch(KLINES.name, each))
    for each in batches:  # a replay
        await sink.write(market.batch(KLINES.name, each))
    assert (await last_closed(redis, settings))["close"] == 4


async def test_prices_never_go_back_and_other_exchanges_do_not_mix(sink, settings, redis) -> None:
    values = [
        market.price_value("28145.10", 5),
        market.price_value("28144.00", 4),
        market.price_value("0.00000012", 9, exchange="bybit"),
    ]
    for value in values:
        await sink.write(market.batch(PRICES.name, [value]))
    hash_ = await redis.hgetall(f"{settings.redis_main_key}:price:linear")
    assert hash_ == {"BTCUSDT": "28145.10", "bybit:BTCUSDT": "0.00000012"}


async def test_candles_and_accepted_prices_are_said_on_their_channels(
    sink, settings, redis
) -> None:
    main = settings.redis_main_key
    async with redis.pubsub() as channel:
        await channel.subscribe(f"{main}:klines:linear:1m", f"{main}:price:linear")
        for _ in range(2):
            await channel.get_message(timeout=5)
        await sink.write(market.batch(KLINES.name, [closed(0, "1", 5), closed(1, "2", 6)]))
        await sink.write(market.batch(PRICES.name, [market.price_value("7.5", 3)]))
        await sink.write(market.batch(PRICES.name, [market.price_value("7.4", 2)]))
        await sink.write(market.batch(PRICES.name, [market.price_value("7.6", 4)]))
        said = [
            json.loads(
                (await channel.get_message(ignore_subscribe_messages=True, timeout=5))["data"]
            )
            for _ in range(4)
        ]
    assert [(m["data_type"], m["exchange"], len(m["data"])) for m in said[:2]] == [
        ("klines", "binance", 1)
    ] * 2
    assert [m["data"][0]["close"] for m in said[:2]] == [1, 2]
    assert [m["data"][0]["price"] for m in said[2:]] == [7.5, 7.6]


async def test_a_correction_of_an_older_candle_is_said_but_not_kept(sink, settings, redis) -> None:
    await sink.write(market.batch(KLINES.name, [closed(1, "2", 6)]))
    async with redis.pubsub() as channel:
        await channel.subscribe(f"{settings.redis_main_key}:klines:linear:1m")
        await channel.get_message(timeout=5)
        await sink.write(market.batch(KLINES.name, [closed(0, "1", 9)]))
        message = await channel.get_message(ignore_subscribe_messages=True, timeout=5)
    assert json.loads(message["data"])["data"][0]["rev"] == 9
    assert (await last_closed(redis, settings))["close"] == 2


async def test_bad_records_are_refused_and_the_rest_lands(sink, settings, redis) -> None:
    odd = market.klines_value(market.kline(interval=1_500))
    text = market.klines_value().replace(b'"open":28145.10', b'"open":"cheap"')
    refused = await sink.write(market.batch(KLINES.name, [b"{", odd, text, closed(0, "1", 5)]))
    assert [each.record.offset for each in refused] == [0, 1, 2]
    assert (await last_closed(redis, settings))["close"] == 1


async def test_start_cleans_our_keys_and_no_others(sink, settings, redis) -> None:
    main = settings.redis_main_key
    # The main key holds glob characters: `main[1]*` must not match `main1...`.
    neighbour = main.replace("[1]*", "1x") + ":price:linear"
    await redis.hset(neighbour, "BTCUSDT", "1")
    await redis.set(f"{main}:mine", "1")
    await sink.write(market.batch(KLINES.name, [closed(0, "1", 5)]))
    await sink.write(market.batch(PRICES.name, [market.price_value("7.5", 3)]))
    again = RedisSink(settings, history=no_history)
    await again.open()
    await again.close()
    left = {key async for key in redis.scan_iter(match="*") if key.startswith(main)}
    assert left == {f"{main}:mine", f"{main}:rebuilt"}
    assert await redis.exists(neighbour)


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid"])
async def test_a_wrong_address_is_the_operators_to_correct(monkeypatch, host) -> None:
    monkeypatch.setattr("sinks.redis.TRY_INTERVAL_S", 0.01)
    sink = RedisSink(Settings(redis_host=host, redis_port=free_port()))
    with pytest.raises(Misconfigured) as caught:
        await sink.open()
    await sink.close()
    assert caught.value.setting == "STREAMER_REDIS_HOST"


async def test_no_address_is_the_operators_to_set() -> None:
    with pytest.raises(Misconfigured, match="STREAMER_REDIS_HOST"):
        RedisSink(Settings(redis_host=""))


async def test_a_redis_that_came_back_empty_is_rebuilt(topic_prefix) -> None:
    async def history(topic):
        yield list(market.batch(PRICES.name, [market.price_value("5", 1, "ETHUSDT")]).records)

    port = free_port()
    server = EmbeddedRedis(None, port=port)
    await server.start()
    settings = Settings(redis_host="127.0.0.1", redis_port=port, redis_main_key=topic_prefix)
    sink = RedisSink(settings, history=history)
    try:
        await sink.open()
        await server.stop()
        new = market.batch(PRICES.name, [market.price_value("7", 2)])
        with pytest.raises(Retriable):
            await sink.write(new)
        server = EmbeddedRedis(None, port=port)
        await server.start()
        await sink.write(new)
        async with Redis(port=port, decode_responses=True) as redis:
            hash_ = await redis.hgetall(f"{topic_prefix}:price:linear")
        assert hash_ == {"ETHUSDT": "5", "BTCUSDT": "7"}
    finally:
        await sink.close()
        await server.stop()


async def produce(settings, topic, values, key=b"binance:linear:BTCUSDT") -> None:
    async with AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap) as producer:
        for value in values:
            await producer.send_and_wait(settings.kafka_topic_prefix + topic.name, value, key=key)


async def until(what, within_s: float = 30.0):
    async with asyncio.timeout(within_s):
        while not (found := await what()):  # noqa: ASYNC110 - a store has no event to wait for
            await asyncio.sleep(0.05)
    return found


async def test_a_restart_has_complete_hashes_though_everything_was_committed(
    settings, kafka_bootstrap, redis
) -> None:
    settings = settings.model_copy(update={"kafka_bootstrap": kafka_bootstrap})
    prefix = settings.kafka_topic_prefix
    await ensure_topics(
        kafka_bootstrap,
        [TopicSpec(name=prefix + t.name, partitions=2) for t in (KLINES, PRICES)]
        + [TopicSpec(name=prefix + DEAD_LETTERS.name, partitions=1)],
    )
    await produce(settings, KLINES, [closed(0, "1", 5), closed(1, "2", 6)])
    await produce(settings, PRICES, [market.price_value("7.5", 3)])

    async def run_until_price(price: str) -> None:
        stop = asyncio.Event()
        running = asyncio.create_task(app.run("redis", settings, stop))
        key = f"{settings.redis_main_key}:price:linear"

        async def arrived() -> bool:
            if running.done():
                running.result()
            return await redis.hget(key, "BTCUSDT") == price

        await until(arrived)
        stop.set()
        await asyncio.wait_for(running, 15)

    await run_until_price("7.5")
    await until(lambda: last_closed(redis, settings))
    await redis.hset(f"{settings.redis_main_key}:price:linear", "GONE", "1")
    await produce(settings, PRICES, [market.price_value("7.6", 4)])
    await run_until_price("7.6")
    assert (await last_closed(redis, settings))["close"] == 2
    assert await redis.hgetall(f"{settings.redis_main_key}:price:linear") == {"BTCUSDT": "7.6"}


async def test_a_muted_symbol_is_left_out_from_the_first_record_on_and_comes_back(
    settings, redis, kafka_bootstrap
) -> None:
    settings = settings.model_copy(update={"kafka_bootstrap": kafka_bootstrap})
    prefix = settings.kafka_topic_prefix
    stop = asyncio.Event()
    stream = StreamKey("binance", "linear", "BTCUSDT", "trades", "ws")
    off = Control(**stream._asdict(), redis_publishes_enabled=False)
    prices = f"{settings.redis_main_key}:price:linear"
    await topics.ensure(settings, (CONTROL, KLINES, PRICES, DEAD_LETTERS))
    async with AIOKafkaProducer(bootstrap_servers=kafka_bootstrap) as producer:

        async def put(topic, key: str, value: bytes | None) -> None:
            await producer.send_and_wait(prefix + topic.name, value, key.encode(), partition=0)

        async def price(symbol: str, rev: int) -> None:
            await put(PRICES, symbol, market.price_value(str(rev), rev, symbol))

        await put(CONTROL, str(stream), msgspec.json.encode(off))
        await price("BTCUSDT", 1)
        await price("ETHUSDT", 2)
        sink = asyncio.create_task(app.run("redis", settings, stop))
        try:
            assert await becomes(lambda: redis.hgetall(prices), {"ETHUSDT": "2"})
            await price("BTCUSDT", 3)
            await price("ETHUSDT", 4)
            assert await becomes(lambda: redis.hgetall(prices), {"ETHUSDT": "4"})
            await put(CONTROL, str(stream), None)
            await asyncio.sleep(0.5)  # the two topics have no common order
            await price("BTCUSDT", 5)
            both = {"BTCUSDT": "5", "ETHUSDT": "4"}
            assert await becomes(lambda: redis.hgetall(prices), both)
        finally:
            stop.set()
            await sink


async def becomes(ask, wanted) -> bool:
    async with asyncio.timeout(30):
        while True:
            found = await ask()
            if found == wanted:
                return True
            assert len(found) <= len(wanted), found
            await asyncio.sleep(0.02)
