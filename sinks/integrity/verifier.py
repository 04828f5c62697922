"""One run over all symbols asked for: batch after batch, each told before the next begins.

A run that is killed has told whole batches; the next one believes what the warehouse kept of them.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple, Self, TypeVar

import structlog

from runtime.clickhouse import url_of
from runtime.settings import Settings
from sinks.integrity import metrics
from sinks.integrity.checking import batches, check, untold
from sinks.integrity.judgement import Verdict
from sinks.integrity.periods import MonthSpan
from sinks.integrity.ranges import Missing
from sinks.integrity.telling import Teller, given_up, told_lately
from sinks.integrity.warehouse import Market, Scope, Told, Warehouse

logger = structlog.get_logger(__name__)

SETTLED_AFTER_MS = 60_000  # younger trades may be on their way, and come in any order
RECOVERED_WITHIN_MS = 600_000  # what was recovered may take so long to be in the warehouse

T = TypeVar("T")


class Outcome(NamedTuple):
    """A symbol verified, and which ranges of it were told now."""

    market: Market
    verdict: Verdict
    told: Sequence[Missing]
    given_up: Sequence[Told] = ()
    """Ranges that nobody has, as recovery named them."""


class Verifier:
    """``async with Verifier(settings) as v``; without a broker in the settings it tells nobody."""

    def __init__(
        self, settings: Settings, *, clock_ms: Callable[[], int] = lambda: time.time_ns() // 10**6
    ) -> None:
        self._settings = settings
        self._clock_ms = clock_ms
        self._url = url_of(settings)
        self._teller: Teller | None = None
        self._warehouse: Warehouse | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="warehouse")

    async def __aenter__(self) -> Self:
        if self._settings.kafka_bootstrap:
            self._teller = await Teller.connect(self._settings)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._teller is not None:
            await self._teller.close()
        if self._warehouse is not None:
            await self._in_thread(self._warehouse.close)
        self._thread.shutdown(wait=False)

    async def verify(
        self, scope: Scope, *, full: bool = False, anew: bool = False
    ) -> AsyncIterator[Outcome]:
        """Yield what became of each symbol.

        ``full`` believes nothing that was found earlier; ``anew`` tells gaps again that were told,
        but are neither recovered nor given up.
        """
        if self._warehouse is None:
            self._warehouse = await self._in_thread(lambda: Warehouse.connect(self._url))
        warehouse = self._warehouse
        now_ms = self._clock_ms()
        lately = await told_lately(self._settings, now_ms) if self._teller is not None else {}
        lost = await given_up(self._settings) if self._teller is not None else None
        found = await self._in_thread(lambda: warehouse.series(scope))
        for market, symbols in sorted(found.items()):
            for batch in batches(symbols):
                heard = lately.get(market, [])
                given = None if lost is None else lost.get(market, [])
                verdicts, told = await self._in_thread(
                    partial(_checked, warehouse, market, batch, heard, given, now_ms, full=full)
                )
                for verdict in verdicts:
                    yield await self._tell(market, verdict, told, anew=anew)

    async def _tell(
        self, market: Market, verdict: Verdict, told: Sequence[Told], *, anew: bool
    ) -> Outcome:
        given = [
            one for one in told if (one.symbol, one.state) == (verdict.symbol, "unrecoverable")
        ]
        if self._teller is None:
            return Outcome(market, verdict, (), given)
        missing = untold(verdict, () if anew else told)
        await self._teller.tell(market, verdict, missing)
        metrics.told.labels(*market).inc(len(missing))
        if missing:
            logger.warning(
                "gaps_found",
                exchange=market.exchange,
                channel=market.channel,
                symbol=verdict.symbol,
                ranges=len(missing),
                ids=sum(gap.ids for gap in missing),
            )
        return Outcome(market, verdict, missing, given)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _checked(
    warehouse: Warehouse,
    market: Market,
    batch: dict[str, list[MonthSpan]],
    lately: Sequence[tuple[Told, int]],
    given: Sequence[Told] | None,
    now_ms: int,
    *,
    full: bool,
) -> tuple[list[Verdict], list[Told]]:
    kept = [] if full else warehouse.kept(market, list(batch))
    told = known(warehouse.told(market, list(batch)), lately, now_ms)
    if given is not None:
        told = judged(told, given)
    until_ms = now_ms - SETTLED_AFTER_MS
    return check(warehouse, market, batch, kept, told, now_ms, until_ms), told


def judged(told: Iterable[Told], given: Iterable[Told]) -> list[Told]:
    """Return what was told, where only recovery gives up: a worker merely forgets."""
    open_ = [each._replace(state="found") for each in told if each.state == "unrecoverable"]
    return [*(each for each in told if each.state != "unrecoverable"), *open_, *given]


def known(
    stored: Iterable[tuple[Told, int]], lately: Iterable[tuple[Told, int]], now_ms: int
) -> list[Told]:
    """Return what need not be told: open, given up, or recovered and on its way.

    Both are (what, when); of a range what was said ``lately`` counts, for it is younger.
    """
    last: dict[tuple[str, int, int], tuple[Told, int]] = {}
    for told, at_ms in (*stored, *lately):
        last[told[:3]] = told, at_ms
    return [
        told
        for told, at_ms in last.values()
        if told.state != "recovered" or at_ms > now_ms - RECOVERED_WITHIN_MS
    ]
