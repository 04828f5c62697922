"""Watchdog: what a worker must notice about itself, because nobody else would in time.

Its judgements end the process, and the supervisor starts another: a replay is always safe, a
worker that writes after its partitions went to somebody else is not.
"""

from collections.abc import Mapping
from typing import TypeVar

from runtime.errors import PipelineError

STUCK_S = 15.0  # lag and no progress for so long
WAITS_S_MAX = 600.0  # the same while others that are far behind are read: it waits for its turn
BEHIND_RECORDS = 50
HOMELESS_S = 120.0  # a rebalance or recovery that has not ended for so long
# A process that stood still may have been expelled from its group meanwhile. It is so after the
# session timeout (6 s) at the latest, less the time since its last heartbeat (1.5 s).
PAUSE_S_MAX = 4.0

P = TypeVar("P")  # names a partition


class Unfit(PipelineError):  # noqa: N818 - reads as what it says of the worker
    """This worker must not go on."""


class Watchdog:
    """Time is an argument: seconds of a monotonic clock."""

    def __init__(self, now_s: float) -> None:
        self._awake_s = now_s
        self._homeless_s: float | None = now_s
        self._waits_s: dict[object, float] = {}  # since when a partition has waited
        self._reached: dict[object, tuple[int, float]] = {}  # by partition: position, since when

    def wake(self, now_s: float) -> None:
        """Take note that the process runs; raise Unfit when it has not run for too long."""
        paused_s = now_s - self._awake_s
        if paused_s > PAUSE_S_MAX:
            raise Unfit(f"it stood still for {paused_s:.1f} s")
        self._awake_s = now_s
        if self._homeless_s is not None and now_s - self._homeless_s > HOMELESS_S:
            raise Unfit(f"no partitions were restored within {HOMELESS_S:g} s")

    def restored(self) -> None:
        """Take note that the partitions are ours."""
        self._homeless_s = None
        self._reached.clear()
        self._waits_s.clear()

    def forgot(self, now_s: float) -> None:
        """Take note that a rebalance has begun."""
        self._homeless_s = now_s

    def check_progress(
        self, positions: Mapping[P, int], lags: Mapping[P, int], now_s: float
    ) -> None:
        """Raise Unfit when a partition has records to read and has not moved for too long.

        While others that are far behind are read, it may only be waiting for its turn.
        """
        reached = self._reached
        moved = {tp for tp, at in positions.items() if tp not in reached or reached[tp][0] != at}
        is_busy = any(lags.get(tp, 0) > BEHIND_RECORDS for tp in moved)
        for tp, position in positions.items():
            if tp in moved or lags.get(tp, 0) <= 0:
                reached[tp] = (position, now_s)
                self._waits_s.pop(tp, None)
                continue
            since_s = self._waits_s.setdefault(tp, reached[tp][1])
            if is_busy:
                reached[tp] = (position, now_s)
            if now_s - reached[tp][1] > STUCK_S or now_s - since_s > WAITS_S_MAX:
                raise Unfit(f"partition {tp} stands at {position} with {lags[tp]} to read")
