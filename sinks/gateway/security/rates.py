"""How often callers may ask: buckets of this process, and of Redis where gateways share one.

Redis may be away: then each gateway counts alone, says so, and goes on.
"""

import asyncio
import time

import structlog
from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from runtime.settings import Settings
from sinks.gateway.security import metrics
from sinks.gateway.security.buckets import BURST_S, TAKE, Buckets
from sinks.gateway.security.denied import TOO_MANY, Denied

logger = structlog.get_logger(__name__)

REDIS_ANSWERS_WITHIN_S = 0.25
REDIS_RETRY_S = 5.0


class Rates:
    """``take`` from a caller's bucket before its call is obeyed."""

    def __init__(self, settings: Settings) -> None:
        self._own = Buckets()
        self._prefix = f"{settings.redis_main_key}:gateway-rate:"
        self._redis = _redis(settings)
        self._script = self._redis.register_script(TAKE) if self._redis else None
        self._again_s = 0.0
        self._is_shared: bool | None = None

    async def close(self) -> None:
        """Disconnect."""
        if self._redis is not None:
            await self._redis.aclose()

    async def take(self, what: str, name: str, rate_s: int, cost: float = 1.0) -> None:
        """Count a call; raise Denied where it is one too many."""
        bucket = f"{what}:{name}"
        wait_s = self._own.take(bucket, rate_s, cost, time.monotonic())
        if not wait_s:
            wait_s = await self._shared(bucket, rate_s, min(cost, rate_s * BURST_S))
        if wait_s:
            reason = f"more than {rate_s} requests a second of one {what}"
            raise Denied(TOO_MANY, reason, kind=f"rate_{what}", retry_after_s=wait_s)

    async def _shared(self, bucket: str, rate_s: int, cost: float) -> float:
        if self._script is None or time.monotonic() < self._again_s:
            return 0.0
        try:
            async with asyncio.timeout(REDIS_ANSWERS_WITHIN_S):
                wait_ms = await self._script(
                    keys=[self._prefix + bucket], args=[rate_s, rate_s * BURST_S, cost]
                )
        except (exceptions.RedisError, OSError, TimeoutError) as e:
            self._again_s = time.monotonic() + REDIS_RETRY_S
            self._note(is_shared=False, reason=repr(e))
            return 0.0
        self._note(is_shared=True)
        return int(wait_ms) / 1_000

    def _note(self, *, is_shared: bool, reason: str = "") -> None:
        if is_shared == self._is_shared:
            return
        self._is_shared = is_shared
        metrics.UNSHARED.set(not is_shared)
        if not is_shared:
            logger.warning("gateway_rates_not_shared", reason=reason)


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
