"""The recovery worker: two lanes, REST and archive, each with one step in hand.

A step publishes trades, waits until they are stored, says what became of the gap, and writes its
progress: a crash anywhere between repeats at most that step.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any, NamedTuple

import msgspec
import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from ingest.recovery import metrics, planner, ranges
from ingest.recovery.delivery import KafkaAway
from ingest.recovery.fetch import Fetched, MarketPast
from ingest.recovery.gaps import OpenGaps
from ingest.recovery.journal import Journal
from ingest.recovery.planner import Step
from ingest.recovery.source import Damaged, DayMissing, Unavailable
from ingest.recovery.telling import recompute_asked, told
from runtime.backoff import Backoff
from runtime.errors import Retriable
from schemas.recovery import FetchedFrom, Recovery
from schemas.topics import symbol_key
from schemas.trades import Channel

logger = structlog.get_logger(__name__)

TRIES_MAX = 20  # of one source in a row, over hours; then the next source, or it is given up
DAMAGED_TRIES_MAX = 5  # venues replace files
DAY_RETRY_MS = 3_600_000  # a day that is late
LOOK_EVERY_S = 30.0  # what is due by the clock
_BACKOFF = Backoff(first_s=1.0, max_s=1_800.0)

Opener = Callable[[Channel], Awaitable[MarketPast]]


async def together(*work: Coroutine[Any, Any, None]) -> None:
    """Run all until one fails, and raise what it raised."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Topics(NamedTuple):
    """Names, with the prefix."""

    gaps: str
    recompute: str


class Recoverer:
    """Works on what ``gaps`` holds; ``wake`` it when the log brought news."""

    def __init__(
        self,
        gaps: OpenGaps,
        journal: Journal,
        producer: AIOKafkaProducer,
        topics: Topics,
        opener: Opener,
        *,
        settle_ms: int,
    ) -> None:
        self._gaps = gaps
        self._journal = journal
        self._producer = producer
        self._topics = topics
        self._opener = opener
        self._settle_ms = settle_ms
        self._markets: dict[Channel, MarketPast] = {}
        self._busy: set[str] = set()
        self._news: dict[FetchedFrom, asyncio.Event] = {
            "rest": asyncio.Event(),
            "archive": asyncio.Event(),
        }

    def wake(self) -> None:
        """Have both lanes look again."""
        for news in self._news.values():
            news.set()

    async def run(self) -> None:
        """Work for ever; raise KafkaAway, or Misconfigured, when it cannot."""
        await together(self._lane("rest"), self._lane("archive"))

    async def _lane(self, lane: FetchedFrom) -> None:
        while True:
            self._news[lane].clear()
            now_ms = _now_ms()
            await self._open_markets()
            if lane == "rest":
                await self._give_up_hopeless(now_ms)
                self._measure()
            free = [gap for gap in self._settled(now_ms) if gap.key not in self._busy]
            step = planner.next_step(free, lambda gap: self._past(gap).reach, lane, now_ms)
            if step is None:
                await self._wait(lane, now_ms)
                continue
            keys = {gap.key for gap in step.gaps}
            self._busy |= keys
            try:
                with metrics.step_seconds.labels(lane).time():
                    await self._do(step)
            finally:
                self._busy -= keys
            self.wake()

    def _settled(self, now_ms: int) -> Iterator[Recovery]:
        settled = self._gaps.settled(now_ms - self._settle_ms)
        return (gap for gap in settled if gap.channel in self._markets)

    def _past(self, gap: Recovery) -> MarketPast:
        return self._markets[gap.channel]

    async def _open_markets(self) -> None:
        for channel in {gap.channel for gap in self._gaps} - self._markets.keys():
            self._markets[channel] = await self._opener(channel)

    async def _wait(self, lane: FetchedFrom, now_ms: int) -> None:
        """Return when the log has news, a gap has settled, or something is due."""
        settled = list(self._settled(now_ms))
        due_ms = planner.when_next_ms(settled, lambda gap: self._past(gap).reach, now_ms)
        settles_ms = self._gaps.next_settled_ms(now_ms - self._settle_ms)
        if settles_ms is not None:
            due_ms = min(due_ms, settles_ms + self._settle_ms + 1)
        pause_s = (due_ms - now_ms) / 1_000
        if not 0 < pause_s < LOOK_EVERY_S:  # what is due already is the other lane's
            pause_s = LOOK_EVERY_S
        try:
            await asyncio.wait_for(self._news[lane].wait(), pause_s)
        except TimeoutError:
            return

    # -- one step

    async def _do(self, step: Step) -> None:
        for gap in step.gaps:
            if self._gaps.begin(gap):
                await self._tell(gap, "recovering")
        fetched, failure = Fetched(), None
        try:
            await self._past(step.gaps[0]).fetch(step, fetched)
        except KafkaAway:
            raise
        except (Retriable, Unavailable) as e:
            failure = e
            metrics.retries.labels(step.source).inc()
        first = step.gaps[0]
        logger.info(
            "step_done" if failure is None else "step_failed",
            symbol=first.symbol,
            channel=first.channel,
            source=step.source,
            gaps=len(step.gaps),
            trades=fetched.trades,
            **({} if failure is None else {"reason": str(failure)}),
        )
        for gap in step.gaps:
            current = self._gaps.current(gap)
            after = _after(current or gap, step, fetched, failure)
            if current is None:  # the log says that others filled what is left
                after = msgspec.structs.replace(after, state="recovered", left=[])
            await self._settle(after, current is not None)

    async def _settle(self, gap: Recovery, is_open: bool) -> None:
        """Say what became of a gap and write it down, in this order."""
        now_ms = _now_ms()
        if gap.state == "open" and not planner.choose(gap, self._past(gap).reach, now_ms).source:
            gap = msgspec.structs.replace(gap, state="unrecoverable")
        if gap.state != "open":
            if gap.trades and not gap.is_by_time:
                await self._ask_recompute(gap)
            if is_open:
                await self._tell(gap, gap.state)
            metrics.gaps.labels(gap.state).inc()
            log = logger.info if gap.state == "recovered" else logger.error
            log(f"gap_{gap.state}", **_facts(gap))
        await self._journal.write(gap)
        self._gaps.learn(gap)

    async def _give_up_hopeless(self, now_ms: int) -> None:
        for gap in list(self._settled(now_ms)):
            choice = planner.choose(gap, self._past(gap).reach, now_ms)
            if choice.source is None and gap.key not in self._busy:
                reason = gap.reason or "older than what the venue gives"
                await self._settle(msgspec.structs.replace(gap, reason=reason), True)

    async def _tell(self, gap: Recovery, state: str) -> None:
        value = told(gap, state)  # type: ignore[arg-type]
        if value is not None:
            key = symbol_key(gap.exchange, gap.channel, gap.symbol)
            await self._send(self._topics.gaps, key, value)

    async def _ask_recompute(self, gap: Recovery) -> None:
        """Have the candles of a gap computed again, as of the last trade published for it.

        The engine asks as well, but not for ranges of which it had to forget that they are missing.
        """
        key = symbol_key(gap.exchange, gap.channel, gap.symbol)
        value = recompute_asked(gap, self._past(gap).market.ids)
        await self._send(self._topics.recompute, key, value)

    async def _send(self, topic: str, key: bytes, value: bytes) -> None:
        try:
            await self._producer.send_and_wait(topic, value, key=key)
        except KafkaError as e:
            raise KafkaAway(f"Kafka did not store a record: {e!r}", retry_after_s=1.0) from e

    def _measure(self) -> None:
        deadline_ms = planner.NEVER_MS
        for channel, past in self._markets.items():
            gaps = [gap for gap in self._gaps if gap.channel == channel]
            labels = past.exchange.name, channel
            metrics.open_gaps.labels(*labels).set(len(gaps))
            metrics.missing_ids.labels(*labels).set(sum(ranges.count(g.left) for g in gaps))
            table = past.reach.capability
            deadline_ms = min(
                [deadline_ms, *(planner.deadline_ms(gap, table) for gap in gaps if gap.left)]
            )
        metrics.seconds_to_deadline.set((deadline_ms - _now_ms()) / 1_000)


