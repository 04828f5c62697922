"""The ingestor of one exchange: instruments, then streams into Kafka until told to stop."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from urllib.parse import urlsplit

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from ingest import endpoints, rest
from ingest.control import Controls, Told, told_before
from ingest.desk import Desk
from ingest.exchanges import exchange as exchange_named
from ingest.exchanges.base import Exchange, Market
from ingest.market import desk_of, sources_of
from ingest.pacing import Budgets, attempts_of
from ingest.plan import Listed, Share, choose, enabled, instruments, kinds
from ingest.publisher import Publisher
from ingest.rest import Host
from ingest.status import StatusBoard
from runtime import ready
from runtime.errors import Misconfigured, Retriable
from runtime.kafka import admin, producer_options, wait_for_broker
from runtime.settings import Settings
from schemas.streams import StreamKey
from schemas.topics import CONTROL, DEAD_LETTERS, RAW, STREAMS
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
    share = Share(settings, exchange)
    wanted = kinds(settings)
    for market in markets:
        endpoints.socket(settings, market)  # a wrong URL is told before any request
    async with AsyncExitStack() as stack:
        hosts = {
            m.channel: await stack.enter_async_context(rest.open_host(settings, exchange.name, m))
            for m in markets
        }
        listed: Listed = {
            m.channel: await instruments(settings, exchange, m, hosts[m.channel].ask)
            for m in markets
        }
        chosen = await choose(settings, exchange, markets, hosts, listed)
        await wait_for_broker(settings.kafka_bootstrap)
        partitions = await _partitions(settings)
        controls = Controls(
            settings.kafka_bootstrap, settings.kafka_topic_prefix + CONTROL.name, exchange.name
        )
        await stack.enter_async_context(controls)
        await controls.ready()
        producer = await stack.enter_async_context(_producer(settings))
        desks, publisher, status = _desks(
            settings, exchange, markets, listed, hosts, producer, partitions
        )
        base = {
            StreamKey(exchange.name, market.channel, instrument.symbol, kind, transport)
            for market in markets
            for instrument in chosen[market.channel]
            for kind in wanted
            if (transport := desks[market.channel].transport(kind))
        }
        orders = Orders(controls, desks, base, share)
        orders.obey_all()
        _learn(
            await told_before(
                settings.kafka_bootstrap,
                settings.kafka_topic_prefix + STREAMS.name,
                exchange.name,
                settings.exchange_share,
            ),
            desks,
            status,
            share,
        )
        _check_sockets(desks, markets)
        await _together(desks, publisher, status, orders)


def _learn(told: Told, desks: Mapping[Channel, Desk], status: StatusBoard, share: Share) -> None:
    """Take over from an earlier run: say what it left out, and what runs no more."""
    ours = {key for key in told.running if share(key.channel, key.symbol)}
    now_ms = time.time_ns() // 1_000_000
    for channel, since_ms in told.alive_ms.items():
        left = [(key.kind, key.symbol) for key in ours if key.channel == channel]
        if channel in desks:
            desks[channel].left_alone(left, since_ms)
    mine = {key for key in ours if key.channel in desks and desks[key.channel].streams(key)}
    status.stop_others(ours, mine, now_ms)


def _netloc(settings: Settings, market: Market) -> str:
    return urlsplit(endpoints.socket(settings, market).url).netloc


def _check_sockets(desks: Mapping[Channel, Desk], markets: Sequence[Market]) -> None:
    """Raise Misconfigured where a venue does not allow as many sockets as are wanted."""
    for market in markets:
        sockets, most = desks[market.channel].sockets, market.limits.connections_max
        if most is not None and sockets > most:
            raise Misconfigured(
                "STREAMER_EXCHANGE_SOCKET_POOL_SIZE",
                f"{sockets} sockets are needed, and the exchange allows {most} an address",
                remedy="Pack more streams on a socket, stream fewer kinds or symbols, or no pairs.",
            )


class Orders:
    """What the settings want, overruled by ``md.control.v1``."""

    def __init__(
        self,
        controls: Controls,
        desks: Mapping[Channel, Desk],
        base: set[StreamKey],
        share: Share,
    ) -> None:
        self._controls = controls
        self._desks = desks
        self._base = base
        self._share = share

    def obey_all(self) -> None:
        """Start what shall run now."""
        for key in sorted(self._base.union(self._controls.keys())):
            self._obey(key)

    async def follow(self) -> None:
        """Obey every change until cancelled."""
        async for key in self._controls.changes():
            logger.info("stream_ordered", stream=str(key))
            self._obey(key)

    def _obey(self, key: StreamKey) -> None:
        desk = self._desks.get(key.channel)
        if desk is not None and self._share(key.channel, key.symbol):
            desk.obey(key, self._controls.wanted(key), is_default=key in self._base)


def _desks(
    settings: Settings,
    exchange: Exchange,
    markets: Sequence[Market],
    listed: Listed,
    hosts: Mapping[Channel, Host],
    producer: AIOKafkaProducer,
    partitions: int,
) -> tuple[dict[Channel, Desk], Publisher, StatusBoard]:
    """Return a desk a market, and the publisher and the board that all of them share."""
    prefix = settings.kafka_topic_prefix
    status = StatusBoard(prefix, settings.exchange_share)
    sources = {
        m.channel: sources_of(settings, exchange, m, listed[m.channel], partitions) for m in markets
    }
    for market in markets:
        status.list_instruments(exchange.name, market.channel, listed[market.channel])
    publisher = Publisher(
        producer,
        [source for found in sources.values() for source in found.all()] + [status],
        dead_letters_topic=prefix + DEAD_LETTERS.name,
    )
    attempts: dict[str, Budgets] = {}  # by host: the venue counts an address, not a market
    desks = {
        m.channel: desk_of(
            settings,
            exchange,
            m,
            instruments={i.symbol: i for i in listed[m.channel]},
            sources=sources[m.channel],
            publisher=publisher,
            status=status,
            host=hosts[m.channel],
            attempts=attempts.setdefault(_netloc(settings, m), attempts_of(m.limits)),
        )
        for m in markets
    }
    return desks, publisher, status


async def _together(
    desks: Mapping[Channel, Desk], publisher: Publisher, status: StatusBoard, orders: Orders
) -> None:
    """Run all until cancelled or one fails; then close the sockets first, and flush."""
    publishing = asyncio.create_task(publisher.run())
    work = [asyncio.create_task(desk.run()) for desk in desks.values()]
    work += [asyncio.create_task(orders.follow()), asyncio.create_task(_announce(desks))]
    try:
        tasks = {publishing, *work}
        while True:
            done, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
    finally:
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
        status.stop_all(time.time_ns() // 1_000_000)
        publisher.close()
        await _drained(publisher, publishing)


async def _drained(publisher: Publisher, publishing: asyncio.Task[None]) -> None:
    try:
        await asyncio.wait_for(publishing, DRAIN_TIMEOUT_S)
    except TimeoutError as e:
        rows = publisher.unacknowledged_rows
        raise Retriable(f"{rows} rows not acknowledged at the end", retry_after_s=1.0) from e


async def _announce(desks: Mapping[Channel, Desk]) -> None:
    """Say that all is live: every socket that the settings want has its streams acknowledged."""
    await asyncio.sleep(0)  # the desks open their feeds first
    for desk in desks.values():
        for feed in desk.feeds:
            await feed.live.wait()
    logger.info("ingest_live", sockets=sum(len(desk.feeds) for desk in desks.values()))
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


async def _partitions(settings: Settings) -> int:
    """Return the number of partitions of the raw topics, which is one."""
    async with admin(settings.kafka_bootstrap) as client:
        described = {found["topic"]: found for found in await client.describe_topics()}
    counts = {}
    for topic in (*RAW.values(), CONTROL, STREAMS, DEAD_LETTERS):
        name = settings.kafka_topic_prefix + topic.name
        if name not in described:
            raise Misconfigured(
                "STREAMER_KAFKA_TOPIC_PREFIX",
                f"topic {name} does not exist",
                remedy="Create the topics with `fibstream topics`, or correct the prefix.",
            )
        counts[topic.name] = len(described[name]["partitions"])
    raw = {counts[topic.name] for topic in RAW.values()}
    if len(raw) != 1:
        raise Misconfigured(
            "STREAMER_KAFKA_PARTITIONS",
            f"the raw topics differ in their number of partitions: {counts}",
            remedy="Give each of them as many as md.trades.v1 has.",
        )
    return raw.pop()
