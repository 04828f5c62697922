"""Tape: several recordings as one stream of frames, which knows where it is.

A file holds one frame a line, packed by gzip or plain. The receive times of ``X.jsonl.gz`` are the
lines of ``X.recv_ts.gz`` beside it, one a frame, in s, ms, us or ns since 1970.
"""

import gzip
import os
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from io import BufferedIOBase, BufferedReader
from pathlib import Path
from typing import cast

from runtime.errors import Misconfigured

STDIN = "-"
GZIP_MAGIC = b"\x1f\x8b"
LINE_BYTES_MAX = 64 << 20  # a longer line comes in pieces; a REST body may have 10 MB
TIMES = (".recv_ts", ".recv_ts.gz")
# Digits before the point tell the unit, for every time from 2001 to 2286.
NS_DECIMALS = {10: 9, 13: 6, 16: 3, 19: 0}


class Tape:
    """Iterates once over the frames. ``file`` and ``line`` are those of the frame it gave last."""

    def __init__(self, names: Sequence[str]) -> None:
        # A glob over a folder of recordings brings the receive times along: they are no frames.
        self._names = [name for name in names if not name.endswith(TIMES)]
        if not self._names:
            raise Misconfigured("FILE", "holds no frames", remedy="Name a recording, or - (stdin).")
        for name in self._names:
            _check(name)
        self.file = ""
        self.line = 0
        self.frames = 0
        self.is_last = False
        self.damaged: list[str] = []
        """What could not be read to its end, and where it broke off."""
        self._stamp = b""

    def __iter__(self) -> Iterator[bytes]:
        for at, name in enumerate(self._names, start=1):
            self.file, self.line, self.is_last = name, 0, at == len(self._names)
            times = _times_beside(name)
            stamps = self._lines(str(times)) if times else iter(())
            for line in self._lines(name):
                self.line += 1
                self._stamp = next(stamps, b"")
                frame = line.strip()
                if frame:
                    self.frames += 1
                    yield frame

    @property
    def recv_ns(self) -> int | None:
        """When the last frame was received; None where nobody wrote it down."""
        return stamp_ns(self._stamp) if self._stamp else None

    def _lines(self, name: str) -> Iterator[bytes]:
        lines = 0
        try:
            with _opened(name) as file:
                for line in iter(partial(file.readline, LINE_BYTES_MAX), b""):
                    lines += 1
                    yield line
        except (OSError, EOFError, zlib.error) as e:
            self.damaged.append(f"{name}: broken off after line {lines} ({e})")


def stamp_ns(stamp: bytes) -> int | None:
    """Return a receive time in ns, its unit told by its magnitude; None for what is none."""
    whole, _, fraction = stamp.strip().partition(b".")
    decimals = NS_DECIMALS.get(len(whole))
    if decimals is None or not (whole + fraction).isdigit():
        return None
    return int(whole + fraction.ljust(decimals, b"0")[:decimals])


def _check(name: str) -> None:
    path = Path(name)
    if name == STDIN:
        return
    if not path.exists():
        problem = "there is no such file"
    elif path.is_dir():
        problem = "it is a folder"
    elif not os.access(path, os.R_OK):
        problem = "this user may not read it"
    else:
        return
    raise Misconfigured("FILE", f"{name}: {problem}", remedy="Name a recording, or - (stdin).")


def _times_beside(name: str) -> Path | None:
    path = Path(name)
    whole = path.with_name(path.name.removesuffix(".gz"))
    bases = dict.fromkeys((whole, whole.with_suffix("")))
    beside = (base.with_name(base.name + end) for base in bases for end in TIMES)
    return None if name == STDIN else next((times for times in beside if times.exists()), None)


@contextmanager
def _opened(name: str) -> Iterator[BufferedIOBase]:
    with ExitStack() as stack:
        raw = sys.stdin.buffer if name == STDIN else stack.enter_context(Path(name).open("rb"))
        file = cast("BufferedReader", raw)
        if file.peek(2)[:2] != GZIP_MAGIC:
            yield file
        else:  # no larger buffer around it: what came before damage would be lost in that
            yield stack.enter_context(gzip.GzipFile(fileobj=file))
