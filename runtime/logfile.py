"""Log files that other processes write: kept small, followed, and read at their end.

Writers append (O_APPEND), so a file may be cut to nothing under them.
"""

import asyncio
import shutil
from pathlib import Path
from typing import TextIO

LOG_BYTES_MAX = 16 << 20
TAIL_BYTES_MAX = 32 << 10
TAIL_LINES = 15
FOLLOW_INTERVAL_S = 0.2


def bound(path: Path, bytes_max: int = LOG_BYTES_MAX) -> None:
    """Move what is in a file that has grown past ``bytes_max`` to ``<name>.1``."""
    if path.exists() and path.stat().st_size > bytes_max:
        shutil.copyfile(path, path.with_name(path.name + ".1"))
        with path.open("r+b") as file:
            file.truncate(0)


def size(path: Path) -> int:
    """Return the bytes in a file, 0 when there is none."""
    return path.stat().st_size if path.exists() else 0


def last_lines(path: Path, count: int = TAIL_LINES, *, since: int = 0) -> list[str]:
    """Return the last lines written after byte ``since``; a file that was cut counts as new."""
    end = size(path)
    start = since if since <= end else 0
    with path.open("rb") as file:
        file.seek(max(start, end - TAIL_BYTES_MAX))
        text = file.read().decode(errors="replace")
    return [line for line in text.splitlines() if line.strip()][-count:]


def quoted(path: Path, *, since: int = 0) -> str:
    """Return the file's name and its last lines, indented, for an error message."""
    lines = last_lines(path, since=since) if path.exists() else []
    return "\n".join(
        [f"  last lines of {path}:", *(f"    {line}" for line in lines or ["(empty)"])]
    )


async def follow(path: Path, out: TextIO) -> None:
    """Copy what is appended to ``path`` to ``out``, until cancelled."""
    position = size(path)
    while True:
        await asyncio.sleep(FOLLOW_INTERVAL_S)
        end = size(path)
        if end == position:
            continue
        with path.open("rb") as file:
            file.seek(position if position <= end else 0)
            out.write(file.read().decode(errors="replace"))
            position = file.tell()
        out.flush()
