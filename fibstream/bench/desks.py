"""One market's desk as the ingestor runs it, with a producer of the benchmark's choice."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from ingest.desk import Desk
from ingest.exchanges.base import Exchange, Instrument, Market
from ingest.intake import Intake
from ingest.link import Taker
from ingest.market import desk_of, sources_of
from ingest.publisher import Producer, Publisher
from ingest.rest import open_host
from ingest.status import StatusBoard
from runtime.settings import Settings
from schemas.streams import Kind

LIVE_WITHIN_S = 60.0
FLUSHED_WITHIN_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to stream, and how."""

    exchange: Exchange
    market: Market
    kind: Kind
    instruments: Sequence[Instrument]
    partitions: int = 1
    lifetime_s: float | None = None
    taker: Callable[[Intake], Taker] = lambda intake: intake


@asynccontextmanager
async def running_desk(
    settings: Settings, wanted: Wanted, producer: Producer
) -> AsyncIterator[Desk]:
    """Yield the desk once all its streams are acknowledged; leaving flushes what was taken."""
    exchange, market, instruments = wanted.exchange, wanted.market, wanted.instruments
    sources = sources_of(settings, exchange, market, instruments, wanted.partitions)
    dead_letters = settings.kafka_topic_prefix + "md.dead-letters.v1"
    publisher = Publisher(producer, sources.all(), dead_letters_topic=dead_letters)
    async with open_host(settings, exchange.name, market) as host:
        desk = desk_of(
            settings,
            exchange,
            market,
            instruments={i.symbol: i for i in instruments},
            sources=sources,
            publisher=publisher,
            status=StatusBoard(settings.kafka_topic_prefix),
            host=host,
            taker=wanted.taker,
            lifetime_s=wanted.lifetime_s,
        )
        for instrument in instruments:
            desk.want(wanted.kind, instrument.symbol)
        publishing = asyncio.create_task(publisher.run())
        running = asyncio.create_task(desk.run())
        try:
            live = asyncio.create_task(_live(desk))
            await asyncio.wait({running, live}, return_when=asyncio.FIRST_COMPLETED)
            for task in (running, live):
                if task.done():
                    task.result()
            yield desk
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            publisher.close()
            await asyncio.wait_for(publishing, FLUSHED_WITHIN_S)


async def _live(desk: Desk) -> None:
    async with asyncio.timeout(LIVE_WITHIN_S):
        await asyncio.sleep(0)  # it opens its feeds first
        await asyncio.gather(*(feed.live.wait() for feed in desk.feeds))
