"""A published file made of the truth: csv, packed, a part of it in memory at a time."""

import gzip
import hashlib
import io
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv

from simulator.archive.published import Published
from simulator.ledger import FillLedger, Ledger
from simulator.past import Ints, Stretch

ROWS_AT_ONCE = 50_000  # even: an aggregate of the past is two rows
PACKED_ON = (1980, 1, 1, 0, 0, 0)  # the same rows make the same bytes
SHORT_BY = 10
"""One in so many rows is left out of a short file, in one piece."""


@dataclass(frozen=True, slots=True)
class Made:
    """A file on this disk."""

    path: Path
    sha256: str
    size: int


def rows_of(ledger: Ledger, live: Ledger, told: Published) -> Iterator[Stretch]:
    """Yield the rows of a file; ``live`` is a copy of what is kept, for another thread."""
    past = ledger.past
    if past is not None:
        low, high = past.id_at(told.from_ms), past.id_at(told.until_ms)
        while low < high:
            until = min(low + ROWS_AT_ONCE, high)
            part = _joined(past.columns(low, until))
            yield _aggregated(part) if told.is_aggregated and past.is_by_fill else part
            low = until
    kept = live.aggregates if told.is_aggregated else live.rows
    low, high = (
        (live.aggregate_at(told.from_ms), live.aggregate_at(told.until_ms))
        if told.is_aggregated
        else (live.id_at(told.from_ms), live.id_at(told.until_ms))
    )
    for at in range(low, high, ROWS_AT_ONCE):
        rows = kept(at, min(at + ROWS_AT_ONCE, high))
        if rows:
            cells = zip(*(row[:7] for row in rows), strict=True)
            yield Stretch(*(np.array(column, np.int64) for column in cells))


def _joined(parts: list[Stretch]) -> Stretch:
    columns = ([getattr(part, name) for part in parts] for name in Stretch.__slots__)
    return Stretch(*(np.concatenate(column) for column in columns))


def _aggregated(rows: Stretch) -> Stretch:
    """Two rows of the past make an aggregate."""
    even, odd = slice(0, None, 2), slice(1, None, 2)
    return Stretch(
        rows.id[even] // 2,
        rows.ts_ms[even],
        rows.price[even],
        rows.qty[even] + rows.qty[odd],
        rows.side[even],
        rows.first[even],
        rows.last[odd],
    )


def make(told: Published, stretches: Iterator[Stretch], faults: frozenset[str], path: Path) -> Made:
    """Write a file; some faults are in its rows."""
    with path.open("wb") as raw:
        if told.packing == "gzip":
            with gzip.GzipFile("", "wb", compresslevel=6, fileobj=raw, mtime=0) as out:
                _write(told, stretches, faults, out.write)
        else:
            with zipfile.ZipFile(raw, "w") as archive:
                info = zipfile.ZipInfo(told.member, PACKED_ON)
                info.compress_type = zipfile.ZIP_DEFLATED
                with archive.open(info, "w", force_zip64=True) as out:
                    _write(told, stretches, faults, out.write)
    with path.open("rb") as made:
        digest = hashlib.file_digest(made, "sha256").hexdigest()
    return Made(path, digest, path.stat().st_size)


def _write(
    told: Published,
    stretches: Iterator[Stretch],
    faults: frozenset[str],
    write: Callable[[bytes], object],
) -> None:
    if "backwards" in faults:
        whole = list(stretches)
        stretches = (_taken(part, slice(None, None, -1)) for part in reversed(whole))
    before, is_first, text = 0, True, b""
    for part in stretches:
        spoiled = _spoiled(part, faults, is_first=is_first)
        table = told.table(spoiled, before)
        text = _csv(table, header=is_first and told.header != ("header" in faults))
        if "cut" in faults:
            text = text[: len(text) - 9]  # the middle of the last line, and no more of it
        write(text)
        if "cut" in faults:
            return
        before, is_first = before + len(spoiled.id), False


def _csv(table: pa.Table, *, header: bool) -> bytes:
    out = io.BytesIO()
    csv.write_csv(table, out, csv.WriteOptions(include_header=header, quoting_style="none"))
    text = out.getvalue()
    # A header is written in quotes, whatever the style.
    line, _, rest = text.partition(b"\n")
    return line.replace(b'"', b"") + b"\n" + rest if header else text


def _spoiled(part: Stretch, faults: frozenset[str], *, is_first: bool) -> Stretch:
    count = len(part.id)
    order: Ints = np.arange(count)
    if "short" in faults and is_first:
        order = order[max(1, count // SHORT_BY) :]
    if "duplicates" in faults:
        order = np.concatenate([order, order[-count // 3 :]])
    if "disorder" in faults:
        half = len(order) // 2
        order = np.concatenate([order[half:], order[:half]])
    return part if len(order) == count and not faults else _taken(part, order)


def _taken(part: Stretch, which: "slice | Ints") -> Stretch:
    return Stretch(*(getattr(part, name)[which] for name in Stretch.__slots__))


def copy_of(ledger: Ledger, told: Published) -> Ledger:
    """Return the kept rows of a file's time, apart from all changes to come."""
    low = max(ledger.id_at(told.from_ms), ledger.first_kept_id)
    high = max(ledger.id_at(told.until_ms), low)
    copied = ledger.copy(low, high)
    if isinstance(ledger, FillLedger) and isinstance(copied, FillLedger):
        first = max(ledger.aggregate_at(told.from_ms), ledger.first_aggregate_id)
        copied.first_aggregate_id = first
        copied.starts = ledger.starts[first - ledger.first_aggregate_id :][:]
        while copied.starts and copied.starts[-1] >= high:
            copied.starts.pop()
    return copied
