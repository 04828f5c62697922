"""One file's place on this disk: what is whole, what came so far, and its lock."""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


class InUse(Exception):  # noqa: N818 - answered by whoever wanted the place
    """Somebody else has it."""


class Place:
    """Whole at ``path``; in the making beside it, with the etag of what is being made."""

    def __init__(self, folder: Path, name: str) -> None:
        self.path = folder / name
        self._part = folder / f"{name}.part"
        self._etag = folder / f"{name}.etag"
        self._lock = folder / f"{name}.lock"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes, and other tasks of this one, away; raise InUse."""
        with self._lock.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as e:
                raise InUse from e
            yield

    # -- whole

    def is_here(self) -> bool:
        """Say whether a whole file is here."""
        return self.path.exists()

    def size(self) -> int:
        """Return the bytes of the whole file."""
        return self.path.stat().st_size

    def touch(self) -> None:
        """Note that it was used."""
        os.utime(self.path)

    def remove(self) -> None:
        """Have no whole file."""
        self.path.unlink(missing_ok=True)

    def sha256(self) -> str:
        """Read all of it."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    # -- in the making

    def part(self) -> tuple[int, str]:
        """Return how much came and of which etag; (0, "") where it cannot be gone on with."""
        if not (self._part.exists() and self._etag.exists()):
            return 0, ""
        return self._part.stat().st_size, self._etag.read_text()

    def begin(self, etag: str, *, goes_on: bool) -> BinaryIO:
        """Open the part; without a strong etag nobody can go on with it later."""
        if etag and not etag.startswith("W/"):
            self._etag.write_text(etag)
        else:
            self._etag.unlink(missing_ok=True)
        return self._part.open("ab" if goes_on else "wb")

    def finish(self) -> None:
        """Let the part be the whole file."""
        self._part.rename(self.path)
        self._etag.unlink(missing_ok=True)

    def discard(self) -> None:
        """Have no part."""
        self._part.unlink(missing_ok=True)
        self._etag.unlink(missing_ok=True)


def forget_oldest(folder: Path, bytes_max: int) -> None:
    """Remove whole files, the least lately used first, that nobody has in use."""
    kept = [path for path in folder.iterdir() if not path.suffix]
    left = sum(path.stat().st_size for path in kept)
    for path in sorted(kept, key=lambda path: path.stat().st_mtime):
        if left <= bytes_max:
            return
        place = Place(folder, path.name)
        try:
            with place.held():
                left -= place.size()
                place.remove()
        except InUse:
            continue
