"""One market's past: its sources, and the fetching of one step into the topic."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial

import structlog
from aiokafka import AIOKafkaProducer, TopicPartition

from ingest import plan
from ingest.exchanges.base import Exchange, Instrument, Market, TradeRow
from ingest.recovery import metrics, ranges
from ingest.recovery.archives import open_archive
from ingest.recovery.capabilities import Capability, capability
from ingest.recovery.delivery import Delivery
from ingest.recovery.planner import NEAR_PAGES, Reach, Step
from ingest.recovery.rest import RestSource, open_host
from ingest.recovery.seen import Series, seen_keys, unseen
from ingest.recovery.source import OutOfReach, TradeSource
from runtime.kafka import partition_for
from runtime.settings import Settings
from schemas.recovery import FetchedFrom
from schemas.topics import TRADES, symbol_key

logger = structlog.get_logger(__name__)


CLOCKS_MS = 2_000  # gaps of streams are told by our clock, trades by the venue's


@dataclass(slots=True)
class Fetched:
    """What a step has published so far: it holds also where the step failed."""

    given: list[ranges.Range] = field(default_factory=list)
    trades: int = 0
    rev: int = -1


@dataclass(slots=True, kw_only=True)
class MarketPast:
    """The past of one market; ``rest`` and ``archive`` are None where it has none."""

    settings: Settings
    exchange: Exchange
    market: Market
    reach: Reach
    rest: TradeSource | None
    archive: TradeSource | None
    delivery: Delivery
    partitions: int
    symbols: frozenset[str]
    """Those that were listed at the start."""
    listed: Callable[[], Awaitable[Sequence[Instrument]]]

    def source(self, name: FetchedFrom) -> TradeSource:
        """Return the source of that name, which the plan has found to be there."""
        found = self.rest if name == "rest" else self.archive
        if found is None:
            raise AssertionError(f"{self.exchange.name} {self.market.channel} has no {name}")
        return found

    def series(self, symbol: str) -> Series:
        """Return where the trades of a symbol are."""
        name, channel = self.exchange.name, self.market.channel
        partition = partition_for(symbol_key(name, channel, symbol), self.partitions)
        topic = self.settings.kafka_topic_prefix + TRADES.name
        return Series(name, channel, symbol, TopicPartition(topic, partition))

    async def fetch(self, step: Step, fetched: Fetched) -> None:
        """Publish what a step asks for; whatever ends it, ``fetched`` says what is stored."""
        symbol = step.gaps[0].symbol
        if not self.delivery.knows(symbol):  # listed since the start
            self.delivery.list_anew(await self.listed())
            if not self.delivery.knows(symbol):
                raise OutOfReach(symbol, "not listed, so the size of its contract is not known")
        if step.gaps[0].is_by_time:
            await self._by_time(step, fetched)
            return
        near = int(self.reach.capability.page_rows * NEAR_PAGES)
        blocks = ranges.merged(step.wanted, near if step.source == "rest" else 1 << 62)
        for first, last in blocks:
            source = self.source(step.source)
            async for page in source.pages(symbol, first, last, step.from_ms, step.to_ms):
                rows = [row for row in page if ranges.holds(step.wanted, *self._ids(row))]
                stored = await self.publish(rows, step.source, fetched)
                fetched.given += ranges.merged(map(self._ids, stored))

    async def publish(
        self, rows: Sequence[TradeRow], source: FetchedFrom, fetched: Fetched
    ) -> Sequence[TradeRow]:
        """Publish one page, note it, and return what was stored."""
        metrics.pages.labels(self.exchange.name, self.market.channel, source).inc()
        if not rows:
            return rows
        stored, rev = await self.delivery.publish(rows, source)
        fetched.trades += len(stored)
        fetched.rev = max(fetched.rev, rev)
        return stored

    async def _by_time(self, step: Step, fetched: Fetched) -> None:
        symbol = step.gaps[0].symbol
        from_ms = min(gap.from_ms for gap in step.gaps)
        to_ms = max(gap.to_ms for gap in step.gaps)
        bootstrap = self.settings.kafka_bootstrap
        seen = await seen_keys(bootstrap, self.series(symbol), from_ms, to_ms)
        spans = ranges.merged((g.from_ms - CLOCKS_MS, g.to_ms + CLOCKS_MS) for g in step.gaps)
        pages = self.source(step.source).pages(
            symbol, None, None, step.from_ms - CLOCKS_MS, step.to_ms + CLOCKS_MS
        )
        async for page in pages:
            rows = [row for row in page if ranges.holds(spans, row.ts, row.ts)]
            await self.publish(unseen(rows, seen), step.source, fetched)

    def _ids(self, row: TradeRow) -> ranges.Range:
        """Return the ids that a row fills: a Binance aggregate has trade ids inside, and is one."""
        return (row.first, row.last) if self.market.ids == "range" else (row.id, row.id)


def pages_per_s(settings: Settings, market: Market, table: Capability) -> float:
    """Return how many pages our share of the budget pays."""
    budget = market.rest_budget
    return budget.weight_max * settings.recovery_rest_share / budget.window_s / table.rest_weight


async def open_market(
    stack: AsyncExitStack,
    settings: Settings,
    exchange: Exchange,
    market: Market,
    *,
    producer: AIOKafkaProducer,
    partitions: int,
) -> MarketPast:
    """Open the sources of a market until the stack is closed."""
    table = capability(exchange.name, market.channel)
    host = await stack.enter_async_context(open_host(settings, exchange, market))
    archive = await stack.enter_async_context(open_archive(settings, exchange.name, market))
    listing = partial(plan.instruments, settings, exchange, market, host.ask)
    listed = await listing()
    # Where a file names trades otherwise than the stream did, what was heard could count twice.
    tells_apart = archive is not None and archive.ids_match and table.archive_lag_ms is not None
    logger.info(
        "past_opened", exchange=exchange.name, channel=market.channel, archive=archive is not None
    )
    return MarketPast(
        settings=settings,
        exchange=exchange,
        market=market,
        reach=Reach(
            capability=table,
            has_archive=tells_apart,
            pages_per_s=pages_per_s(settings, market, table),
        ),
        rest=RestSource(table.rest, host.ask) if table.rest is not None else None,
        archive=archive,
        delivery=Delivery(
            producer,
            settings.kafka_topic_prefix + TRADES.name,
            exchange,
            market,
            instruments=listed,
            partitions=partitions,
        ),
        partitions=partitions,
        symbols=frozenset(i.symbol for i in listed),
        listed=listing,
    )
