"""Intervals that nobody makes, made while clients want them.

A wish of this sort is a record of ``md.control.v1`` with an end, and a key of its own. Whichever
gateway has clients that want it puts the end off, and whichever sees first that it has passed takes
the wish back; so gateways side by side need not know of each other. What an operator or the
settings want is left alone.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping

import structlog

from runtime.errors import Retriable
from schemas.control import IntervalControl, demand_key
from schemas.intervals import Interval
from schemas.wanted import INTERVALS_MAX, WantedIntervals

logger = structlog.get_logger(__name__)

LEASE_MS = 600_000
"""How long it is still made when nobody wants it any more, about."""
PROLONG_EVERY_MS = 60_000
SKEW_MS = 60_000  # clocks of gateways may differ by so much
LOOK_S = 5.0

Write = Callable[[Mapping[str, IntervalControl | None]], Awaitable[None]]


class Demand:
    """``ask`` for what a client wants; it is looked after while this ``run``s."""

    def __init__(
        self,
        wanted: WantedIntervals,
        used: Callable[[], Collection[Interval]],
        write: Write,
        *,
        most: int,
    ) -> None:
        self._wanted = wanted
        self._used = used
        self._write = write
        self._most = most
        self._asked: set[Interval] = set()  # and not yet read back
        self._is_asked = asyncio.Event()

    def ask(self, interval: Interval) -> str | None:
        """Have an interval made that somebody wants; return why it will not be."""
        if interval in self._wanted.made or interval in self._asked:
            return None
        refusal = self._refusal(interval)
        if refusal is None:
            self._asked.add(interval)
            self._is_asked.set()
        return refusal

    async def run(self) -> None:
        """Look after what is made on demand, for ever."""
        while True:
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._is_asked.wait()
            except TimeoutError:
                pass
            self._is_asked.clear()
            changes = self.changes(time.time_ns() // 1_000_000)
            if not changes:
                continue
            try:
                await self._write(self.records(changes))
            except Retriable as e:
                logger.warning("demand_unwritten", intervals=len(changes), reason=e.reason)

    def records(
        self, changes: Mapping[Interval, IntervalControl | None]
    ) -> dict[str, IntervalControl | None]:
        """Return the records, by key, that say so; none of them is an operator's."""
        return {
            key: control
            for i, control in changes.items()
            for key in (self._wanted.demand_keys(i) if control is None else [demand_key(i)])
        }

    def changes(self, now_ms: int) -> dict[Interval, IntervalControl | None]:
        """Return what has to be said now; None: it is taken back."""
        wanted, used = self._wanted, set(self._used())
        demanded, settled = wanted.demanded, {*wanted.made, *wanted.removed}
        self._asked = {i for i in self._asked & used if i not in settled and i not in demanded}
        changes: dict[Interval, IntervalControl | None] = {
            interval: None
            for interval, control in (wanted.leases | demanded).items()
            if control.until_ms + SKEW_MS < now_ms
            and (interval not in used or interval not in demanded)  # or: an operator says more
        }
        for interval in sorted(used, key=lambda each: (each not in self._asked, each)):
            if self._is_due(interval, now_ms):
                changes[interval] = wanted.prolonged(interval, now_ms, now_ms + LEASE_MS)
        return changes

    def _is_due(self, interval: Interval, now_ms: int) -> bool:
        control = self._wanted.demanded.get(interval)
        if control is not None and self._most:
            return control.until_ms - now_ms <= LEASE_MS - PROLONG_EVERY_MS
        if control is not None or interval in self._wanted.made or interval in self._wanted.removed:
            return False
        if interval not in self._asked and self._room() > 0:
            self._asked.add(interval)
        return interval in self._asked

    def _room(self) -> int:
        demanded = self._wanted.demanded.keys() | self._asked
        every = demanded.union(self._wanted.made)
        return min(self._most - len(demanded), INTERVALS_MAX - len(every))

    def _refusal(self, interval: Interval) -> str | None:
        if not self._most:
            return f"no {interval.text} candles are made here, and none on demand"
        if self._room() > 0:
            return None
        return (
            f"no {interval.text} candles are made here yet: as many intervals are made on demand "
            "as are allowed, and it has to wait for one of them to end"
        )
