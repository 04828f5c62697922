"""JSON Lines in hourly folders: ``output/file_consumer/{exchange}/YYYY/MM/DD/HH``, kept for 4 h.

A file is named after its first record, and written under another name first. Records that were not
committed come again beginning with the same one, so a repeat replaces the file and doubles nothing.
"""

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import structlog

from runtime.errors import Misconfigured, Retriable
from schemas.topics import KLINES, PRICES, TRADES, Topic
from sinks.base import Batch, BatchLimits, Record, Refused

logger = structlog.get_logger(__name__)

ROOT = Path("output") / "file_consumer"
KEPT_S = 4 * 3_600
CLEAN_INTERVAL_S = 300
RETRY_AFTER_S = 5.0

Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$")]  # becomes part of a path


class _Head(msgspec.Struct):
    exchange: Name
    channel: Name
    data_type: Name = "trades"


_head = msgspec.json.Decoder(_Head).decode


class FileSink:
    """Writes one file per batch, partition, exchange and kind."""

    name = "file"
    topics: Sequence[Topic] = (TRADES, KLINES, PRICES)
    limits = BatchLimits(records_max=10_000, bytes_max=16 << 20, linger_ms=5_000)

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root
        self._cleaned_s = float("-inf")

    async def open(self) -> None:
        """Make the folder; raise Misconfigured when that cannot be."""
        try:
            await asyncio.to_thread(self._root.mkdir, parents=True, exist_ok=True)
        except OSError as e:
            raise Misconfigured(
                "STREAMER_ENABLED_CONSUMERS",
                f"the sink `file` cannot write {self._root.absolute()}: {e.strerror}",
                remedy="Start in a folder that can be written, or leave `file` out.",
            ) from e

    async def write(self, batch: Batch) -> Sequence[Refused]:
        """Write the files, and remove what is too old from time to time."""
        try:
            refused = await asyncio.to_thread(self._write, batch)
            if time.monotonic() - self._cleaned_s >= CLEAN_INTERVAL_S:
                self._cleaned_s = time.monotonic()
                await asyncio.to_thread(clean, self._root, time.time() - KEPT_S)
        except OSError as e:
            raise Retriable(f"{self._root}: {e.strerror}", retry_after_s=RETRY_AFTER_S) from e
        return refused

    async def close(self) -> None:
        """Every file is complete already."""

    def facts(self) -> Mapping[str, object]:
        """Return where the files are."""
        return {"folder": str(self._root.absolute())}

    def _write(self, batch: Batch) -> list[Refused]:
        refused = []
        groups: dict[tuple[str, str, str, str, int], list[Record]] = {}
        for record in batch.records:
            try:
                head = _head(record.value)
            except msgspec.MsgspecError as e:
                refused.append(Refused(record, str(e)))
                continue
            kind = (head.exchange, head.channel, head.data_type, record.topic, record.partition)
            groups.setdefault(kind, []).append(record)
        for (exchange, channel, data_type, _, _), records in groups.items():
            path = self._root / exchange / file_name(records[0], channel, data_type)
            path.parent.mkdir(parents=True, exist_ok=True)
            unfinished = path.with_suffix(".part")
            with unfinished.open("wb") as file:
                file.writelines(msgspec.json.format(r.value, indent=-1) + b"\n" for r in records)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
        return refused


def file_name(first: Record, channel: str, data_type: str) -> Path:
    """Return the hourly folder and the name of the file that begins with ``first``."""
    at = datetime.fromtimestamp(first.timestamp_ms / 1_000, UTC)
    name = f"{at:%Y%m%d_%H%M%S_%f}_{channel}_{data_type}_{first.partition}-{first.offset}.jsonl"
    return Path(f"{at:%Y/%m/%d/%H}") / name


def clean(root: Path, before_s: float) -> None:
    """Remove files written before ``before_s`` and the folders that become empty."""
    removed = 0
    for folder, _, names in os.walk(root, topdown=False):
        for path in (Path(folder) / name for name in names):
            with suppress(FileNotFoundError):
                if path.suffix in (".jsonl", ".part") and path.stat().st_mtime < before_s:
                    path.unlink()
                    removed += 1
        if Path(folder) != root:
            with suppress(OSError):  # not empty
                Path(folder).rmdir()
    if removed:
        logger.info("old_files_removed", files=removed)
