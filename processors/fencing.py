"""Fencing: who wrote a record of the changelog, and which records are refused on recovery.

A worker that stood still may hand states to Kafka after its partitions went to another. Every
record says by whom it was written; behind the first record of a newer owner those of an older one
count no more. So what is read is always what one owner left, cut at a moment of its life: as after
a crash, and that changes no candle.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import faust
import structlog
from faust.stores.memory import Store
from faust.types import StoreT

from processors import metrics
from processors.outbox import Headers

logger = structlog.get_logger(__name__)

HEADER = "fence"


class Token(NamedTuple):
    """An owner of a partition; a later one is greater.

    Each owner adds one to the highest term that it has read. Two that read the same differ in the
    generation of their group: the broker took the later for a member after the earlier.
    """

    term: int
    generation: int

    def headers(self) -> Headers:
        """Return what goes with each record of this owner."""
        return [(HEADER, b"%d.%d" % self)]


NOBODY = Token(0, 0)  # wrote the records of versions without tokens


def token_of(headers: Headers | Mapping[str, bytes] | None) -> Token:
    """Return who wrote a record."""
    pairs = headers.items() if isinstance(headers, Mapping) else headers or ()
    for name, value in pairs:
        if name == HEADER:
            term, _, generation = value.partition(b".")
            return Token(int(term), int(generation))
    return NOBODY


class FencedStore(Store[bytes, bytes]):
    """The memory store of a table, by partition, without what late owners wrote."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.tokens: dict[int, Token] = {}
        """By partition, the last owner seen in its changelog."""
        self.refused: dict[int, set[bytes]] = {}
        """By partition, keys whose last record counts no more: compaction would keep just that."""
        self._read_to: dict[int, int] = {}

    def records(self, partition: int) -> dict[bytes, bytes]:
        """Return what the changelog holds of a partition."""
        own = self._key_partition
        return {key: value for key, value in self.data.items() if own.get(key) == partition}

    def record(self, key: bytes) -> tuple[int, bytes, bytes]:
        """Return partition, key and value of what is held under a key."""
        return self._key_partition[key], key, self.data[key]

    def remember(self, partition: int, key: bytes, value: bytes) -> None:
        """Take note of a record that this worker wrote."""
        self.data[key] = value
        self._key_partition[key] = partition

    def apply_changelog_batch(
        self,
        batch: Iterable[Any],
        to_key: Callable[[Any], Any],
        to_value: Callable[[Any], Any],
    ) -> None:
        """Take records in the order of the changelog."""
        late: Counter[int] = Counter()
        for event in batch:
            message = event.message
            partition = message.partition
            if message.offset <= self._read_to.get(partition, -1):
                self._forget(partition)  # it was lost meanwhile, and is read anew
            self._read_to[partition] = message.offset
            key = to_key(event.key)
            if not self._accepts(partition, key, token_of(message.headers)):
                late[partition] += 1
            elif message.value is None:
                self.data.pop(key, None)
                self._key_partition.pop(key, None)
            else:
                self.remember(partition, key, to_value(event.value))
        for partition, count in late.items():
            metrics.fenced.inc(count)
            logger.warning("late_writes_refused", partition=partition, records=count)

    def _accepts(self, partition: int, key: bytes, token: Token) -> bool:
        newest = self.tokens.get(partition, NOBODY)
        refused = self.refused.setdefault(partition, set())
        if token < newest:
            refused.add(key)
            return False
        refused.discard(key)
        self.tokens[partition] = token
        return True

    def _forget(self, partition: int) -> None:
        for key in self.records(partition):
            del self.data[key], self._key_partition[key]
        for known in (self.tokens, self.refused, self._read_to):
            known.pop(partition, None)


class FencedTable(faust.Table[bytes, bytes]):
    """A table over a fenced store."""

    def _new_store(self) -> StoreT[Any, Any]:
        return FencedStore(
            "memory://",
            self.app,
            self,
            table_name=self.name,
            key_type=self.key_type,
            value_type=self.value_type,
            loop=self.loop,
        )
