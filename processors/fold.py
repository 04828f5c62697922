"""Fold: what an agent of a worker is made of. Pure: no I/O, no clock, no Faust.

A fold reads topics whose partitions belong together, keeps state by partition, and says what to
publish. A worker feeds it records in the order of their offsets, each once, and makes its states
durable (``processors.checkpoint``): outputs first, then states with positions, then acks.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple, Protocol, TypeVar

from schemas.topics import Topic

K = TypeVar("K")


class Unreadable(ValueError):  # noqa: N818 - reads as the claim it makes
    """A record that is not what its topic promises: a dead letter, and the fold is unchanged."""


class UnknownState(ValueError):  # noqa: N818 - reads as the claim it makes
    """A changelog record that another version of this program wrote."""


Partitions = Collection[int] | None
"""Of which partitions; None: of all."""


class Output(NamedTuple):
    """One record to publish; ``key`` tells its partition."""

    topic: Topic
    key: bytes
    value: bytes


class Fold(Protocol):
    """A pure state machine over records.

    Nothing that it publishes may depend on when it is asked, but for how often: a replay after a
    crash must say the same again under the same ``rev``.
    """

    name: str
    """Of the agent; also apart in the changelog, where several folds share one table."""
    reads: tuple[Topic, ...]
    writes: tuple[Topic, ...]

    def apply(self, topic: Topic, partition: int, offset: int, value: bytes) -> None:
        """Fold one record, whole or not at all; raise Unreadable.

        After a crash records come again that some states already hold: each state knows the last
        offset that it has seen of each topic.
        """

    def tick(self, now_ms: int, caught_up: Collection[int]) -> None:
        """Do what the clock asks for, on the partitions where nothing waits to be read."""

    def outputs(self, now_ms: int, caught_up: Collection[int]) -> Iterator[Output]:
        """Yield what is due; once it is exhausted only what is throttled waits."""

    def take_dirty(self, partitions: Partitions = None) -> list[tuple[int, bytes, bytes]]:
        """Return (partition, key, record) of what has changed since, in the order of writing."""

    def restore(self, partition: int, states: Mapping[bytes, bytes]) -> None:
        """Take over a partition with the records of ``take_dirty``; raise ``UnknownState``."""

    def drop(self, partition: int) -> None:
        """Forget a partition that another worker owns now."""


def taken(dirty: dict[K, int], partitions: Partitions) -> dict[K, int]:
    """Take out of what changed, each with its partition, what is of some partitions."""
    if partitions is None:
        found = dict(dirty)
    else:
        found = {key: partition for key, partition in dirty.items() if partition in partitions}
    for key in found:
        del dirty[key]
    return found
