"""REST snapshots for books that wait for one: few at a time, within the budget, never twice.

A symbol stands in the queue once, however often it is asked for; so the queue is as long as the
market at most. What fails is told to the keeper, whose pause decides when it is asked again.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

import structlog

from ingest.books.keeping import BookKeeping
from ingest.exchanges.base import BookRow, Request
from runtime.errors import PipelineError, Retriable

logger = structlog.get_logger(__name__)

IN_FLIGHT_MAX = 4
FETCH_S_MAX = 30.0


class Budget(Protocol):
    """What an address may still ask for."""

    async def spend(self, weight: int) -> None:
        """Return when so much weight is free, and has been taken."""


class SnapshotFetcher:
    """Fetches what ``BookKeeping.drain().fetch`` names. ``run`` it as long as the market runs."""

    def __init__(
        self,
        keeping: BookKeeping,
        *,
        fetch: Callable[[Request], Awaitable[bytes]],
        budget: Budget,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        rule = keeping.rule
        if rule.snapshot is None or rule.read_snapshot is None:
            raise AssertionError("this market's stream sends its snapshots itself")
        self._request, self._read = rule.snapshot, rule.read_snapshot
        self._keeping = keeping
        self._fetch = fetch
        self._budget = budget
        self._now_ns = now_ns
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        self._asked: set[str] = set()  # waiting or in flight

    def ask(self, symbols: Iterable[str]) -> None:
        """Fetch the snapshots of these symbols, in their turn."""
        for symbol in symbols:
            if symbol not in self._asked:
                self._asked.add(symbol)
                self._queue.put_nowait(symbol)

    async def run(self) -> None:
        """Fetch until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(IN_FLIGHT_MAX):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            symbol = await self._queue.get()
            try:
                pause_s = await self._one(symbol)
            finally:
                self._asked.discard(symbol)
            if pause_s:
                await asyncio.sleep(pause_s)

    async def _one(self, symbol: str) -> float:
        """Fetch one snapshot; return how long the venue wants to be left alone, in s."""
        if not self._keeping.is_waiting(symbol):
            return 0.0
        request = self._request(symbol)
        await self._budget.spend(request.weight)
        self._keeping.fetching(symbol)
        try:
            row = await self._read_one(request, symbol)
        except (PipelineError, TimeoutError) as e:
            self._keeping.failed(symbol, self._now_ns())
            reason = str(e) or "no answer"
            logger.warning("book_snapshot_failed", symbol=symbol, reason=reason)
            return e.retry_after_s if isinstance(e, Retriable) else 0.0
        self._keeping.snapshot(row, self._now_ns())
        return 0.0

    async def _read_one(self, request: Request, symbol: str) -> BookRow:
        async with asyncio.timeout(FETCH_S_MAX):
            body = await self._fetch(request)
        return self._read(body, symbol, self._now_ns() // 1_000_000)
