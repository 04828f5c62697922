"""Keeps one packed set of streams connected, for ever.

A planned end is overlapped: the successor is live for a moment before the old connection is
closed, so that nothing is missed, and the intake drops what both deliver.
"""

import asyncio
import random
import time
from typing import Protocol

import structlog

from ingest import metrics
from ingest.link import Link, Route
from ingest.pacing import Budget, Budgets, backoff_s
from ingest.streams import Shard
from runtime.errors import Misconfigured

logger = structlog.get_logger(__name__)

RETIRE_EARLY_S = 3_600.0  # before the venue ends the connection by its age
RETIRE_SPREAD_S = 1_800.0  # so that sockets opened together are not replaced together
STALE_AFTER_S = 60.0
STALE_AFTER_MAX_S = 600.0  # quiet symbols: every silent connection doubles the patience
OVERLAP_S = 2.0  # the old connection may still have frames on the way, or unread
IDLE_CHECK_S = 0.1
PROVEN_AFTER_S = 10.0  # a connection that lasted this long ends a row of failures


class Watcher(Protocol):
    """Who is told when a feed goes dark."""

    def lost(self, feed: "Feed", reason: str) -> None:
        """The feed delivers nothing any more."""

    def restored(self, feed: "Feed") -> None:
        """It delivers (again)."""


class Feed:
    """One socket's worth of streams."""

    def __init__(
        self,
        route: Route,
        shard: Shard,
        budget: Budget | Budgets,
        watcher: Watcher,
        *,
        leads: bool = True,
        stale_after_s: float = STALE_AFTER_S,
        lifetime_s: float | None = None,
    ) -> None:
        self.live = asyncio.Event()
        """Set when every stream was acknowledged for the first time."""
        self.shard = shard
        self.is_delivering = False
        self.dark_since_s = time.monotonic()
        """When the last frame came, once it delivers nothing."""
        self._route = route
        self._budget = budget
        self._watcher = watcher
        self._leads = leads
        self._link: Link | None = None
        self._patience_s = self._stale_after_s = stale_after_s
        self._lifetime_s = lifetime_s
        # Who wants short lives does not want each of them to count as a failure.
        self._proven_after_s = min(PROVEN_AFTER_S, lifetime_s or PROVEN_AFTER_S)
        # The second of a pair is replaced at half the age of the first, not beside it.
        self._age_share = 1.0 if leads else 0.5
        self._failures = 0
        self._retry_after_s = 0.0

    @property
    def leads(self) -> bool:
        """Of a pair, one subscribes to what one socket at a time may have."""
        return self._leads

    def lead(self, *, leads: bool) -> None:
        """Take over the lead of a pair, or give it up."""
        self._leads = leads
        if self._link is not None:
            self._link.is_leading = leads

    async def run(self) -> None:
        """Connect again and again; raise Misconfigured when the first connection never can be."""
        retiring: asyncio.Task[str] | None = None
        current: asyncio.Task[str] | None = None
        try:
            while True:
                await self._pause()
                link = self._new_link()
                if retiring is None:
                    self._take_over(link)
                opened_s = time.monotonic()
                current = asyncio.create_task(link.run())
                await _until(link.live, current, retiring)
                if retiring is not None and retiring.done() and not link.live.is_set():
                    retiring = None
                    self._lost("ended before its successor was live", self._link)
                    self._take_over(link)
                    await _until(link.live, current)
                if link.live.is_set():
                    if retiring is not None:
                        await _until(self._route.room, current)  # closed, nothing is read
                        await asyncio.wait({current, retiring}, timeout=OVERLAP_S)
                        if current.done() and not retiring.done():  # the old one is still good
                            reason = self._reason(current)
                            self._learn(link, reason, time.monotonic() - opened_s)
                            continue
                        await _end(retiring)
                        retiring = None
                        self._take_over(link)
                        metrics.reconnects.labels(*self._route.labels, "planned").inc()
                    self.live.set()
                    self.is_delivering = True
                    self._watcher.restored(self)
                await _until(link.retiring, current)
                if not current.done():
                    logger.info("socket_retiring", url=link.url)
                    proven = time.monotonic() - opened_s >= self._proven_after_s
                    self._failures = 0 if proven else self._failures + 1
                    retiring, current = current, None
                    continue
                reason = self._reason(current)
                if retiring is None:
                    self._lost(reason, link)
                self._learn(link, reason, time.monotonic() - opened_s)
        finally:
            await _end(retiring)
            await _end(current)

    def _take_over(self, link: Link) -> None:
        """From now on the link is the one that may lead."""
        self._link = link
        link.is_leading = self._leads

    def _lost(self, reason: str, link: Link | None) -> None:
        if self.is_delivering and link is not None:
            self.dark_since_s = link.frame_at_s
        self.is_delivering = False
        self._watcher.lost(self, reason)

    def _new_link(self) -> Link:
        limit_s = self._route.market.limits.lifetime_s * self._age_share
        self._age_share = 1.0
        early_s = RETIRE_EARLY_S + RETIRE_SPREAD_S * random.random()  # noqa: S311 - only a spread
        return Link(
            self._route,
            self.shard,
            lifetime_s=self._lifetime_s or limit_s - early_s,
            stale_after_s=self._patience_s,
        )

    async def _pause(self) -> None:
        """Wait for something to carry, the backoff, and the venue's budget of attempts."""
        while not self.shard.wanted:  # noqa: ASYNC110 - rare: all its streams were switched off
            await asyncio.sleep(IDLE_CHECK_S)
        if self._failures:
            pause_s = backoff_s(self._failures, random.random())  # noqa: S311
            await asyncio.sleep(max(pause_s, self._retry_after_s))
        while (wait_s := self._budget.wait_s(time.monotonic())) > 0:
            logger.warning("connection_budget_spent", retry_after_s=round(wait_s, 1))
            await asyncio.sleep(wait_s)
        self._budget.spend(time.monotonic())

    def _reason(self, done: asyncio.Task[str]) -> str:
        try:
            return done.result()
        except Misconfigured as e:
            if not self._route.opened.is_set():
                raise
            return f"refused: {e.problem}"  # it was right once, so it may be again

    def _learn(self, link: Link, reason: str, lasted_s: float) -> None:
        kind = reason.partition(":")[0]
        self._retry_after_s = link.retry_after_s
        proven = link.live.is_set() and lasted_s >= self._proven_after_s
        self._failures = 1 if proven else self._failures + 1
        if kind == "stale":  # data at the start proves nothing: venues repeat their last trades
            self._patience_s = min(STALE_AFTER_MAX_S, self._patience_s * 2)
        elif link.kept_talking:
            self._patience_s = self._stale_after_s
        if link.opened:
            metrics.reconnects.labels(*self._route.labels, kind).inc()
        else:
            metrics.connection_failures.labels(*self._route.labels).inc()
        logger.warning("socket_ended", url=link.url, reason=reason, failures=self._failures)


async def _until(event: asyncio.Event, *tasks: asyncio.Task[str] | None) -> None:
    """Return when the event is set or one of the tasks is done."""
    waiter = asyncio.create_task(event.wait())
    try:
        await asyncio.wait(
            {waiter, *(task for task in tasks if task is not None)},
            return_when=asyncio.FIRST_COMPLETED,
        )
    finally:
        waiter.cancel()


async def _end(task: asyncio.Task[str] | None) -> None:
    if task is not None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
