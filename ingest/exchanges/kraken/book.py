"""Kraken's order book: rows, and the checksum that every one of them ends with."""

import zlib
from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta, Raw, Struct
from msgspec.json import Decoder

from ingest.decimals import digits
from ingest.exchanges.base import BookRow
from ingest.exchanges.kraken.numbers import milliseconds, written
from ingest.exchanges.kraken.rows import Text

CHECKED_LEVELS = 10
NOT_TOLD_MS = 0


class _Level(Struct, gc=False):
    price: Raw
    qty: Raw


class _Book(Struct, gc=False):
    symbol: Text
    checksum: Annotated[int, Meta(ge=0, lt=2**32)]
    bids: list[_Level] = []
    asks: list[_Level] = []
    timestamp: str | None = None


_decode = Decoder(list[_Book]).decode


def book_rows(data: Raw, *, is_snapshot: bool) -> Sequence[BookRow]:
    """Return the books of a frame; raise ValueError naming the field that is no number."""
    return [
        BookRow(
            book.symbol,
            NOT_TOLD_MS
            if book.timestamp is None  # old documents show snapshots without
            else milliseconds("timestamp", book.timestamp),
            is_snapshot=is_snapshot,
            first_id=0,
            last_id=0,
            prev_id=None,
            bids=[_level(level) for level in book.bids],
            asks=[_level(level) for level in book.asks],
            checksum=book.checksum,
        )
        for book in _decode(data)
    ]


def _level(level: _Level) -> tuple[str, str]:
    price, qty = written("price", level.price), written("qty", level.qty)
    digits(price)
    digits(qty)
    return price, qty


def checksum(bids: Sequence[tuple[str, str]], asks: Sequence[tuple[str, str]]) -> int:
    """CRC32 of the best ten asks, then bids: digits without the point and without leading zeros."""
    levels = (*asks[:CHECKED_LEVELS], *bids[:CHECKED_LEVELS])
    return zlib.crc32("".join(_bare(price) + _bare(qty) for price, qty in levels).encode())


def _bare(number: str) -> str:
    return number.replace(".", "", 1).lstrip("0")
