"""The past of some symbols into the topic, a UTC day at a time, the youngest day first.

Backwards, because what the workers know of a symbol then grows at one end: no gap opens that is
longer than the day in hand. A day is written down when it is stored; a run that was killed does at
most one day of a symbol again.
"""

import asyncio
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec
import structlog
from aiokafka import AIOKafkaProducer

from ingest.exchanges import exchange as exchange_named
from ingest.recovery import planner
from ingest.recovery.app import market_opener, opened
from ingest.recovery.capabilities import DAY_MS, capability
from ingest.recovery.delivery import KafkaAway
from ingest.recovery.fetch import Fetched, MarketPast
from ingest.recovery.journal import Journal
from ingest.recovery.seen import oldest_ms, seen_keys, unseen
from ingest.recovery.source import Unavailable
from runtime.backoff import Backoff
from runtime.errors import Misconfigured, Retriable
from runtime.settings import Settings
from schemas.recovery import Backfill, FetchedFrom, Recovery
from schemas.trades import Channel

logger = structlog.get_logger(__name__)

TRIES_MAX = 6  # of a day at one source, about a minute
QUIET_DAYS_MAX = 14  # in a row, without a trade or without a file: there was no such symbol
_BACKOFF = Backoff(first_s=1.0, max_s=30.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to fetch: [from_ms, to_ms) of each symbol; ``to_ms`` None means until now."""

    channel: Channel
    symbols: Sequence[str]
    from_ms: int
    to_ms: int | None = None
    source: planner.Wanted = "auto"


@dataclass(slots=True)
class Done:
    """What became of one symbol."""

    symbol: str
    days: int
    days_done: int = 0
    days_before: int = 0
    """Of them, those that an earlier run had done."""
    trades: int = 0
    by_source: dict[str, int] = field(default_factory=dict)
    missing_days: list[str] = field(default_factory=list)
    nothing_before: str = ""
    """The day before which two weeks were empty or missing: the walk ended there."""


Show = Callable[[Done], None]


async def backfill(settings: Settings, wanted: Wanted, show: Show) -> list[Done]:
    """Fetch it; ``show`` is told after every page and every day. Cancelling it loses nothing."""
    exchange = exchange_named(settings.exchange)
    capability(exchange.name, wanted.channel)
    async with opened(settings) as producer, AsyncExitStack() as stack:
        past = await market_opener(stack, settings, exchange, producer)(wanted.channel)
        unlisted = sorted(set(wanted.symbols) - past.symbols)
        if unlisted:
            raise Misconfigured(
                "--symbols",
                f"{exchange.name} {wanted.channel} does not list {', '.join(unlisted)}",
                remedy="Write them as the exchange does.",
            )
        journal = Journal(settings, producer)
        await journal.load()
        return [
            await _Symbol(past, journal, producer, symbol, show).run(wanted)
            for symbol in wanted.symbols
        ]


class _Symbol:
    """The walk of one symbol."""

    def __init__(
        self,
        past: MarketPast,
        journal: Journal,
        producer: AIOKafkaProducer,
        symbol: str,
        show: Show,
    ) -> None:
        self._past = past
        self._journal = journal
        self._producer = producer
        self._symbol = symbol
        self._show = show
        self._seen: set[int | str] = set()

    async def run(self, wanted: Wanted) -> Done:
        walk = self._walk(wanted)
        spans = list(days(walk.floor_ms, walk.to_ms))
        left = [span for span in spans if span[1] <= walk.reached_ms]
        done = Done(self._symbol, days=len(spans), missing_days=list(walk.missing_days))
        done.trades = walk.trades
        done.days_before = done.days_done = len(spans) - len(left)
        self._show(done)
        told_from_ms = await self._told_from_ms(walk)
        quiet = 0
        for at, span in enumerate(left):
            # A run that was killed may have published some of the day that is first now.
            is_told = span[1] > told_from_ms or at == 0
            self._seen = await self._known(span) if is_told else set()
            before = done.trades
            await self._day(span, wanted.source, done)
            quiet = 0 if done.trades > before else quiet + 1
            done.days_done += 1
            reached_ms = span[0]
            if quiet >= QUIET_DAYS_MAX:  # older than the symbol
                reached_ms = walk.floor_ms
                done.nothing_before = day_of(span[0] + QUIET_DAYS_MAX * DAY_MS)
                done.missing_days = [d for d in done.missing_days if d >= done.nothing_before]
                done.days_done = done.days
            walk = msgspec.structs.replace(
                walk, reached_ms=reached_ms, trades=done.trades, missing_days=done.missing_days
            )
            await self._journal.write(walk)
            self._show(done)
            if quiet >= QUIET_DAYS_MAX:
                break
        return done

    def _walk(self, wanted: Wanted) -> Backfill:
        """Return where to go on: an unfinished walk first, then what is younger than it."""
        asked_ms = wanted.to_ms or time.time_ns() // 1_000_000
        fresh = Backfill(
            exchange=self._past.exchange.name,
            channel=wanted.channel,
            symbol=self._symbol,
            from_ms=wanted.from_ms,
            to_ms=asked_ms,
            floor_ms=wanted.from_ms,
            reached_ms=asked_ms,
        )
        found = self._journal.backfill(fresh.key)
        if found is None:
            return fresh
        if found.reached_ms > found.floor_ms:
            return found
        top_ms = max(found.to_ms, asked_ms)
        return msgspec.structs.replace(
            fresh, to_ms=top_ms, reached_ms=top_ms, floor_ms=min(found.to_ms, top_ms)
        )

    async def _told_from_ms(self, walk: Backfill) -> int:
        """Return from when on trades may be in the topic that ids alone would not keep apart."""
        past = self._past
        if past.market.ids != "unique":
            return walk.to_ms
        partition = past.series(self._symbol).partition
        oldest = await oldest_ms(past.settings.kafka_bootstrap, partition)
        return walk.to_ms if oldest is None else oldest

    async def _known(self, span: tuple[int, int]) -> set[int | str]:
        past = self._past
        if past.market.ids != "unique":
            return set()
        return await seen_keys(past.settings.kafka_bootstrap, past.series(self._symbol), *span)

    async def _day(self, span: tuple[int, int], wanted: planner.Wanted, done: Done) -> None:
        """Fetch one day from the first source that has it, or note that none has."""
        day = day_of(span[0])
        tried: list[FetchedFrom] = []
        while source := self._choice(span, wanted, tried):
            tried.append(source)
            try:
                await self._insist(span, source, done)
            except Unavailable as e:
                logger.warning("day_unavailable", symbol=self._symbol, day=day, reason=str(e))
                continue
            return
        logger.error("day_missing", symbol=self._symbol, day=day, tried=tried)
        done.missing_days.append(day)

    def _choice(
        self, span: tuple[int, int], wanted: planner.Wanted, tried: list[FetchedFrom]
    ) -> FetchedFrom | None:
        past = self._past
        gap = Recovery(
            exchange=past.exchange.name,
            channel=past.market.channel,
            symbol=self._symbol,
            from_ms=span[0],
            to_ms=span[1] - 1,
            state="open",
            exhausted=tried,
        )
        return planner.day_source(
            gap, past.reach, past.archive is not None, time.time_ns() // 1_000_000, wanted
        )

    async def _insist(self, span: tuple[int, int], source: FetchedFrom, done: Done) -> None:
        for tries in range(1, TRIES_MAX + 1):
            try:
                await self._fetch(span, source, done)
            except KafkaAway:
                raise
            except Retriable as e:
                if tries == TRIES_MAX:
                    raise Unavailable(self._symbol, f"{source}: {e.reason}") from e
                pause_s = _BACKOFF.delay_s(tries, random.random())  # noqa: S311
                await asyncio.sleep(max(e.retry_after_s, pause_s))
            else:
                return

    async def _fetch(self, span: tuple[int, int], source: FetchedFrom, done: Done) -> None:
        pages = self._past.source(source).pages(self._symbol, None, None, span[0], span[1] - 1)
        async for page in pages:
            rows = unseen(page, self._seen) if self._seen else page
            fetched = Fetched()
            await self._past.publish(rows, source, fetched)
            done.trades += fetched.trades
            done.by_source[source] = done.by_source.get(source, 0) + fetched.trades
            self._show(done)


def day_of(ms: int) -> str:
    """Return the UTC day of a time: 2024-01-31."""
    return datetime.fromtimestamp(ms / 1_000, UTC).date().isoformat()


def days(from_ms: int, to_ms: int) -> Iterator[tuple[int, int]]:
    """Yield [from, to) cut at midnight UTC, the youngest first."""
    while to_ms > from_ms:
        midnight_ms = (to_ms - 1) // DAY_MS * DAY_MS
        yield max(midnight_ms, from_ms), to_ms
        to_ms = midnight_ms
