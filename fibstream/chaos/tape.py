"""What the topics hold, read raw: plain JSON, no code of the stages that wrote it."""

import json
from decimal import Decimal
from types import TracebackType
from typing import Any, NamedTuple, Self

from aiokafka import AIOKafkaConsumer, TopicPartition

POLL_MS = 200


class Record(NamedTuple):
    """One record of a topic; ``value`` is its JSON, with every number exact."""

    partition: int
    offset: int
    key: bytes | None
    value: dict[str, Any]
    said_ms: int = 0
    """When its producer was given it; it may have arrived much later."""


class Tape:
    """One topic from its beginning, as far as it goes at each call."""

    def __init__(self, bootstrap: str, topic: str, partitions: int) -> None:
        self._tps = [TopicPartition(topic, partition) for partition in range(partitions)]
        self._consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)

    async def __aenter__(self) -> Self:
        await self._consumer.start()
        self._consumer.assign(self._tps)
        await self._consumer.seek_to_beginning(*self._tps)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._consumer.stop()

    async def ends(self) -> int:
        """Return how many records the topic was given, those compacted away as well."""
        return sum((await self._consumer.end_offsets(self._tps)).values())

    async def rest(self) -> list[Record]:
        """Return what has come since the last call, in the order of each partition."""
        found: list[Record] = []
        ends = await self._consumer.end_offsets(self._tps)
        while any([await self._consumer.position(tp) < ends[tp] for tp in self._tps]):
            for tp, messages in (await self._consumer.getmany(timeout_ms=POLL_MS)).items():
                found += [
                    Record(tp.partition, m.offset, m.key, read_json(m.value), m.timestamp)
                    for m in messages
                    if m.value is not None
                ]
        return found


def read_json(value: bytes) -> dict[str, Any]:
    """Return a JSON object, fractions as decimals."""
    read: dict[str, Any] = json.loads(value, parse_float=Decimal)
    return read
