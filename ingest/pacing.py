"""How often a venue is bothered: connection attempts, and reports about broken frames.

Pure: time and chance are arguments.
"""

from collections import deque

from ingest.exchanges.base import Limits
from runtime.backoff import Backoff

RATE_LIMITED = frozenset({418, 429})  # 418: the address is banned for a while
RATE_LIMITED_PAUSE_S = 60.0  # where the venue does not say for how long
# Of the HTTP statuses below 500; 403: the venue's firewall thinks that we are too fast.
TEMPORARY = frozenset({403, 408}) | RATE_LIMITED
BACKOFF_FIRST_S = 0.5
BACKOFF_MAX_S = 30.0
_BACKOFF = Backoff(first_s=BACKOFF_FIRST_S, max_s=BACKOFF_MAX_S, spread=1.0)


def backoff_s(failures: int, chance: float) -> float:
    """Return the pause after ``failures`` in a row: doubling, with full jitter (0 <= chance < 1).

    Full, so that the sockets of one venue do not come back in the same instant.
    """
    return _BACKOFF.delay_s(failures, 1.0 - chance)


def retry_after_s(status: int, header: str | None) -> float:
    """Return the pause that a refusal demands; 0 where it leaves it to us.

    The header's other form, a date, is used by no venue.
    """
    if header and header.isascii() and header.isdigit():
        return float(header)
    return RATE_LIMITED_PAUSE_S if status in RATE_LIMITED else 0.0


class Budgets:
    """Several budgets at once: the strictest decides."""

    def __init__(self, *budgets: "Budget") -> None:
        self._budgets = budgets

    def wait_s(self, now_s: float) -> float:
        """Return how long to wait until all of them allow one more."""
        return max(budget.wait_s(now_s) for budget in self._budgets)

    def spend(self, now_s: float) -> None:
        """Count one event in each."""
        for budget in self._budgets:
            budget.spend(now_s)


class Budget:
    """At most ``limit`` events in any ``window_s`` seconds."""

    def __init__(self, limit: int, window_s: float) -> None:
        self._window_s = window_s
        self._spent_s: deque[float] = deque(maxlen=limit)

    def wait_s(self, now_s: float) -> float:
        """Return how long to wait until one more is allowed; 0 when it is now."""
        spent = self._spent_s
        if len(spent) < (spent.maxlen or 1):
            return 0.0
        return max(0.0, spent[0] + self._window_s - now_s)

    def spend(self, now_s: float) -> None:
        """Count one event."""
        self._spent_s.append(now_s)


def attempts_of(limits: Limits) -> Budgets:
    """Return the budget of connection attempts to one host."""
    return Budgets(
        Budget(limits.connections_per_s_max, 1.0),
        Budget(limits.connections_per_5_min_max, 300.0),
    )
