"""Kinds that a venue does not stream: asked again and again, spread evenly over their period."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

import structlog

from ingest import metrics
from ingest.decimals import Unfit
from ingest.exchanges.base import Poll, Request
from ingest.intake import Intake
from runtime.errors import PipelineError

logger = structlog.get_logger(__name__)

IDLE_S = 0.2  # between two looks for something to ask
ANSWER_WITHIN_S = 30.0  # budget and repetitions included
SILENT_PERIODS = 3

Asker = Callable[[Request], Awaitable[bytes]]
"""Asks within the venue's budget; raises PipelineError when there is no answer."""


class Poller:
    """One poll of one market: all its symbols, one after the other."""

    def __init__(self, poll: Poll, asker: Asker, intake: Intake) -> None:
        self.symbols: dict[str, None] = {}
        """Those that are wanted; whoever owns the poller changes it."""
        self.answered_s = 0.0
        """When the venue answered last; 0: never."""
        self._began_s = time.monotonic()
        self._poll = poll
        self._asker = asker
        self._intake = intake

    def is_silent(self, now_s: float) -> bool:
        """Say whether no question was answered for some periods."""
        return now_s - max(self.answered_s, self._began_s) > SILENT_PERIODS * self._poll.every_s

    async def run(self) -> None:
        """Ask until cancelled; a failure is counted, and asked again in its turn."""
        while True:
            if not self.symbols:
                await asyncio.sleep(IDLE_S)
                continue
            asked = [""] if self._poll.is_bulk else list(self.symbols)
            pause_s = self._poll.every_s / len(asked)
            for symbol in asked:
                began_s = time.monotonic()
                if symbol in self.symbols or self._poll.is_bulk:
                    await self._ask(symbol)
                # Spread a little, so that the ingestors of a venue do not ask in step.
                spread = 0.9 + 0.2 * random.random()  # noqa: S311
                await asyncio.sleep(max(0.0, pause_s * spread - (time.monotonic() - began_s)))

    async def _ask(self, symbol: str) -> None:
        request = self._poll.request(symbol)
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                body = await self._asker(request)
            recv_ns = time.time_ns()
            rows = self._poll.read(body, recv_ns // 1_000_000)
            self._intake.take_rows(rows, recv_ns, request.path)
        except (PipelineError, Unfit, TimeoutError) as e:
            logger.warning("poll_failed", path=request.path, reason=str(e) or "no answer")
            self._count("failed")
            return
        self.answered_s = time.monotonic()
        self._count("answered")

    def _count(self, outcome: str) -> None:
        metrics.polls.labels(*self._intake.labels, self._poll.kind, outcome).inc()
