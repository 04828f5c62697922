"""History from the warehouse up to where memory begins, with nothing missing between the two.

The warehouse lags behind the topic. What memory lacks was told before an offset that is known
(where reading began, or where it forgot), so once the sink has committed that offset, the
warehouse's rows and memory's together are all there is: of two revisions the higher one is true.
The warehouse may be ahead of memory, too: memory overtakes it before the snapshot is made.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Protocol

import structlog

from runtime.errors import Retriable
from schemas.clickhouse.pieces import Series
from sinks.gateway import candles, metrics
from sinks.gateway.candles import Candle
from sinks.gateway.commits import Commits
from sinks.gateway.hub import Hub
from sinks.gateway.loads import Load
from sinks.gateway.protocol import Key
from sinks.gateway.warehouse import CandlesAsked, Warehouse

logger = structlog.get_logger(__name__)

LOADS_MAX = 2_000  # more than wait are answered from memory at once
READING_MAX = 4  # queries at a time
CATCH_UP_WITHIN_S = 5.0
"""How long a snapshot waits for the sink of the warehouse."""
READ_WITHIN_S = 10.0
READ_AGAIN_S = 0.2


class Reader(Protocol):
    """What fills the memory."""

    async def caught_up(self, partition: int) -> None:
        """Return when memory has all that is on the topic now; raise Retriable."""


class Seam:
    """Reads what the hub asks for while it ``run``s."""

    def __init__(self, hub: Hub, warehouse: Warehouse, commits: Commits, reader: Reader) -> None:
        self._hub = hub
        self._reader = reader
        self._warehouse = warehouse
        self._commits = commits
        self._turn = asyncio.Semaphore(READING_MAX)
        self._group: asyncio.TaskGroup | None = None
        self._asked: dict[Key, _Question] = {}
        self._running = 0

    async def run(self) -> None:
        """Serve the hub, for ever; what goes wrong in a load beyond the store is raised."""
        try:
            async with asyncio.TaskGroup() as self._group:
                self._hub.begin = self.begin
                await asyncio.get_running_loop().create_future()
        finally:
            self._hub.begin = None

    def begin(self, load: Load) -> None:
        """Read what a snapshot needs, and finish it."""
        if self._group is None or self._running >= LOADS_MAX:
            self._hub.finish(load, (), is_whole=False)
            metrics.LOADS.labels("refused").inc()
            return
        self._running += 1
        self._spawn(self._load(load))

    async def _load(self, load: Load) -> None:
        try:
            is_caught_up = await self._catch_up(load)
            stored = None if load.is_over else await self._settled(load)
            is_caught_up &= await self._overtake(load)
        finally:
            self._running -= 1
        outcome = "away" if stored is None else "whole" if is_caught_up else "behind"
        metrics.LOADS.labels("given up" if load.is_over else outcome).inc()
        self._hub.finish(load, stored or (), is_whole=is_caught_up and stored is not None)

    async def _catch_up(self, load: Load) -> bool:
        """Wait until the warehouse has what memory lacks; False: it has not, for long."""
        partition, offset = self._needs(load)
        try:
            async with asyncio.timeout(CATCH_UP_WITHIN_S):
                await self._commits.reached(partition, offset)
        except (TimeoutError, Retriable) as e:
            logger.warning("warehouse_behind", partition=partition, offset=offset, reason=str(e))
            return False
        return True

    async def _overtake(self, load: Load) -> bool:
        """Wait until memory has all that the warehouse can have told, or it would come twice."""
        try:
            async with asyncio.timeout(CATCH_UP_WITHIN_S):
                await self._reader.caught_up(self._needs(load)[0])
        except (TimeoutError, Retriable) as e:
            logger.warning("gateway_behind", reason=str(e))
            return False
        return True

    def _needs(self, load: Load) -> tuple[int, int]:
        history = self._hub.history
        if load.series is not None:
            return load.series.partition, history.needs(load.series)
        if not history.since:
            return 0, 0
        partition = self._commits.partition_of(load.wanted.key, len(history.since))
        return partition, history.since.get(partition, 0)

    async def _settled(self, load: Load) -> list[Candle] | None:
        """Return the stored candles once those before memory's are over in the warehouse, too."""
        now_s = asyncio.get_running_loop().time
        until_s = now_s() + CATCH_UP_WITHIN_S
        stored = await self._read(load)
        while stored and load.lacks(stored) and not load.is_over and now_s() < until_s:
            await asyncio.sleep(READ_AGAIN_S)
            stored = await self._read(load)
        return stored

    async def _read(self, load: Load) -> list[Candle] | None:
        """Return the stored candles; loads of one series that wait together share an answer."""
        key = load.wanted.key
        question = self._asked.get(key)
        if question is None:
            question = self._asked[key] = _Question()
            self._spawn(self._ask(key, question))
        question.limit = max(question.limit, load.wanted.initial_candles + 1)  # one may be open
        await question.is_answered.wait()
        return question.answer

    async def _ask(self, key: Key, question: "_Question") -> None:
        try:
            async with asyncio.timeout(READ_WITHIN_S), self._turn:
                del self._asked[key]  # who comes now may need what is not stored yet
                texts = await self._stored(key, question.limit)
            question.answer = [candles.stored(text) for text in texts]
        except (TimeoutError, Retriable, ValueError) as e:
            logger.warning("history_unread", series=str(key), reason=repr(e))
        finally:
            if self._asked.get(key) is question:
                del self._asked[key]
            question.is_answered.set()

    async def _stored(self, key: Key, limit: int) -> Sequence[str]:
        """Ask for the newest candles up to the last one that is stored, or the first in memory.

        What is younger the warehouse can only put together, and the engine has yet to tell it.
        What is between the two was told by nobody: the interval was not made then. Where that may
        be so and memory has nothing yet, up to now.
        """
        series, interval = Series(*key[:3]), key.interval
        there = await self._warehouse.coverage(series, interval)
        kept = self._hub.history.series.get(key)
        first_ms = next(iter(kept.candles), None) if kept is not None else None
        end_ms = there.stored_until_ms or None
        if self._hub.is_late(interval):
            end_ms = None if first_ms is None else max(there.stored_until_ms, first_ms)
        asked = CandlesAsked(series, interval, None, end_ms, limit)
        return await self._warehouse.kline_rows(asked, there)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        if self._group is not None:
            self._group.create_task(work)


class _Question:
    """What is about to be asked of the warehouse about one series."""

    def __init__(self) -> None:
        self.limit = 0
        self.answer: list[Candle] | None = None
        self.is_answered = asyncio.Event()
