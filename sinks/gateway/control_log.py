"""The edge to Kafka of what is wanted: three compacted topics in, control records out."""

from collections.abc import Mapping

import msgspec

from runtime.errors import Retriable
from runtime.settings import Settings
from schemas.control import Control, IntervalControl, is_interval_key
from schemas.streams import StreamKey
from schemas.topics import CONTROL, INSTRUMENTS, STREAMS
from sinks.gateway import metrics
from sinks.gateway.compacted import CompactedLog
from sinks.gateway.control import StreamTable
from sinks.gateway.intervals import IntervalTable

TOPICS = (CONTROL, STREAMS, INSTRUMENTS)

_encode = msgspec.json.Encoder().encode


class ControlLog(CompactedLog):
    """A CompactedLog; ``write`` what is wanted."""

    def __init__(self, settings: Settings, table: StreamTable, intervals: IntervalTable) -> None:
        super().__init__(settings, TOPICS, self._read)
        self._table = table
        self._intervals = intervals

    async def write(
        self, changes: Mapping[StreamKey, Control | None] | Mapping[str, IntervalControl | None]
    ) -> None:
        """Make the changes durable and visible here; raise Retriable when that is not certain."""
        records = [
            (str(key), None if control is None else _encode(control))
            for key, control in changes.items()
        ]
        try:
            last = await self.append(CONTROL, records)
        except Retriable:
            metrics.CONTROLS.labels("unacknowledged").inc(len(changes))
            raise
        metrics.CONTROLS.labels("acknowledged").inc(len(changes))
        await self.read_back(CONTROL, last)

    def _read(self, name: str, key: bytes | None, value: bytes | None) -> None:
        if name == CONTROL.name and is_interval_key(key):
            self._intervals.take(key, value)
        else:
            self._table.take(name, key, value)
