"""The Redis sink: last prices and last closed candles in hashes, and both on pub/sub.

The keys are cleaned at start, so that no symbol stays that nobody streams. The group's commit says
only what was delivered, so the hashes are rebuilt from the log before delivery goes on: prices from
the whole compacted topic, candles from as far back as a hash would have lived. Rebuilding says
nothing on pub/sub; what was not committed is delivered and said, at least once.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

import structlog
from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from runtime.errors import Misconfigured
from runtime.settings import Settings
from schemas.topics import KLINES, PRICES, Topic
from sinks.base import Batch, BatchLimits, Record, Refused
from sinks.knobs import Knobs
from sinks.redis.hashes import Hashes
from sinks.redis.rows import Keys, rows_of
from sinks.tail import read_tail

logger = structlog.get_logger(__name__)

TRIES_MAX = 5
TRY_INTERVAL_S = 1.0
CONNECT_TIMEOUT_S = 2
ANSWER_TIMEOUT_S = 10
# Candles read back per partition: a day of one symbol at the default intervals, with room.
REBUILD_RECORDS_MAX = 200_000

History = Callable[[Topic], AsyncIterator[list[Record]]]


class RedisSink:
    """Writes what a batch changes in one pipeline, and soon: readers wait for prices."""

    name = "redis"
    topics: Sequence[Topic] = (KLINES, PRICES)
    limits = BatchLimits(records_max=2_000, bytes_max=8 << 20, linger_ms=40, commit_ms=500)

    def __init__(self, settings: Settings, *, history: History | None = None) -> None:
        if not settings.redis_host:
            raise Misconfigured(
                "STREAMER_REDIS_HOST",
                "it is empty",
                remedy="Set it to the host of a Redis; `fibstream up` starts one and sets it.",
            )
        self._settings = settings
        self._history = history or self._kafka_history
        self._client = Redis(
            host=settings.redis_host,
            port=settings.redis_port,
            username=settings.redis_user or None,
            password=settings.redis_password or None,
            db=settings.redis_base,
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            socket_timeout=ANSWER_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),  # the worker retries, and says so
        )
        self._keys = Keys(settings.redis_main_key, settings.exchange)
        self._knobs = Knobs(settings, "redis_publishes_enabled")
        self._hashes = Hashes(self._client, self._keys, last_closed_ttl_s=settings.redis_ttl_s)

    async def open(self) -> None:
        """Reach Redis, clean our keys and rebuild them."""
        await self._knobs.open()
        await self._reach()
        await self._hashes.clean()
        await self._rebuild()

    async def write(self, batch: Batch) -> Sequence[Refused]:
        """Write the newest rows and say the messages."""
        rows = rows_of(self._knobs.allowed(batch.records), self._keys)
        if not await self._hashes.apply(rows, say=True):
            logger.warning("redis_found_empty")
            await self._rebuild()
        return rows.refused

    async def close(self) -> None:
        """Close the connections."""
        await self._knobs.close()
        await self._client.aclose()

    def facts(self) -> Mapping[str, object]:
        """Return where the keys are."""
        s = self._settings
        return {"host": s.redis_host, "port": s.redis_port, "main_key": s.redis_main_key}

    async def _rebuild(self) -> None:
        records = 0
        for topic in self.topics:
            async for some in self._history(topic):
                await self._hashes.apply(rows_of(self._knobs.allowed(some), self._keys), say=False)
                records += len(some)
        await self._hashes.mark_rebuilt()
        logger.info("redis_rebuilt", records=records)

    def _kafka_history(self, topic: Topic) -> AsyncIterator[list[Record]]:
        if topic.compacted:
            return read_tail(self._settings, topic)
        return read_tail(
            self._settings,
            topic,
            age_s_max=self._settings.redis_ttl_s,
            records_max=REBUILD_RECORDS_MAX,
        )

    async def _reach(self) -> None:
        reason: Exception | None = None
        for attempt in range(TRIES_MAX):
            if attempt:
                await asyncio.sleep(TRY_INTERVAL_S)
            try:
                await self._client.ping()
            except (exceptions.AuthenticationError, exceptions.NoPermissionError) as e:
                raise self._unusable("STREAMER_REDIS_PASSWORD", e) from e
            except (exceptions.ConnectionError, exceptions.TimeoutError, OSError) as e:
                reason = e
            except exceptions.ResponseError as e:
                # Not loading, not away: it does not let us in, or is not the database we want.
                raise self._unusable("STREAMER_REDIS_BASE", e) from e
            else:
                return
        raise self._unusable("STREAMER_REDIS_HOST", reason) from reason

    def _unusable(self, setting: str, reason: Exception | None) -> Misconfigured:
        s = self._settings
        return Misconfigured(
            setting,
            f"no Redis that can be used at {s.redis_host}:{s.redis_port}: {reason}",
            remedy="Start it, or correct STREAMER_REDIS_HOST, _PORT, _USER, _PASSWORD and _BASE.",
        )
