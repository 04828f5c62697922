"""Token buckets: the arithmetic, in Python and as the script of Redis.

A bucket holds two seconds of its rate, so a burst is as large; an empty one says when to come back.
"""

from collections import OrderedDict

BURST_S = 2.0
BUCKETS_MAX = 100_000  # then the one not asked for the longest time is forgotten, and full again

TAKE = """
local rate, burst, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local held = redis.call('HMGET', KEYS[1], 'tokens', 'at_ms')
local tokens = tonumber(held[1] or burst)
local earned = math.max(0, now_ms - tonumber(held[2] or now_ms)) * rate / 1000
tokens = math.min(burst, tokens + earned)
local wait_ms = 0
if tokens < cost then
  wait_ms = math.ceil((cost - tokens) * 1000 / rate)
else
  tokens = tokens - cost
end
redis.call('HSET', KEYS[1], 'tokens', tostring(tokens), 'at_ms', tostring(now_ms))
redis.call('PEXPIRE', KEYS[1], math.ceil(burst * 1000 / rate) + 1000)
return wait_ms
"""


class Buckets:
    """Buckets of one process, by name; never more than ``BUCKETS_MAX``."""

    def __init__(self) -> None:
        self._held: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, name: str, rate_s: int, cost: float, now_s: float) -> float:
        """Take tokens; return 0.0, or how long to wait until there are as many."""
        burst = rate_s * BURST_S
        cost = min(cost, burst)
        tokens, at_s = self._held.get(name, (burst, now_s))
        tokens = min(burst, tokens + max(0.0, now_s - at_s) * rate_s)
        wait_s = max(0.0, (cost - tokens) / rate_s)
        self._held[name] = (tokens if wait_s else tokens - cost, now_s)
        self._held.move_to_end(name)
        if len(self._held) > BUCKETS_MAX:
            self._held.popitem(last=False)
        return wait_s