def _after(
    gap: Recovery, step: Step, fetched: Fetched, failure: Retriable | Unavailable | None
) -> Recovery:
    """Return the gap after a step that ended so."""
    if failure is None:
        return planner.after_step(gap, step, fetched.given, trades=fetched.trades, rev=fetched.rev)
    gap = msgspec.structs.replace(
        gap,
        left=ranges.without_all(gap.left, fetched.given),
        trades=gap.trades + fetched.trades,
        rev=max(gap.rev, fetched.rev),
        reason=str(failure),
    )
    if not gap.is_by_time and not gap.left:
        return msgspec.structs.replace(gap, state="recovered")
    return _without_success(gap, step, failure)


def _without_success(gap: Recovery, step: Step, failure: Retriable | Unavailable) -> Recovery:
    tries_max = DAMAGED_TRIES_MAX if isinstance(failure, Damaged) else TRIES_MAX
    is_over = gap.tries + 1 >= tries_max
    if isinstance(failure, DayMissing) and failure.may_come:
        after = msgspec.structs.replace(gap, next_try_ms=_now_ms() + DAY_RETRY_MS)
    elif isinstance(failure, DayMissing) or (isinstance(failure, Damaged) and is_over):
        after = planner.after_step(gap, step, (), lost=failure.day)
    elif isinstance(failure, Retriable | Damaged) and not is_over:
        after = _later(gap, getattr(failure, "retry_after_s", 0.0))
    else:
        after = planner.exhausted(gap, step.source)
    return after


def _later(gap: Recovery, at_least_s: float) -> Recovery:
    tries = gap.tries + 1
    pause_s = max(at_least_s, _BACKOFF.delay_s(tries, random.random()))  # noqa: S311
    return msgspec.structs.replace(gap, tries=tries, next_try_ms=_now_ms() + int(pause_s * 1_000))


def _facts(gap: Recovery) -> dict[str, object]:
    ids = {} if gap.is_by_time else {"first_id": gap.first_id, "last_id": gap.last_id}
    lost = {"left": gap.left[:20], "reason": gap.reason} if gap.state == "unrecoverable" else {}
    return {
        "channel": gap.channel,
        "symbol": gap.symbol,
        **ids,
        "from_ms": gap.from_ms,
        "to_ms": gap.to_ms,
        "trades": gap.trades,
        **lost,
    }


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
