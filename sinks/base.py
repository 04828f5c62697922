"""What a sink is: it takes batches of records from topics and makes them durable.

``write`` may be called again with records that it has seen, after a crash or an outage: storing
twice must look like storing once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from schemas.topics import Topic


class Record(NamedTuple):
    """One record; ``topic`` is the catalogue's name, without the configured prefix."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    value: bytes


@dataclass(frozen=True, slots=True)
class Refused:
    """A record that the store will never take, and why."""

    record: Record
    reason: str


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of several partitions, in order within each, and where reading goes on after them.

    ``next_offsets`` is kept apart because a compacted topic has holes.
    """

    records: Sequence[Record]
    next_offsets: Mapping[tuple[str, int], int]

    @property
    def token(self) -> str:
        """Name the batch in logs: the same on every retry."""
        ends = (f"{t}/{p}<{offset}" for (t, p), offset in sorted(self.next_offsets.items()))
        return " ".join(ends)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchLimits:
    """A batch is written when one of these is reached; ``linger_ms`` counts from its first record.

    ``linger_ms`` 0 writes whatever one fetch brought. What was written is committed no more often
    than ``commit_ms`` says, but in a quiet moment: after a crash or a rebalance so much comes
    again.
    """

    records_max: int
    bytes_max: int
    linger_ms: int
    commit_ms: int = 0


class Sink(Protocol):
    """A store. Any error other than Retriable ends the process."""

    name: str
    topics: Sequence[Topic]

    @property
    def limits(self) -> BatchLimits:
        """Return the limits of the next batch; asked before each one."""

    async def open(self) -> None:
        """Reach the store and prepare it; raise Misconfigured when it cannot be reached."""

    async def write(self, batch: Batch) -> Sequence[Refused]:
        """Make the batch durable and return the records the store will never take.

        Raises Retriable while the store is away.
        """

    async def close(self) -> None:
        """Give up what ``open`` took; also called after an ``open`` that failed."""

    def facts(self) -> Mapping[str, object]:
        """Return what others need to know once the sink is open: ports, addresses."""
