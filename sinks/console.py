"""Closed candles as JSON lines on stdout; logs go to stderr, so a pipe sees nothing else."""

import asyncio
import sys
from collections.abc import Mapping, Sequence

import msgspec

from schemas.klines import decode_klines
from schemas.topics import KLINES, Topic
from sinks.base import Batch, BatchLimits, Refused


class ConsoleSink:
    """Writes each record's envelope as one line; a repeat after a crash repeats lines."""

    name = "console"
    topics: Sequence[Topic] = (KLINES,)
    limits = BatchLimits(records_max=1_000, bytes_max=1 << 20, linger_ms=0)

    async def open(self) -> None:
        """Nothing to reach: stdout is there."""

    async def write(self, batch: Batch) -> Sequence[Refused]:
        """Write the lines and flush them."""
        lines, refused = [], []
        for record in batch.records:
            try:
                decode_klines(record.value)
            except msgspec.MsgspecError as e:
                refused.append(Refused(record, str(e)))
            else:
                lines.append(msgspec.json.format(record.value, indent=-1) + b"\n")
        # A pipe that nobody reads blocks: not on the event loop.
        await asyncio.to_thread(_write, b"".join(lines))
        return refused

    async def close(self) -> None:
        """Leave stdout open."""

    def facts(self) -> Mapping[str, object]:
        """Nothing to know."""
        return {}


def _write(lines: bytes) -> None:
    sys.stdout.buffer.write(lines)
    sys.stdout.buffer.flush()
