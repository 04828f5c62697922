"""Order books as rows: the best levels once a second, and every update for who rebuilds them."""

from collections.abc import Sequence

import msgspec
import pyarrow as pa

from schemas.snapshots import BookSnapshot, BookSnapshotEnvelope, decode_book_snapshots
from schemas.updates import Book, BookUpdates
from sinks.base import Record
from sinks.clickhouse.kinds_market import (
    NUMBER,
    STATE,
    UPDATE,
    Fixed,
    each,
    last_of_seconds,
    merged,
    told,
)
from sinks.clickhouse.table import Rows

_LEVELS = ("bid_prices", "bid_qtys", "ask_prices", "ask_qtys")

BOOKS = pa.schema(
    {
        **STATE,
        "update_id": pa.int64(),
        "bid_price": NUMBER,
        "bid_qty": NUMBER,
        "ask_price": NUMBER,
        "ask_qty": NUMBER,
        "imbalance": NUMBER,
        **dict.fromkeys(_LEVELS, pa.list_(NUMBER)),
    }
)
BOOK_UPDATES = pa.schema(
    {
        **UPDATE,
        "is_snapshot": pa.bool_(),
        "first_id": pa.int64(),
        "last_id": pa.int64(),
        "prev_id": pa.int64(),
        "price_scale": pa.uint8(),
        "qty_scale": pa.uint8(),
        **dict.fromkeys(_LEVELS, pa.list_(pa.int64())),
    }
)


def book_rows(records: Sequence[Record]) -> Rows:
    """Return the books of ``md.book-snapshots.v1``."""

    def fixed(
        _record: Record, envelope: BookSnapshotEnvelope, row: BookSnapshot, _place: int
    ) -> Fixed:
        return {**merged(envelope, row), **_levels(row)}

    return each(
        records, decode_book_snapshots, lambda e: e.data, fixed, BOOKS, keep=last_of_seconds
    )


def book_update_rows(records: Sequence[Record]) -> Rows:
    """Return the snapshots and deltas of ``md.books.v1``."""

    def fixed(record: Record, envelope: BookUpdates, row: Book, place: int) -> Fixed:
        kind = {"is_snapshot": row.type == "snapshot"}
        return {**told(record, envelope, row, place), **kind, **_levels(row)}

    return each(records, _decode_books, lambda e: e.data, fixed, BOOK_UPDATES)


def _levels(row: Book | BookSnapshot) -> Fixed:
    sides = (row.bids, row.asks)
    columns = [[level[i] for level in side] for side in sides for i in (0, 1)]
    return dict(zip(_LEVELS, columns, strict=True))


_decode_books = msgspec.json.Decoder(BookUpdates).decode
