"""A whole file on this machine to columns in order, a bounded part of it in memory at a time."""

import gzip
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal, cast

import pyarrow as pa

from ingest.recovery.archives.columns import Columns, Unreadable
from ingest.recovery.archives.formats import Format, columns_of, record_batches
from ingest.recovery.archives.order import Places, Spans, Uids, forwards, in_order

UNPACKED_BYTES_MAX = 256 << 30
CHUNK_BYTES = 1 << 20
BROKEN = (
    *(Unreadable, pa.ArrowException, UnicodeDecodeError),
    *(zipfile.BadZipFile, zlib.error, EOFError, gzip.BadGzipFile, NotImplementedError),
)
"""What a file that is cut off, or is no such file, raises while it is read."""

ONCE: Mapping[str, Callable[[], Spans | Uids | Places]] = {
    "dense": Spans,
    "uid": Uids,
    "place": Places,
}


@contextmanager
def unpacked(path: Path, packing: Literal["zip", "gzip"]) -> Iterator[BinaryIO]:
    """Open what is inside; raises one of ``BROKEN``."""
    if packing == "gzip":
        with gzip.open(path) as stream:
            yield cast("BinaryIO", stream)
        return
    with zipfile.ZipFile(path) as archive:
        members = [one for one in archive.infolist() if not one.is_dir()]
        if len(members) != 1 or members[0].flag_bits & 1:
            raise Unreadable(f"{len(members)} files inside, or a secret one, instead of one")
        if members[0].file_size > UNPACKED_BYTES_MAX:
            raise Unreadable(f"unpacked it has more than {UNPACKED_BYTES_MAX} bytes")
        with archive.open(members[0]) as stream:
            yield cast("BinaryIO", stream)


def prove(path: Path, packing: Literal["zip", "gzip"]) -> None:
    """Unpack all of it to nowhere, so that its own checksum is checked; raises ``BROKEN``."""
    left = UNPACKED_BYTES_MAX
    with unpacked(path, packing) as stream:
        while chunk := stream.read(CHUNK_BYTES):
            left -= len(chunk)
            if left < 0:
                raise Unreadable(f"unpacked it has more than {UNPACKED_BYTES_MAX} bytes")


def read(
    path: Path, packing: Literal["zip", "gzip"], form: Format, symbol: str, folder: Path
) -> Iterator[Columns]:
    """Yield the trades of a file in order, each once; raises ``BROKEN`` where it breaks."""
    stamp = "seconds" if "seconds" in form.columns else "ts"
    once = ONCE[form.ids]()
    with unpacked(path, packing) as stream:
        told = _columns(record_batches(stream, form), stamp, form, symbol, folder)
        for columns in in_order(told, by_id=form.ids == "dense"):
            fresh = once.fresh(columns)
            if len(fresh):
                yield fresh


def _columns(
    batches: Iterator[pa.RecordBatch], stamp: str, form: Format, symbol: str, folder: Path
) -> Iterator[Columns]:
    scales = (0, 0)
    for batch in forwards(batches, stamp, folder):
        columns = columns_of(batch, form, symbol, scales)
        scales = columns.price_scale, columns.qty_scale
        yield columns
