"""Keeps one packed set of streams connected, for ever.

A planned end is overlapped: the successor is live for a moment before the old connection is
closed, so that nothing is missed, and the intake drops what both deliver.
"""

import asyncio
import random
import time
from collections.abc import Sequence

import structlog

from ingest import metrics
from ingest.link import Link, Route
from ingest.pacing import Budget, backoff_s
from runtime.errors import Misconfigured

logger = structlog.get_logger(__name__)

ATTEMPTS_WINDOW_S = 300.0
RETIRE_EARLY_S = 3_600.0  # before the venue ends the connection by its age
RETIRE_SPREAD_S = 1_800.0  # so that sockets opened together are not replaced together
STALE_AFTER_S = 60.0
STALE_AFTER_MAX_S = 600.0  # quiet symbols: every silent connection doubles the patience
OVERLAP_S = 2.0  # the old connection may still have frames on the way, or unread
PROVEN_AFTER_S = 10.0  # a connection that lasted this long ends a row of failures


def packed(streams: Sequence[str], size: int) -> list[list[str]]:
    """Split the streams over as few sockets as possible, evenly filled."""
    count = -(-len(streams) // size)
    return [list(streams[i::count]) for i in range(count)]


class Feed:
    """One socket's worth of streams."""

    def __init__(
        self,
        route: Route,
        streams: Sequence[str],
        budget: Budget,
        *,
        stale_after_s: float = STALE_AFTER_S,
        lifetime_s: float | None = None,
    ) -> None:
        self.live = asyncio.Event()
        """Set when every stream was acknowledged for the first time."""
        self._route = route
        self._streams = streams
        self._budget = budget
        self._patience_s = self._stale_after_s = stale_after_s
        self._lifetime_s = lifetime_s
        self._failures = 0
        self._retry_after_s = 0.0
        self._opened_once = False

    async def run(self) -> None:
        """Connect again and again; raise Misconfigured when the first connection never can be."""
        retiring: asyncio.Task[str] | None = None
        current: asyncio.Task[str] | None = None
        try:
            while True:
                await self._pause()
                link = self._link()
                opened_s = time.monotonic()
                current = asyncio.create_task(link.run())
                await _either(current, link.live)
                if link.live.is_set():
                    self.live.set()
                    self._opened_once = True
                    if retiring is not None:
                        await _either(current, self._route.room)  # closed, nothing is read
                        await asyncio.wait({current}, timeout=OVERLAP_S)
                        await _end(retiring)
                        retiring = None
                await _either(current, link.retiring)
                if not current.done():
                    logger.info("socket_retiring", url=self._route.url)
                    proven = time.monotonic() - opened_s > PROVEN_AFTER_S
                    self._failures = 0 if proven else self._failures + 1
                    retiring, current = current, None
                    continue
                self._learn(link, self._reason(current, link), time.monotonic() - opened_s)
        finally:
            await _end(retiring)
            await _end(current)

    def _link(self) -> Link:
        limit_s = self._route.market.limits.lifetime_s
        early_s = RETIRE_EARLY_S + RETIRE_SPREAD_S * random.random()  # noqa: S311 - only a spread
        return Link(
            self._route,
            self._streams,
            lifetime_s=self._lifetime_s or limit_s - early_s,
            stale_after_s=self._patience_s,
        )

    async def _pause(self) -> None:
        """Wait for the backoff, and for the venue's budget of connection attempts."""
        if self._failures:
            pause_s = backoff_s(self._failures, random.random())  # noqa: S311
            await asyncio.sleep(max(pause_s, self._retry_after_s))
        while (wait_s := self._budget.wait_s(time.monotonic())) > 0:
            logger.warning("connection_budget_spent", retry_after_s=round(wait_s, 1))
            await asyncio.sleep(wait_s)
        self._budget.spend(time.monotonic())

    def _reason(self, done: asyncio.Task[str], link: Link) -> str:
        try:
            reason = done.result()
        except Misconfigured as e:
            if not self._opened_once:
                raise
            reason = f"refused: {e.problem}"  # it was right once, so it may be again
        self._opened_once = self._opened_once or link.opened
        return reason

    def _learn(self, link: Link, reason: str, lasted_s: float) -> None:
        kind = reason.partition(":")[0]
        self._retry_after_s = link.retry_after_s
        proven = link.live.is_set() and lasted_s > PROVEN_AFTER_S
        self._failures = 1 if proven else self._failures + 1
        if kind == "stale" and not link.has_data:
            self._patience_s = min(STALE_AFTER_MAX_S, self._patience_s * 2)
        elif link.has_data:
            self._patience_s = self._stale_after_s
        if link.opened:
            metrics.reconnects.labels(*self._route.labels, kind).inc()
        else:
            metrics.connection_failures.labels(*self._route.labels).inc()
        logger.warning("socket_ended", url=self._route.url, reason=reason, failures=self._failures)


async def _either(task: asyncio.Task[str], event: asyncio.Event) -> None:
    """Return when the task is done or the event is set."""
    waiter = asyncio.create_task(event.wait())
    try:
        await asyncio.wait({task, waiter}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiter.cancel()


async def _end(task: asyncio.Task[str] | None) -> None:
    if task is not None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
