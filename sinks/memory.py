"""A sink that keeps what it was given, for the tests of those who write pipelines."""

from collections.abc import Mapping, Sequence

from schemas.topics import KLINES, PRICES, TRADES, Topic
from sinks.base import Batch, BatchLimits, Record, Refused


class MemorySink:
    """Keeps each record once, however often it is written; ``records`` is in order of arrival."""

    name = "memory"
    limits = BatchLimits(records_max=1_000, bytes_max=8 << 20, linger_ms=0)

    def __init__(self, topics: Sequence[Topic] = (TRADES, KLINES, PRICES)) -> None:
        self.topics = topics
        self._records: dict[tuple[str, int, int], Record] = {}

    @property
    def records(self) -> list[Record]:
        """Return what was written, each record once."""
        return list(self._records.values())

    async def open(self) -> None:
        """Nothing to reach."""

    async def write(self, batch: Batch) -> Sequence[Refused]:
        """Keep the records."""
        for record in batch.records:
            self._records[record.topic, record.partition, record.offset] = record
        return []

    async def close(self) -> None:
        """Keep everything: a test reads it afterwards."""

    def facts(self) -> Mapping[str, object]:
        """Nothing to know."""
        return {}
