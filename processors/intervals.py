"""Which intervals a worker makes now: its settings', as ``md.control.v1`` changes them.

Every worker reads the same records from the beginning, so all of them come to the same set.
"""

from collections.abc import AsyncIterator, Iterable
from types import TracebackType
from typing import Self

import structlog

from runtime.follow import READY_WITHIN_S, Follower
from schemas.control import is_interval_key
from schemas.intervals import Interval
from schemas.wanted import WantedIntervals

logger = structlog.get_logger(__name__)


class Intervals:
    """``async with Intervals(...) as i: await i.ready()``, then ``wanted`` and ``changes``."""

    def __init__(self, bootstrap: str, topic: str, settings: Iterable[Interval]) -> None:
        self._table = WantedIntervals(settings)
        self._has_changed = False
        self._follower = Follower(bootstrap, [topic], self.take)

    async def __aenter__(self) -> Self:
        await self._follower.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._follower.__aexit__(kind, error, traceback)

    async def ready(self, *, timeout_s: float = READY_WITHIN_S) -> None:
        """Return when all is known that was said before; raise Retriable after ``timeout_s``.

        What was known by then is no change any more.
        """
        await self._follower.ready(timeout_s=timeout_s)
        self._has_changed = False

    @property
    def wanted(self) -> tuple[Interval, ...]:
        """Return the intervals to make, shortest first; there is one at least."""
        return self._table.made

    async def changes(self) -> AsyncIterator[tuple[Interval, ...]]:
        """Yield what is wanted whenever it has changed; changes not asked for in time are one."""
        while True:
            await self._follower.until(lambda: self._has_changed)
            self._has_changed = False
            yield self.wanted

    def take(self, _topic: str, key: bytes | None, value: bytes | None) -> None:
        """Take a record of the topic; what cannot be obeyed is logged, and nothing changes."""
        if not is_interval_key(key):
            return  # about a stream: the ingestor's business
        try:
            is_news = self._table.take(key, value)
        except ValueError as e:
            logger.warning("control_refused", key=repr(key), reason=str(e))
            return
        if is_news:
            self._has_changed = True
            logger.info("intervals_changed", made=[interval.text for interval in self.wanted])
