"""How much REST weight a host still takes: the arithmetic, in Python and as the script of Redis.

Time is cut into ``SLICES`` slices a window, and a request counts until the window and one slice
have passed: so no window, wherever it begins, holds more than the limit. What others used shows in
the venue's own count, which begins anew with every window since 1970 (Binance: the full minute);
it is put where that count began, so that it ends with it.
"""

import math
from dataclasses import dataclass, field

SLICES = 10
MARGIN = 0.8
"""Of the venue's limit: its clock is not ours, and others may share the address."""
USED_MAX = 1_000_000_000  # a header that says more is no count


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is spent in a window of one host."""

    weight_max: int
    slice_ms: int

    @classmethod
    def of(cls, weight_max: int, window_s: float) -> "Allowance":
        """Return the allowance that stays below a venue's limit."""
        weight = max(1, math.floor(weight_max * MARGIN))
        return cls(weight, max(1, math.ceil(window_s * 1_000 / SLICES)))

    def fitted(self, weight: int) -> int:
        """Return what a request counts: one that is never allowed takes a whole window."""
        return min(max(weight, 1), self.weight_max)


@dataclass(slots=True)
class Spent:
    """What one process knows was spent, by slice; never more than ``SLICES + 2`` of them."""

    allowance: Allowance
    slices: dict[int, int] = field(default_factory=dict)
    closed_until_ms: int = 0

    def wait_ms(self, now_ms: int, weight: int) -> int:
        """Return how long to wait until a request of that weight fits; 0 when it does now."""
        if now_ms < self.closed_until_ms:
            return self.closed_until_ms - now_ms
        size = self.allowance.slice_ms
        over = self._sum(now_ms) + self.allowance.fitted(weight) - self.allowance.weight_max
        for index in sorted(self.slices) if over > 0 else ():
            over -= self.slices[index]
            if over <= 0:
                return (index + SLICES + 1) * size - now_ms
        return 0

    def spend(self, now_ms: int, weight: int) -> None:
        """Count a request."""
        self._sum(now_ms)
        index = now_ms // self.allowance.slice_ms
        self.slices[index] = self.slices.get(index, 0) + self.allowance.fitted(weight)

    def learn(self, now_ms: int, used: int, closed_until_ms: int) -> None:
        """Take over what the venue says: the weight that it counts, and when it opens again."""
        missing = used - self._sum(now_ms)
        if missing > 0:
            index = now_ms // self.allowance.slice_ms // SLICES * SLICES
            self.slices[index] = self.slices.get(index, 0) + missing
        self.closed_until_ms = max(self.closed_until_ms, closed_until_ms)

    def _sum(self, now_ms: int) -> int:
        current = now_ms // self.allowance.slice_ms
        for index in [i for i in self.slices if not current - SLICES <= i <= current]:
            del self.slices[index]
        return sum(self.slices.values())


# One hash per host. KEYS: the hash. ARGV: now in ms, slice in ms, slices, limit, weight.
# Returns the ms to wait; 0: it was spent.
SPEND = """
local now, size, slices = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local current = math.floor(now / size)
local spent = redis.call('HGETALL', KEYS[1])
local counted, sum, closed = {}, 0, 0
for i = 1, #spent, 2 do
  local index, weight = tonumber(spent[i]), tonumber(spent[i + 1])
  if not index then
    closed = weight
  elseif index < current - slices or index > current then
    redis.call('HDEL', KEYS[1], spent[i])
  else
    counted[#counted + 1] = {index, weight}
    sum = sum + weight
  end
end
if now < closed then return closed - now end
local over = sum + tonumber(ARGV[5]) - tonumber(ARGV[4])
if over > 0 then
  table.sort(counted, function(a, b) return a[1] < b[1] end)
  for _, each in ipairs(counted) do
    over = over - each[2]
    if over <= 0 then return (each[1] + slices + 1) * size - now end
  end
end
redis.call('HINCRBY', KEYS[1], current, ARGV[5])
redis.call('PEXPIRE', KEYS[1], 2 * slices * size)
return 0
"""

# ARGV: now in ms, slice in ms, slices, used (0: not told), closed until in ms (0: it is not).
LEARN = """
local now, size, slices = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local used, closed = tonumber(ARGV[4]), tonumber(ARGV[5])
local current = math.floor(now / size)
local spent = redis.call('HGETALL', KEYS[1])
local sum = 0
for i = 1, #spent, 2 do
  local index, weight = tonumber(spent[i]), tonumber(spent[i + 1])
  if not index then
    closed = math.max(closed, weight)
  elseif index >= current - slices and index <= current then
    sum = sum + weight
  end
end
if used > sum then
  redis.call('HINCRBY', KEYS[1], math.floor(current / slices) * slices, used - sum)
end
if closed > 0 then redis.call('HSET', KEYS[1], 'closed', closed) end
redis.call('PEXPIRE', KEYS[1], math.max(2 * slices * size, closed - now + slices * size))
return sum
"""
