"""Upkeep: what nobody has changed for minutes is written anew, so that it stays the last record.

Compaction keeps the last record of a key, whoever wrote it. Recovery refuses that of a late owner
(``processors.fencing``), but could not find one that compaction had dropped for it. So the
changelog keeps everything for 10 minutes, and every record is written again within 5.
"""

from collections.abc import Collection, Iterable

COMPACTION_LAG_S = 600
EVERY_S = 300.0
REWRITES_MAX = 500  # of a checkpoint: a backlog of them must not delay states


class Upkeep:
    """When each key was last written; time is an argument, in seconds of a monotonic clock."""

    def __init__(self, every_s: float = EVERY_S) -> None:
        self._every_s = every_s
        self._written_s: dict[bytes, float] = {}  # the one that waits longest is the first

    def begin(self, keys: Collection[bytes], now_s: float) -> None:
        """Forget all others; spread these over the next interval."""
        step_s = self._every_s / max(1, len(keys))
        begin_s = now_s - self._every_s
        self._written_s = {key: begin_s + step_s * n for n, key in enumerate(keys, 1)}

    def wrote(self, keys: Iterable[bytes], now_s: float) -> None:
        """Take note that these were written."""
        written_s = self._written_s
        for key in keys:
            written_s.pop(key, None)
            written_s[key] = now_s

    def due(self, now_s: float) -> list[bytes]:
        """Return what is to be written anew, at most so many at once."""
        found: list[bytes] = []
        for key, written_s in self._written_s.items():
            if written_s > now_s - self._every_s or len(found) == REWRITES_MAX:
                break
            found.append(key)
        return found
