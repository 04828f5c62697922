"""How long to wait before the next attempt: doubling, bounded, never twice the same.

Pure: the caller brings the randomness, so a schedule can be tested.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Backoff:
    """Delays from ``first_s`` to ``max_s``, shortened so that a crowd spreads out."""

    first_s: float = 0.2
    max_s: float = 10.0
    spread: float = 0.5
    """The part of a delay by which it may be shortened."""

    def delay_s(self, failures: int, jitter: float) -> float:
        """Return the pause after ``failures`` failures in a row; ``jitter`` is in [0, 1)."""
        doublings = min(max(failures - 1, 0), 32)
        return min(self.max_s, self.first_s * 2.0**doublings) * (1.0 - jitter * self.spread)
