"""Runs: the trades of a packed record as sums by symbol and span of time, without a Python loop.

The arithmetic is that of 64-bit integers; where it could overflow there are no runs, and the caller
folds the trades one by one.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.packed import Columns
from schemas.trades import BUY

_SUM_MAX = 2**62


class Part(NamedTuple):
    """The sums of the trades of one symbol in one second or minute, in order of time and id."""

    first_ms: int
    last_ms: int
    first_id: int
    last_id: int
    open: int
    high: int
    low: int
    close: int
    trades: int
    volume: int
    quote: int
    buy_volume: int
    buy_quote: int


def parts_of(columns: Columns, span_ms: int) -> list[list[Part]] | None:
    """Return the parts of every symbol; an empty list where its times step back. None: too large.

    No part reaches beyond a multiple of ``span_ms``. Ids are dense by the form of the record.
    """
    price, qty, ts = columns.price, columns.qty, columns.ts
    largest = max(abs(int(qty.min())), abs(int(qty.max())))
    highest = max(abs(int(price.min())), abs(int(price.max())))
    if max(1, highest) * largest * len(ts) > _SUM_MAX:
        return None
    starts = np.array(columns.starts[:-1])
    spans = ts // span_ms
    is_start = np.empty(len(ts), dtype=np.bool_)
    is_start[0] = True
    np.not_equal(spans[1:], spans[:-1], out=is_start[1:])
    is_start[starts] = True
    begins = np.flatnonzero(is_start)
    ends = np.append(begins[1:], len(ts)) - 1
    owner = np.searchsorted(starts, begins, side="right") - 1
    value = price * qty
    is_buy = columns.side == BUY
    fields = (
        ts[begins],
        ts[ends],
        *_ids(columns, begins, ends, starts, owner),
        price[begins],
        np.maximum.reduceat(price, begins),
        np.minimum.reduceat(price, begins),
        price[ends],
        _counts(columns, begins, ends, starts),
        np.add.reduceat(qty, begins),
        np.add.reduceat(value, begins),
        np.add.reduceat(np.where(is_buy, qty, 0), begins),
        np.add.reduceat(np.where(is_buy, value, 0), begins),
    )
    found: list[list[Part]] = [[] for _ in columns.starts[:-1]]
    parts = map(Part._make, zip(*(field.tolist() for field in fields), strict=True))
    for at, part in zip(owner.tolist(), parts, strict=True):
        found[at].append(part)
    for at in _out_of_order(ts, starts):
        found[at] = []
    return found


def _ids(
    columns: Columns,
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    starts: NDArray[np.int64],
    owner: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    first = np.array([group.id for group in columns.batch.symbols], dtype=np.int64)
    shift = (first - starts)[owner]
    return begins + shift, ends + shift


def _counts(
    columns: Columns,
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    starts: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return how many trades the venue counts: aggregates count what they hold."""
    if columns.last is None:
        return ends - begins + 1
    before = columns.last[begins - 1]  # of the first part of a symbol: another symbol's, no matter
    before[np.searchsorted(begins, starts)] = -1
    return columns.last[ends] - before


def _out_of_order(ts: NDArray[np.int64], starts: NDArray[np.int64]) -> Iterator[int]:
    """Yield the symbols whose times step back."""
    steps = np.diff(ts) < 0
    steps[starts[1:] - 1] = False
    if steps.any():
        places = np.flatnonzero(steps) + 1
        yield from np.unique(np.searchsorted(starts, places, side="right") - 1).tolist()
