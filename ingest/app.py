"""The ingestor of one exchange: instruments, then sockets, then trades until told to stop."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from ingest import endpoints, rest, symbols
from ingest.batches import Collector
from ingest.exchanges import exchange as exchange_named
from ingest.exchanges.base import Exchange, Instrument, Market
from ingest.feed import ATTEMPTS_WINDOW_S, Feed, packed
from ingest.intake import Intake
from ingest.link import Route
from ingest.pacing import Budget
from ingest.publisher import Publisher
from runtime import ready
from runtime.errors import Misconfigured, Poison, Retriable
from runtime.kafka import admin, partition_for, producer_options, wait_for_broker
from runtime.settings import Settings
from schemas.topics import DEAD_LETTERS, TRADES, symbol_key
from schemas.trades import Channel

logger = structlog.get_logger(__name__)

DRAIN_TIMEOUT_S = 8.0
STOP_TIMEOUT_S = 3.0


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Stream the configured symbols into Kafka until ``stop``; flush what was taken, and return.

    Raises Misconfigured before any connection to Kafka where the settings cannot work, Retriable
    when Kafka refuses records for good.
    """
    work = asyncio.create_task(_ingest(settings))
    stopper = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({work, stopper}, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            work.result()
    finally:
        stopper.cancel()
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work


async def _ingest(settings: Settings) -> None:
    exchange = exchange_named(settings.exchange)
    markets = enabled(settings, exchange)
    for market in markets:
        endpoints.socket(settings, exchange, market)  # a wrong URL is told before any request
    chosen = await choose(settings, exchange, markets)
    await wait_for_broker(settings.kafka_bootstrap)
    topic = settings.kafka_topic_prefix + TRADES.name
    partitions = await _partitions(settings.kafka_bootstrap, topic)
    async with _producer(settings) as producer:
        collectors = {
            market.channel: collector(exchange, market, chosen[market.channel], partitions)
            for market in markets
        }
        publisher = Publisher(
            producer,
            list(collectors.values()),
            topic=topic,
            dead_letters_topic=settings.kafka_topic_prefix + DEAD_LETTERS.name,
        )
        feeds = []
        for market in markets:
            route = Route(
                exchange=exchange,
                market=market,
                endpoint=endpoints.socket(settings, exchange, market),
                intake=Intake(exchange, market, collectors[market.channel], publisher),
                room=publisher.room,
            )
            feeds += _feeds(route, chosen[market.channel], settings.exchange_socket_pool_size)
        await _together(feeds, publisher)


def enabled(settings: Settings, exchange: Exchange) -> list[Market]:
    """Return the markets that the settings switch on."""
    wanted: dict[Channel, bool] = {
        "linear": settings.enable_linear_stream,
        "spot": settings.enable_spot_stream,
    }
    markets = [m for channel, m in exchange.markets.items() if wanted[channel]]
    if not markets:
        raise Misconfigured(
            "STREAMER_ENABLE_LINEAR_STREAM",
            "no channel is enabled",
            remedy="Enable it, or STREAMER_ENABLE_SPOT_STREAM.",
        )
    return markets


async def choose(
    settings: Settings, exchange: Exchange, markets: Sequence[Market]
) -> symbols.Chosen:
    """Ask the exchange what it trades, and return what shall be streamed per channel."""
    listed: dict[Channel, list[Instrument]] = {}
    counts = {}
    for market in markets:
        base = endpoints.rest(settings, exchange, market)
        try:
            listed[market.channel] = market.instruments(
                await rest.get(base, market.instruments_path)
            )
            if settings.exchange_load_all_symbols:
                tickers = await rest.get(base, market.tickers_path)
                counts[market.channel] = market.trade_counts(tickers)
        except Poison as e:
            raise base.wrong(f"does not answer like {exchange.name}: {e.reason}") from e
    if settings.exchange_load_all_symbols:
        return symbols.busiest(listed, counts, settings.exchange_symbols_limit)
    return symbols.configured(listed, settings.exchange_symbols)


def collector(
    exchange: Exchange, market: Market, instruments: Sequence[Instrument], partitions: int
) -> Collector:
    """Return the collector of one market over a topic of so many partitions."""
    return Collector(
        exchange.name,
        market.channel,
        partition_of=lambda symbol: partition_for(
            symbol_key(exchange.name, market.channel, symbol), partitions
        ),
        scales={i.symbol: (i.price_scale, i.qty_scale) for i in instruments},
    )


def _feeds(route: Route, instruments: Sequence[Instrument], pool_size: int) -> list[Feed]:
    limits = route.market.limits
    budget = Budget(limits.connections_per_5_min_max, ATTEMPTS_WINDOW_S)
    streams = [route.market.stream(i.symbol) for i in instruments]
    size = min(pool_size, limits.streams_per_socket_max)
    return [Feed(route, part, budget) for part in packed(streams, size)]


async def _together(feeds: Sequence[Feed], publisher: Publisher) -> None:
    """Run all until cancelled or one fails; then close the sockets first, and flush."""
    publishing = asyncio.create_task(publisher.run())
    sockets = [asyncio.create_task(feed.run()) for feed in feeds]
    announcing = asyncio.create_task(_announce(feeds))
    try:
        tasks = [publishing, *sockets, announcing]
        while True:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
                tasks.remove(task)
    finally:
        for task in (*sockets, announcing):
            task.cancel()
        await asyncio.gather(*sockets, announcing, return_exceptions=True)
        publisher.close()
        await _drained(publisher, publishing)


async def _drained(publisher: Publisher, publishing: asyncio.Task[None]) -> None:
    try:
        await asyncio.wait_for(publishing, DRAIN_TIMEOUT_S)
    except TimeoutError as e:
        rows = publisher.unacknowledged_rows
        raise Retriable(f"{rows} trades not acknowledged at the end", retry_after_s=1.0) from e


async def _announce(feeds: Sequence[Feed]) -> None:
    for feed in feeds:
        await feed.live.wait()
    logger.info("ingest_live", sockets=len(feeds))
    ready.announce()


@asynccontextmanager
async def _producer(settings: Settings) -> AsyncIterator[AIOKafkaProducer]:
    # The publisher's ticks make the batches; lingering on top would only add latency.
    options = {**producer_options(), "linger_ms": 0}
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap, **options)
    try:
        await producer.start()
        yield producer
    except KafkaError as e:
        raise Retriable(f"Kafka at {settings.kafka_bootstrap}: {e!r}", retry_after_s=1.0) from e
    finally:
        with contextlib.suppress(TimeoutError):  # it waits for Kafka, which may be away
            await asyncio.wait_for(producer.stop(), STOP_TIMEOUT_S)


async def _partitions(bootstrap: str, topic: str) -> int:
    async with admin(bootstrap) as client:
        described = {found["topic"]: found for found in await client.describe_topics()}
    if topic not in described:
        raise Misconfigured(
            "STREAMER_KAFKA_TOPIC_PREFIX",
            f"topic {topic} does not exist",
            remedy="Create the topics with `fibstream topics`, or correct the prefix.",
        )
    return len(described[topic]["partitions"])
