"""The recovery of one exchange as a process: reads gaps, fetches what is missing, tells of it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from ingest.exchanges import exchange as exchange_named
from ingest.exchanges.base import Exchange
from ingest.recovery.capabilities import capability
from ingest.recovery.fetch import MarketPast, open_market
from ingest.recovery.gaps import OpenGaps
from ingest.recovery.journal import Journal
from ingest.recovery.log import GapLog
from ingest.recovery.worker import Recoverer, Topics, together
from runtime import ready
from runtime.errors import Retriable
from runtime.kafka import ensure_topics, producer_options, topic_specs, wait_for_broker
from runtime.settings import Settings
from schemas.topics import GAPS, RECOMPUTE, RECOVERY, TRADES
from schemas.trades import Channel

logger = structlog.get_logger(__name__)

STOP_TIMEOUT_S = 3.0


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Recover until ``stop``; what is in hand then is done again after the next start."""
    exchange = exchange_named(settings.exchange)
    async with opened(settings) as producer:
        await until_stopped(_recover(settings, exchange, producer), stop)
    logger.info("recovery_stopped")


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[AIOKafkaProducer]:
    """Yield a producer, with the topics there; Kafka's errors leave it as Retriable."""
    await wait_for_broker(settings.kafka_bootstrap)
    await ensure_topics(
        settings.kafka_bootstrap, topic_specs(settings, (TRADES, GAPS, RECOMPUTE, RECOVERY))
    )
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap, **producer_options())
    try:
        await producer.start()
        yield producer
    except KafkaError as e:
        raise Retriable(f"Kafka at {settings.kafka_bootstrap}: {e!r}", retry_after_s=1.0) from e
    finally:
        with contextlib.suppress(TimeoutError):  # it waits for Kafka, which may be away
            await asyncio.wait_for(producer.stop(), STOP_TIMEOUT_S)


async def until_stopped(work: Coroutine[Any, Any, None], stop: asyncio.Event) -> None:
    """Run ``work`` until it ends, or cancel it when told to stop."""
    working = asyncio.ensure_future(work)
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
    finally:
        stopping.cancel()
        working.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await working


def market_opener(
    stack: AsyncExitStack, settings: Settings, exchange: Exchange, producer: AIOKafkaProducer
) -> Callable[[Channel], Coroutine[Any, Any, MarketPast]]:
    """Return what opens the market of a channel, once, when it is first needed."""
    turn = asyncio.Lock()
    markets: dict[Channel, MarketPast] = {}

    async def open_once(channel: Channel) -> MarketPast:
        async with turn:
            if channel not in markets:
                markets[channel] = await open_market(
                    stack,
                    settings,
                    exchange,
                    exchange.markets[channel],
                    producer=producer,
                    partitions=settings.kafka_partitions,
                )
            return markets[channel]

    return open_once


async def _recover(settings: Settings, exchange: Exchange, producer: AIOKafkaProducer) -> None:
    for channel in exchange.markets:
        capability(exchange.name, channel)
    by_time = frozenset(c for c, market in exchange.markets.items() if market.ids == "unique")
    gaps = OpenGaps(exchange.name, frozenset(exchange.markets), by_time)
    journal = Journal(settings, producer)
    await journal.load()
    for progress in journal.gaps():
        gaps.learn(progress)
    topics = Topics(*(settings.kafka_topic_prefix + topic.name for topic in (GAPS, RECOMPUTE)))
    async with AsyncExitStack() as stack:
        worker = Recoverer(
            gaps,
            journal,
            producer,
            topics,
            market_opener(stack, settings, exchange, producer),
            settle_ms=settings.recovery_settle_ms,
        )
        log = await stack.enter_async_context(
            GapLog(settings.kafka_bootstrap, topics.gaps, gaps.take)
        )
        await log.caught_up.wait()
        log.check()
        logger.info("recovery_live", exchange=exchange.name, gaps=sum(1 for _ in gaps))
        ready.announce()
        await together(worker.run(), _pass_news(log, worker))


async def _pass_news(log: GapLog, worker: Recoverer) -> None:
    while True:
        await log.news.wait()
        log.news.clear()
        log.check()
        worker.wake()
