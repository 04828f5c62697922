"""Hashes that never go back: a row replaces another only when its (time, version) is higher.

The comparison runs inside Redis, so that a replay, or a second sink, cannot race with it. A hash
and its versions are two keys of one script, which a Redis Cluster would refuse.
"""

from collections.abc import Sequence
from typing import Any

from redis import exceptions
from redis.asyncio import Redis

from runtime.errors import Retriable
from sinks.redis.rows import Keys, Rows

RETRY_AFTER_S = 1.0
FIELDS_PER_CALL_MAX = 500  # Redis serves nobody else while a script runs
UNLINK_KEYS_MAX = 500
AWAY = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.ReadOnlyError,
    exceptions.OutOfMemoryError,
    exceptions.ClusterDownError,
    exceptions.TryAgainError,
    exceptions.NoScriptError,  # restarted between the script and its call
)
AWAY_WORDS = ("MISCONF", "LOADING", "NOREPLICAS", "MASTERDOWN", "BUSY")

# KEYS: the hash, its versions. ARGV: ttl in s (0: none), channel ("": say nothing), then for each
# row: field, time, version, value, message. Numbers are exact below 2^53.
COMPARE_AND_SET = """
local accepted = 0
for i = 3, #ARGV, 5 do
  local newer = true
  local known = redis.call('HGET', KEYS[2], ARGV[i])
  if known then
    local time, version = string.match(known, '^(%d+) (%d+)$')
    local d = tonumber(ARGV[i + 1]) - tonumber(time)
    newer = d > 0 or (d == 0 and tonumber(ARGV[i + 2]) > tonumber(version))
  end
  if newer then
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 3])
    redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1] .. ' ' .. ARGV[i + 2])
    if ARGV[2] ~= '' and ARGV[i + 4] ~= '' then
      redis.call('PUBLISH', ARGV[2], ARGV[i + 4])
    end
    accepted = accepted + 1
  end
end
if accepted > 0 and tonumber(ARGV[1]) > 0 then
  redis.call('EXPIRE', KEYS[1], ARGV[1])
  redis.call('EXPIRE', KEYS[2], ARGV[1])
end
return accepted
"""


class Hashes:
    """The sink's keys on one Redis."""

    def __init__(self, client: Redis, keys: Keys, *, last_closed_ttl_s: int) -> None:
        self._client = client
        self._keys = keys
        self._ttl_s = last_closed_ttl_s
        self._compare_and_set = client.register_script(COMPARE_AND_SET)

    async def clean(self) -> None:
        """Remove every key that is ours, and no other."""
        try:
            for pattern in self._keys.patterns():
                found: list[Any] = []
                async for key in self._client.scan_iter(match=pattern, count=1_000):
                    found.append(key)
                    if len(found) == UNLINK_KEYS_MAX:
                        await self._client.unlink(*found)
                        found.clear()
                if found:
                    await self._client.unlink(*found)
        except exceptions.RedisError as e:
            raise sorted_error(e) from e

    async def apply(self, rows: Rows, *, say: bool) -> bool:
        """Write the rows, and say the messages; return whether the hashes are still complete.

        They are not when a Redis that keeps nothing was restarted since they were rebuilt.
        """
        prices = self._keys.price("")
        pipeline = self._client.pipeline(transaction=False)
        pipeline.exists(self._keys.rebuilt)
        for key, fields in rows.hashes.items():
            is_price = key.startswith(prices)
            ttl_s = 0 if is_price else self._ttl_s
            channel = key if is_price and say else ""
            for names in _chunks(list(fields)):
                arguments: list[Any] = [ttl_s, channel]
                for name in names:
                    arguments += (name, *fields[name])
                versions = self._keys.versions(key)
                await self._compare_and_set(keys=[key, versions], args=arguments, client=pipeline)
        for channel, message in rows.messages if say else ():
            pipeline.publish(channel, message)
        try:
            complete, *_ = await pipeline.execute()
        except exceptions.RedisError as e:
            raise sorted_error(e) from e
        return bool(complete)

    async def mark_rebuilt(self) -> None:
        """Note that the hashes hold everything that they should."""
        try:
            await self._client.set(self._keys.rebuilt, "1")
        except exceptions.RedisError as e:
            raise sorted_error(e) from e


def sorted_error(e: exceptions.RedisError) -> Exception:
    """Return Retriable while Redis is away or cannot write; anything else is a bug."""
    if isinstance(e, AWAY) or str(e).startswith(AWAY_WORDS):
        return Retriable(f"Redis: {e!r}", retry_after_s=RETRY_AFTER_S)
    return e


def _chunks(names: list[str]) -> list[Sequence[str]]:
    return [names[i : i + FIELDS_PER_CALL_MAX] for i in range(0, len(names), FIELDS_PER_CALL_MAX)]
