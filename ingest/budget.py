"""The REST weight of one host, shared through Redis by every process that asks it.

Redis may be away: then this process counts alone, says so, and asks on. It never waits for Redis.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import structlog
from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from ingest import metrics
from ingest.allowance import LEARN, SLICES, SPEND, USED_MAX, Allowance, Spent
from ingest.endpoints import Endpoint
from ingest.exchanges.base import Market, RestBudget
from ingest.pacing import RATE_LIMITED, retry_after_s
from runtime.settings import Settings

logger = structlog.get_logger(__name__)

REDIS_ANSWERS_WITHIN_S = 1.0
REDIS_RETRY_S = 5.0
WAIT_S_MAX = 60.0  # then it looks again: a ban may last for days, or be lifted
LOG_INTERVAL_S = 10.0
FIREWALLED = 403
FIREWALL_PAUSE_S = 60.0  # a hasty repetition makes it worse
CLOSED_S_MAX = 3 * 86_400.0  # the longest ban that a venue names


class Budget:
    """What may be asked of one host: ``spend`` before a request, ``learn`` from its answer."""

    def __init__(
        self, exchange: str, key: str, allowed: RestBudget, shared: Redis | None = None
    ) -> None:
        self._exchange = exchange
        self._key = key
        self._used_header = allowed.used_header
        self._allowance = Allowance.of(allowed.weight_max, allowed.window_s)
        self._own = Spent(self._allowance)
        scripts = (SPEND, LEARN) if shared is not None else ()
        self._scripts = [shared.register_script(script) for script in scripts if shared]
        self._redis_again_s = 0.0
        self._is_shared: bool | None = None
        self._turn = asyncio.Lock()  # first come, first served
        self._logged_s = -LOG_INTERVAL_S

    async def spend(self, weight: int) -> None:
        """Return when a request of that weight may be made; it is counted."""
        async with self._turn:
            while wait_ms := await self._wait_ms(weight):
                wait_s = min(wait_ms / 1_000, WAIT_S_MAX)
                self._log(weight, wait_ms / 1_000)
                metrics.rest_waited_seconds.labels(self._exchange).inc(wait_s)
                await asyncio.sleep(wait_s)

    async def learn(self, headers: Mapping[str, str], status: int) -> None:
        """Take over the venue's count; after a refusal nobody asks before the time it names."""
        text = headers.get(self._used_header, "") if self._used_header else ""
        used = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
        closed_s = 0.0
        if status == FIREWALLED or status in RATE_LIMITED:
            named_s = retry_after_s(status, headers.get("Retry-After"))
            closed_s = min(named_s or FIREWALL_PAUSE_S, CLOSED_S_MAX)
            logger.warning("rate_limited", key=self._key, status=status, closed_s=closed_s)
        if not used and not closed_s:
            return
        now_ms = _now_ms()
        closed_until_ms = now_ms + int(closed_s * 1_000) if closed_s else 0
        self._own.learn(now_ms, min(used, USED_MAX), closed_until_ms)
        await self._ask(1, now_ms, min(used, USED_MAX), closed_until_ms)

    async def _wait_ms(self, weight: int) -> int:
        now_ms = _now_ms()
        wait_ms = self._own.wait_ms(now_ms, weight)
        if wait_ms:
            return wait_ms
        limit = self._allowance.weight_max
        wait_ms = await self._ask(0, now_ms, limit, self._allowance.fitted(weight))
        if not wait_ms:
            # Counted here too: Redis may forget, or go away. And now: it may have taken its time.
            self._own.spend(_now_ms(), weight)
        return wait_ms

    async def _ask(self, script: int, now_ms: int, *arguments: int) -> int:
        """Run a script; 0 where Redis does not answer, so that the own count decides."""
        if not self._scripts:
            self._note(is_shared=False, reason="no Redis is set")
            return 0
        if time.monotonic() < self._redis_again_s:
            return 0
        try:
            async with asyncio.timeout(REDIS_ANSWERS_WITHIN_S):
                answer = await self._scripts[script](
                    keys=[self._key],
                    args=[now_ms, self._allowance.slice_ms, SLICES, *arguments],
                )
        except (exceptions.RedisError, OSError, TimeoutError) as e:
            self._redis_again_s = time.monotonic() + REDIS_RETRY_S
            self._note(is_shared=False, reason=repr(e))
            return 0
        self._note(is_shared=True)
        return int(answer)

    def _note(self, *, is_shared: bool, reason: str = "") -> None:
        if is_shared == self._is_shared:
            return
        if not is_shared:
            logger.warning("rest_budget_not_shared", key=self._key, reason=reason)
        elif self._is_shared is not None:
            logger.info("rest_budget_shared", key=self._key)
        self._is_shared = is_shared
        metrics.rest_budget_unshared.labels(self._exchange).set(not is_shared)

    def _log(self, weight: int, seconds: float) -> None:
        now_s = time.monotonic()
        if now_s - self._logged_s >= LOG_INTERVAL_S:
            self._logged_s = now_s
            logger.warning("rate_limit_wait", key=self._key, weight=weight, seconds=seconds)


@asynccontextmanager
async def venue_budget(
    settings: Settings, exchange: str, market: Market, endpoint: Endpoint
) -> AsyncIterator[Budget]:
    """Open the budget of a market's REST address; markets of one address share one."""
    parts = urlsplit(endpoint.url)
    place = f"{parts.hostname}:{parts.port or parts.scheme}{parts.path}"
    key = f"{settings.redis_main_key}:rest-budget:{exchange}:{place}"
    shared = _redis(settings)
    try:
        yield Budget(exchange, key, market.rest_budget, shared)
    finally:
        if shared is not None:
            await shared.aclose()


def _redis(settings: Settings) -> Redis | None:
    if not settings.redis_host:
        return None
    return Redis(
        host=settings.redis_host,
        port=settings.redis_port,
        username=settings.redis_user or None,
        password=settings.redis_password or None,
        db=settings.redis_base,
        socket_connect_timeout=REDIS_ANSWERS_WITHIN_S,
        socket_timeout=REDIS_ANSWERS_WITHIN_S,
        retry=Retry(NoBackoff(), 0),
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
