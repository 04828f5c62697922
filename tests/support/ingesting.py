"""One feed of a market with a producer that remembers, and no Kafka."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from ingest.batches import Collector
from ingest.endpoints import Endpoint
from ingest.exchanges.base import Exchange, Market
from ingest.feed import Feed
from ingest.gaps import StreamGaps
from ingest.intake import Intake
from ingest.link import Route
from ingest.outgoing import TradeRecords, UpdateCollector
from ingest.pacing import Budget
from ingest.publisher import Producer, Publisher
from ingest.streams import Streams
from schemas.trades import decode_batch

SETTING = "STREAMER_EXCHANGE_LINEAR_WS_URL"


class Log:
    """A producer that remembers the ids of each symbol; it acknowledges at once, or on release."""

    def __init__(self) -> None:
        self.ids: dict[str, list[int]] = defaultdict(list)
        self.updates: list[bytes] = []
        self.holds = False
        self.held: list[asyncio.Future[object]] = []

    async def send(
        self,
        topic: str,
        value: bytes | None = None,
        *,
        key: bytes | None = None,
        partition: int | None = None,
    ) -> asyncio.Future[object]:
        if topic == "trades":
            for group in decode_batch(value).symbols:
                self.ids[group.symbol] += group.id
        else:
            self.updates.append(value)
        done = asyncio.get_running_loop().create_future()
        self.held.append(done)
        if not self.holds:
            self.release()
        return done

    def release(self) -> None:
        held, self.held = self.held, []
        for done in held:
            done.set_result(None)

    def __len__(self) -> int:
        return sum(map(len, self.ids.values()))


class Watcher:
    """Remembers when the shard went dark and came back."""

    def __init__(self) -> None:
        self.told: list[tuple[str, float]] = []

    def lost(self, feed: Feed, reason: str) -> None:
        self.told.append((f"lost {reason}", time.monotonic()))

    def restored(self, feed: Feed) -> None:
        self.told.append(("restored", time.monotonic()))


class Rig:
    """One feed of some symbols' trades, and what it published."""

    def __init__(
        self,
        exchange: Exchange,
        market: Market,
        url: str,
        symbols: Iterable[str],
        *,
        rows_max: int = 10_000,
        budget: Budget | None = None,
        producer: Producer | None = None,
        **feed: object,
    ) -> None:
        self.log = Log()
        self.watcher = Watcher()
        self.publisher, self.intake = intake(
            exchange, market, producer or self.log, rows_max=rows_max
        )
        self.streams = Streams(market, 200)
        for symbol in symbols:
            self.streams.add("trades", symbol)
            self.intake.want("trades", symbol)
        (self.shard,) = self.streams.shards
        self.route = Route(
            exchange=exchange,
            market=market,
            endpoint=Endpoint(url, SETTING),
            intake=self.intake,
            room=self.publisher.room,
        )
        self.budget = budget or Budget(300, 300.0)
        self.feed = Feed(self.route, self.shard, self.budget, self.watcher, **feed)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Task[None]]:
        publishing = asyncio.create_task(self.publisher.run())
        task = asyncio.create_task(self.feed.run())
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            self.publisher.close()
            await asyncio.wait_for(publishing, 5)


def intake(
    exchange: Exchange, market: Market, producer: Producer, *, rows_max: int = 10_000
) -> tuple[Publisher, Intake]:
    """Return a publisher to the topics ``trades`` and ``md...`` and the intake that feeds it."""
    collector = Collector(exchange.name, market.channel, partition_of=lambda _: 0, ids=market.ids)
    updates = UpdateCollector(
        exchange.name, market.channel, topic_prefix="", partition_of=lambda _: 0
    )
    gaps = StreamGaps(exchange.name, market.channel, "")
    publisher = Publisher(
        producer,
        [TradeRecords(collector, "trades"), updates, gaps],
        dead_letters_topic="dead",
        rows_max=rows_max,
    )
    return publisher, Intake(
        exchange,
        market,
        instruments={},
        trades=collector,
        updates=updates,
        books=None,
        gaps=gaps,
        publisher=publisher,
    )
