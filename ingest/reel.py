"""Raw frames of one market to files, a line each, with receive times in a file beside them.

Both grow by whole gzip members: whatever kills the process, what was flushed stays readable, and at
most the last seconds are lost. A frame that would break its line, or that a reader would take for a
recorder's wrapper, is wrapped itself: ``{"raw": "..."}``.
"""

import os
import time
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import orjson

from runtime.errors import Misconfigured

CHUNK_BYTES = 64 << 10  # compressed at once: a millisecond or two
GZIP_BITS = 31
LEVEL = 4
NS_PER_S = 1_000_000_000
NS_PER_HOUR = 3_600 * NS_PER_S
MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """When the next file begins; whichever comes first."""

    mib_max: int = 256
    """Of a file of frames, compressed."""
    hours: int = 1
    """Counted from midnight, UTC; 0: never by time."""

    def is_due(self, written_bytes: int, opened_ns: int, now_ns: int) -> bool:
        """Say whether a file that was opened then and holds so much is finished."""
        if written_bytes >= self.mib_max * MIB:
            return True
        span_ns = self.hours * NS_PER_HOUR
        return span_ns > 0 and now_ns // span_ns != opened_ns // span_ns


class Reel:
    """The files of one market. Only ``flush`` and ``close`` touch the disk, and may raise."""

    def __init__(self, folder: Path, name: str, rotation: Rotation) -> None:
        self.frames = 0
        self.bytes = 0
        """Of the frames, as they were received."""
        self.wrapped = 0
        self.bodies = 0
        self.unflushed_bytes = 0
        self._paths: list[Path] = []
        self._folder = folder
        self._name = name
        self._rotation = rotation
        self._opened_ns = 0
        self._frames: _Members = _Nothing()
        self._times: _Members = _Nothing()
        self._sent: _Members = _Nothing()

    @property
    def paths(self) -> list[Path]:
        """Return the files of frames, oldest first."""
        return [path for path in self._paths if path.exists()]

    def frame(self, frame: bytes, recv_ns: int) -> None:
        """Add a frame as it was received."""
        self.frames += 1
        self.bytes += len(frame)
        if b"\n" in frame or b'"raw"' in frame or b'"path"' in frame:
            self.wrapped += 1
            frame = _wrapped(frame)
        self._line(frame, recv_ns)

    def body(self, url: str, body: bytes, recv_ns: int) -> None:
        """Add the answer to a REST request."""
        self.bodies += 1
        self._line(orjson.dumps({"url": url, "raw": _text(body)}), recv_ns)

    def sent(self, url: str, frame: bytes) -> None:
        """Note what was sent to the venue just now."""
        now_ns = time.time_ns()
        line = f"{url} <- {now_ns // NS_PER_S}.{now_ns % NS_PER_S:09}: {_text(frame)}"
        self._open(now_ns)
        self._sent.line(" ".join(line.splitlines()).encode())

    def flush(self, now_ns: int) -> None:
        """Write what was added; raise Misconfigured where the disk takes no more."""
        # Times first: a reader forgives a time without its frame.
        for file in (self._times, self._frames, self._sent):
            file.flush()
        self.unflushed_bytes = 0
        if self._rotation.is_due(self._frames.bytes, self._opened_ns, now_ns):
            self.close()

    def close(self) -> None:
        """Write what was added, and begin a new file with the next frame."""
        files = (self._times, self._frames, self._sent)
        self._frames = self._times = self._sent = _Nothing()
        for file in files:
            file.close()

    def _line(self, line: bytes, recv_ns: int) -> None:
        self._open(recv_ns)
        self._frames.line(line)
        self._times.line(b"%d" % recv_ns)
        self.unflushed_bytes += len(line)

    def _open(self, now_ns: int) -> None:
        if not isinstance(self._frames, _Nothing):
            return
        at = datetime.fromtimestamp(now_ns / NS_PER_S, tz=UTC)
        base = f"{self._name}_{at:%Y%m%dT%H%M%S}{at.microsecond // 1_000:03}Z"
        self._opened_ns = now_ns
        self._frames = _Members(self._folder / f"{base}.jsonl.gz")
        self._times = _Members(self._folder / f"{base}.recv_ts.gz")
        self._sent = _Members(self._folder / f"{base}_sent.txt.gz")
        self._paths.append(self._frames.path)


class _Members:
    """A gzip file that is made when there is something to write, and grows by members."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bytes = 0
        """On disk."""
        self._fd = -1
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._packed: list[bytes] = []
        self._packer = zlib.compressobj(LEVEL, zlib.DEFLATED, GZIP_BITS)

    def line(self, line: bytes) -> None:
        self._waiting += (line, b"\n")
        self._waiting_bytes += len(line) + 1
        if self._waiting_bytes >= CHUNK_BYTES:
            self._pack()

    def flush(self) -> None:
        self._pack()
        if not self._packed:
            return
        self._packed.append(self._packer.flush())
        self._packer = zlib.compressobj(LEVEL, zlib.DEFLATED, GZIP_BITS)
        member, self._packed = b"".join(self._packed), []
        try:
            self._write(member)
        except OSError as e:
            raise unwritable(self.path, e) from e

    def close(self) -> None:
        try:
            self.flush()
        finally:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1

    def _pack(self) -> None:
        if self._waiting:
            self._packed.append(self._packer.compress(b"".join(self._waiting)))
            self._waiting, self._waiting_bytes = [], 0

    def _write(self, member: bytes) -> None:
        if self._fd < 0:  # never over what is there
            self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        try:
            written = 0
            while written < len(member):
                written += os.write(self._fd, member[written:])
        except OSError:
            os.ftruncate(self._fd, self.bytes)  # half a member would be damage
            raise
        self.bytes += len(member)


class _Nothing(_Members):
    """No file yet."""

    def __init__(self) -> None:
        super().__init__(Path())


def check_folder(folder: Path) -> None:
    """Make the folder; raise Misconfigured where nothing can be written into it."""
    probe = folder / f".fibstream-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"\n")
        probe.unlink()
    except OSError as e:
        raise unwritable(folder, e) from e


def unwritable(path: Path, e: OSError) -> Misconfigured:
    """Return the operator's error about a file or folder."""
    return Misconfigured(
        "DIR",
        f"{path} cannot be written ({e.strerror})",
        remedy="Name a folder with room that this user may write to; what was flushed before is "
        "whole and can be replayed.",
    )


def _wrapped(frame: bytes) -> bytes:
    return orjson.dumps({"raw": _text(frame)})


def _text(received: bytes) -> str:
    # Only what is no UTF-8, and so no JSON, is changed by it.
    return received.decode(errors="backslashreplace")
