"""A lock among processes: the kernel drops it with its holder, also by kill -9."""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def locked(path: Path, *, waits: bool) -> Iterator[bool]:
    """Hold a lock inside the block; False: another process has it, and we do not wait."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        is_held = True
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
        except BlockingIOError:
            is_held = False
        yield is_held
