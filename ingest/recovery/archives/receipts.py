"""What was read: the etag and sha256 of every file, so that a replaced file is noticed.

Venues replace files months later; what was read of the old one may be wrong or too little.
"""

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

_TABLE = """
CREATE TABLE IF NOT EXISTS files (
    url TEXT PRIMARY KEY, etag TEXT NOT NULL, sha256 TEXT NOT NULL, bytes INTEGER NOT NULL,
    read_ms INTEGER NOT NULL, replaced INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID
"""
BUSY_S = 30.0


class Receipt(NamedTuple):
    """A file as it was when it was last read."""

    etag: str
    sha256: str
    bytes: int
    replaced: int
    """How often it was another file than the time before."""


class Receipts:
    """A small database beside the files; several processes may share it."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
        with closing(self._db.execute(_TABLE)):
            pass

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def of(self, url: str) -> Receipt | None:
        """Return what is known of a file."""
        found = self._db.execute(
            "SELECT etag, sha256, bytes, replaced FROM files WHERE url = ?", (url,)
        ).fetchone()
        return None if found is None else Receipt(*found)

    def note(self, url: str, etag: str, sha256: str, size: int) -> bool:
        """Remember a file; true if it is another one than the last time."""
        before = self.of(url)
        is_replaced = before is not None and before.sha256 != sha256
        replaced = (before.replaced if before else 0) + is_replaced
        self._db.execute(
            "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?)",
            (url, etag, sha256, size, time.time_ns() // 1_000_000, replaced),
        )
        return is_replaced
