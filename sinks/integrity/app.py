"""Integrity as a process: every symbol verified at the start, and again every so often."""

import asyncio
import time
from collections.abc import Iterable

import structlog

from runtime import ready
from runtime.clickhouse import url_of
from runtime.errors import Retriable
from runtime.kafka import wait_for_broker
from runtime.settings import Settings
from sinks.integrity import metrics
from sinks.integrity.periods import DAY_MS
from sinks.integrity.verifier import Outcome, Verifier
from sinks.integrity.warehouse import Market, Scope

logger = structlog.get_logger(__name__)

QUIET_AFTER_MS = 2 * DAY_MS  # a symbol that trades no more has no trust point to wait for


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Run until ``stop`` is set; raise Misconfigured when it cannot start."""
    url_of(settings)
    await wait_for_broker(settings.kafka_bootstrap)
    async with Verifier(settings) as verifier:
        ready.announce()
        while not stop.is_set():
            await _pause(stop, await _run_once(verifier, settings, stop))
    logger.info("integrity_stopped")


async def _run_once(verifier: Verifier, settings: Settings, stop: asyncio.Event) -> float:
    """Verify everything; return in how many seconds to do so again."""
    began_s = time.monotonic()
    outcomes: list[Outcome] = []
    try:
        async for outcome in verifier.verify(Scope()):
            outcomes.append(outcome)
            if stop.is_set():
                return 0.0
    except Retriable as e:
        metrics.retries.inc()
        logger.warning("retried_later", reason=e.reason, retry_after_s=e.retry_after_s)
        return e.retry_after_s
    took_s = time.monotonic() - began_s
    metrics.run.observe(took_s)
    measure(outcomes, time.time_ns() // 1_000_000)
    logger.info(
        "integrity_verified",
        symbols=len(outcomes),
        missing=sum(o.verdict.gaps_count - o.verdict.unrecoverable for o in outcomes),
        told=sum(len(o.told) for o in outcomes),
        took_s=round(took_s, 1),
    )
    return float(settings.integrity_every_s)


def measure(outcomes: Iterable[Outcome], now_ms: int) -> None:
    """Set the gauges to what one whole run found."""
    by_market: dict[Market, list[Outcome]] = {}
    for outcome in outcomes:
        by_market.setdefault(outcome.market, []).append(outcome)
    for market, found in by_market.items():
        verdicts = [outcome.verdict for outcome in found]
        metrics.symbols.labels(*market).set(len(verdicts))
        missing = sum(v.gaps_count - v.unrecoverable for v in verdicts)
        metrics.gaps.labels(*market).set(missing)
        metrics.unrecoverable.labels(*market).set(sum(v.unrecoverable for v in verdicts))
        metrics.duplicates.labels(*market).set(sum(v.duplicates for v in verdicts))
        trusted = [
            v.trust.to_ms if v.trust else v.first_ms
            for v in verdicts
            if v.last_ms > now_ms - QUIET_AFTER_MS
        ]
        age_ms = now_ms - min(trusted, default=now_ms)
        metrics.trusted_age.labels(*market).set(age_ms / 1_000)


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return
