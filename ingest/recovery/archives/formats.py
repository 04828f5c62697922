"""How venues write trades into csv files: a format is data, and one reader serves all.

A file may have a header or none, more columns than are needed, and in any order where it has one.
"""

import codecs
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, Literal, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from ingest.recovery.archives.columns import (
    Columns,
    Ints,
    Unreadable,
    fixed_point,
    milliseconds,
    milliseconds_of_seconds,
)
from schemas.trades import BUY, SELL, Flag

BLOCK_BYTES = 1 << 20
FIRST_LINE_BYTES_MAX = 4_096
TYPES = {
    "id": pa.int64(),
    "first": pa.int64(),
    "last": pa.int64(),
    "ts": pa.int64(),
    "seconds": pa.string(),
    "price": pa.string(),
    "qty": pa.string(),
    "is_maker": pa.bool_(),
    "side": pa.string(),
    "uid": pa.string(),
    "is_rpi": pa.bool_(),
    "symbol": pa.string(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """``columns`` are our names (see ``TYPES``) of a file without header; "" is skipped."""

    columns: Sequence[str]
    headers: Mapping[str, str] = field(default_factory=dict)
    """The venue's name of a column to ours; what is not in it is skipped."""
    ids: Literal["dense", "uid", "place"]
    """What tells trades apart: numbers of the stream, texts, or the place among those of one ms."""


def record_batches(stream: BinaryIO, form: Format) -> Iterator[pa.RecordBatch]:
    """Yield a csv as batches with our column names; raises Unreadable and what pyarrow raises."""
    source = io.BufferedReader(cast("io.RawIOBase", stream), BLOCK_BYTES)
    line = source.peek(FIRST_LINE_BYTES_MAX)[:FIRST_LINE_BYTES_MAX].partition(b"\n")[0]
    line = line.removeprefix(codecs.BOM_UTF8).strip()
    if not line:
        return
    # Older files of OKX have headers in two languages: trade_id/...
    cells = [cell.strip().strip(b'"').partition(b"/")[0] for cell in line.split(b",")]
    is_headed = not cells[0][:1].isdigit()
    names = _headed(cells, form) if is_headed else _bare(cells, form)
    skipped = [name or f"skipped_{at}" for at, name in enumerate(names)]
    reader = csv.open_csv(
        source,
        read_options=csv.ReadOptions(
            use_threads=False,
            block_size=BLOCK_BYTES,
            column_names=skipped,
            skip_rows=int(is_headed),
        ),
        convert_options=csv.ConvertOptions(
            column_types={name: TYPES[name] for name in names if name},
            include_columns=[name for name in names if name],
            null_values=[],
            true_values=["true", "True", "TRUE", "1"],
            false_values=["false", "False", "FALSE", "0"],
        ),
    )
    yield from reader


def _headed(cells: Sequence[bytes], form: Format) -> list[str]:
    names = [form.headers.get(cell.decode("ascii", "replace").lower(), "") for cell in cells]
    missing = {name for name in form.columns if name and name != "symbol"} - set(names)
    optional = {"is_rpi"}
    if missing - optional:
        raise Unreadable(f"the header {b','.join(cells)!r:.120} lacks {', '.join(sorted(missing))}")
    return names


def _bare(cells: Sequence[bytes], form: Format) -> list[str]:
    """Later files have one column more at the end, or one fewer (futures, no best match)."""
    needed = max(at for at, name in enumerate(form.columns) if name not in ("", "is_rpi")) + 1
    if len(cells) < needed:
        raise Unreadable(f"{len(cells)} columns where at least {needed} are expected")
    return [*form.columns, *[""] * len(cells)][: len(cells)]


def columns_of(
    batch: pa.RecordBatch, form: Format, symbol: str, scales: tuple[int, int]
) -> Columns:
    """Return a batch as columns, its numbers at these scales or larger ones."""
    if "symbol" in batch.schema.names:
        batch = batch.filter(pc.equal(batch.column("symbol"), symbol))
    price, price_scale = fixed_point("price", batch.column("price"), scales[0])
    qty, qty_scale = fixed_point("qty", batch.column("qty"), scales[1])
    names = batch.schema.names
    if "seconds" in names:
        ts = milliseconds_of_seconds(batch.column("seconds"))
    else:
        ts = milliseconds(_ints(batch, "ts"))
    # Without a number its time is its id, as where the stream tells no sequence.
    id_ = _ints(batch, "id") if form.ids == "dense" else ts
    return Columns(
        id_,
        ts,
        price,
        price_scale,
        qty,
        qty_scale,
        _side(batch),
        _ints(batch, "first") if "first" in names else id_,
        _ints(batch, "last") if "last" in names else id_,
        _flags(batch) if "is_rpi" in names else None,
        batch.column("uid").to_pylist() if "uid" in names else None,
    )


def _ints(batch: pa.RecordBatch, name: str) -> Ints:
    values: Ints = batch.column(name).to_numpy(zero_copy_only=False)
    if (values < 0).any():
        raise Unreadable(f"{name}: {values.min()} is below zero")
    return values


def _side(batch: pa.RecordBatch) -> Ints:
    """``is_maker`` is of the buyer, so true means that the taker sold."""
    if "is_maker" in batch.schema.names:
        is_sell = batch.column("is_maker").to_numpy(zero_copy_only=False)
        return np.where(is_sell, SELL, BUY)
    told = pc.utf8_lower(batch.column("side"))
    is_sell = pc.equal(told, "sell").to_numpy(zero_copy_only=False)
    is_buy = pc.equal(told, "buy").to_numpy(zero_copy_only=False)
    if not (is_sell | is_buy).all():
        bad = told[int(np.flatnonzero(~(is_sell | is_buy))[0])].as_py()
        raise Unreadable(f"side: {bad!r:.60} is neither buy nor sell")
    return np.where(is_sell, SELL, BUY)


def _flags(batch: pa.RecordBatch) -> Ints:
    is_rpi = batch.column("is_rpi").to_numpy(zero_copy_only=False)
    return np.where(is_rpi, Flag.RPI.value, 0)
