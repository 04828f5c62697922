"""How many WebSockets there may be: of all, of one address, of one key; no I/O."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from sinks.gateway.security.denied import TOO_MANY, UNAVAILABLE, Denied

RETRY_AFTER_S = 5.0

What = Literal["all", "address", "key"]


class Seats:
    """Counts what is taken; ``taken`` is held as long as a connection lasts."""

    def __init__(self, limits: dict[What, int]) -> None:
        self._limits = limits
        self._taken: Counter[tuple[What, str]] = Counter()

    @contextmanager
    def taken(self, what: What, name: str = "") -> Iterator[None]:
        """Take a seat inside the block; raise Denied where none is left."""
        limit = self._limits[what]
        if self._taken[what, name] >= limit:
            of = "one gateway" if what == "all" else f"one {what}"
            status = UNAVAILABLE if what == "all" else TOO_MANY
            reason = f"{limit} connections of {of} are open: no more are allowed"
            raise Denied(status, reason, kind=f"connections_{what}", retry_after_s=RETRY_AFTER_S)
        self._taken[what, name] += 1
        try:
            yield
        finally:
            self._taken[what, name] -= 1
            if not self._taken[what, name]:
                del self._taken[what, name]

    def count(self, what: What, name: str = "") -> int:
        """Return how many seats are taken."""
        return self._taken[what, name]
