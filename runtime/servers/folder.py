"""The folder of an embedded server: one owner at a time, enough space, kept or thrown away."""

import fcntl
import os
import shutil
import tempfile
from pathlib import Path

from runtime.errors import Misconfigured

MIN_FREE_MB = 512
PREFIX = "fibstream-"


class ServerFolder:
    """A locked folder; an ephemeral one is deleted by ``close``, or by the next one made."""

    def __init__(self, path: Path, lock_fd: int, *, ephemeral: bool) -> None:
        self.path = path
        self._lock_fd = lock_fd
        self._ephemeral = ephemeral

    @classmethod
    def kept(cls, path: Path, *, min_free_mb: int = MIN_FREE_MB) -> "ServerFolder":
        """Open a folder whose data stays; made when it is missing."""
        path = path.resolve()
        try:
            path.mkdir(parents=True, exist_ok=True)
            lock_fd = _lock(path)
        except OSError as e:
            raise _not_writable(path, e) from e
        if lock_fd is None:
            raise Misconfigured(
                "STREAMER_DATA_DIR",
                f"{path} is in use by another running server",
                remedy="Stop the other one, or set STREAMER_DATA_DIR to another folder.",
            )
        folder = cls(path, lock_fd, ephemeral=False)
        folder.check_space(min_free_mb)
        return folder

    @classmethod
    def ephemeral(cls, name: str, *, min_free_mb: int = MIN_FREE_MB) -> "ServerFolder":
        """Make a folder that goes with its owner, and clear those whose owners were killed."""
        temp = Path(tempfile.gettempdir())
        for old in temp.glob(f"{PREFIX}{name}-*"):
            _remove_if_abandoned(old)
        path = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{name}-"))
        lock_fd = _lock(path)
        if lock_fd is None:
            raise RuntimeError(f"{path} was taken the moment it was made")
        folder = cls(path, lock_fd, ephemeral=True)
        folder.check_space(min_free_mb)
        return folder

    def check_space(self, min_free_mb: int) -> None:
        """Raise Misconfigured, and let go of the folder, when its disk is nearly full."""
        free_mb = shutil.disk_usage(self.path).free >> 20
        if free_mb < min_free_mb:
            self.close()
            raise Misconfigured(
                "TMPDIR" if self._ephemeral else "STREAMER_DATA_DIR",
                f"{self.path} has {free_mb} MB free, {min_free_mb} MB are needed",
                remedy="Free some space, or set it to a folder on another disk.",
            )

    def close(self) -> None:
        """Let go of the folder; an ephemeral one is deleted."""
        if self._lock_fd < 0:
            return
        if self._ephemeral:
            shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock_fd)
        self._lock_fd = -1


def make_data_dir(path: Path) -> None:
    """Make the data folder if it is missing; raise Misconfigured when nothing can be kept there."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as e:
        raise _not_writable(path, e) from e


def _not_writable(path: Path, reason: OSError) -> Misconfigured:
    return Misconfigured(
        "STREAMER_DATA_DIR",
        f"cannot write to {path} ({reason.strerror})",
        remedy="Set it to a folder that this user may write to.",
    )


def _lock(folder: Path) -> int | None:
    # The kernel drops the lock with its owner: a kill -9 leaves nothing to clean up by hand.
    fd = os.open(folder / ".owner", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd


def _remove_if_abandoned(folder: Path) -> None:
    if not (folder / ".owner").exists():
        return  # being made at this moment, or not ours
    try:
        fd = _lock(folder)
    except OSError:
        return  # another user's
    if fd is not None:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(fd)
