"""Trades of a file as columns of integers, and from there to rows.

Decimal text becomes fixed-point integers at the smallest scale that loses no digit of the batch;
no number passes through a float.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ingest.decimals import SCALE_MAX
from ingest.exchanges.base import TradeRow

Ints = npt.NDArray[np.int64]

# No exponent above zero, and so few digits that 38 decimal places hold them all.
PLAIN = r"^[0-9]{1,19}(\.[0-9]{1,18})?([eE]-[0-9]{1,2})?$"
WHOLE_DIGITS = 38
MS_FROM, MS_BEFORE = 10**12, 10**13
"""2001 to 2286; microseconds are a thousand times that, and seconds a thousandth."""


class Unreadable(ValueError):  # noqa: N818 - reads as the claim it makes
    """A column that cannot be what its format says."""


@dataclass(slots=True)
class Columns:
    """Trades of one symbol; all columns have one length."""

    id: Ints
    ts: Ints
    price: Ints
    price_scale: int
    qty: Ints
    qty_scale: int
    side: Ints
    first: Ints
    last: Ints
    flags: Ints | None = None
    """None: 0 for all."""
    uid: Sequence[str] | None = None

    def __len__(self) -> int:
        return len(self.id)

    def taken(self, which: Any) -> "Columns":
        """Return the rows at an array of places, or in a slice."""
        uid = self.uid
        if uid is not None:
            uid = uid[which] if isinstance(which, slice) else [uid[at] for at in which.tolist()]
        return Columns(
            self.id[which],
            self.ts[which],
            self.price[which],
            self.price_scale,
            self.qty[which],
            self.qty_scale,
            self.side[which],
            self.first[which],
            self.last[which],
            None if self.flags is None else self.flags[which],
            uid,
        )

    def kept(self, mask: npt.NDArray[np.bool_]) -> "Columns":
        """Return the rows where the mask is true."""
        return self if mask.all() else self.taken(np.flatnonzero(mask))

    def rows(self, kind: str, symbol: str) -> list[TradeRow]:
        """Return the trades as the ingestor's rows."""
        flags = repeat(0) if self.flags is None else self.flags.tolist()
        uid = repeat("") if self.uid is None else self.uid
        return list(
            map(
                TradeRow,
                repeat(kind),
                repeat(symbol),
                self.id.tolist(),
                self.ts.tolist(),
                self.price.tolist(),
                repeat(self.price_scale),
                self.qty.tolist(),
                repeat(self.qty_scale),
                self.side.tolist(),
                flags,
                self.first.tolist(),
                self.last.tolist(),
                uid,
            )
        )

    def pages(self, rows_max: int) -> Iterator["Columns"]:
        """Yield all of it, so many rows at a time."""
        for at in range(0, len(self), rows_max):
            yield self.taken(slice(at, at + rows_max))


def joined(one: Columns, other: Columns) -> Columns:
    """Return both, one behind the other, at the larger of their scales."""
    price_scale = max(one.price_scale, other.price_scale)
    qty_scale = max(one.qty_scale, other.qty_scale)
    prices = [_moved(c.price, price_scale - c.price_scale) for c in (one, other)]
    qtys = [_moved(c.qty, qty_scale - c.qty_scale) for c in (one, other)]
    flags = None
    if one.flags is not None or other.flags is not None:
        flags = np.concatenate([_flags(one), _flags(other)])
    uid = None if one.uid is None or other.uid is None else [*one.uid, *other.uid]
    return Columns(
        np.concatenate([one.id, other.id]),
        np.concatenate([one.ts, other.ts]),
        np.concatenate(prices),
        price_scale,
        np.concatenate(qtys),
        qty_scale,
        np.concatenate([one.side, other.side]),
        np.concatenate([one.first, other.first]),
        np.concatenate([one.last, other.last]),
        flags,
        uid,
    )


def _moved(values: Ints, decimals: int) -> Ints:
    if decimals and len(values) and int(values.max()) * 10**decimals > np.iinfo(np.int64).max:
        raise Unreadable(f"{values.max()} with {decimals} more decimals leaves 64 bits")
    return values * 10**decimals if decimals else values


def _flags(columns: Columns) -> Ints:
    return np.zeros(len(columns), np.int64) if columns.flags is None else columns.flags


def fixed_point(name: str, texts: pa.StringArray, scale_from: int = 0) -> tuple[Ints, int]:
    """Return decimal texts as integers and their scale, ``scale_from`` or more decimals."""
    if not pc.all(pc.match_substring_regex(texts, PLAIN), min_count=0).as_py():
        bad = texts.filter(pc.invert(pc.match_substring_regex(texts, PLAIN)))[0]
        raise Unreadable(f"{name}: {bad.as_py()!r:.60} is not a decimal number")
    try:
        exact = texts.cast(pa.decimal128(WHOLE_DIGITS, SCALE_MAX))
    except pa.ArrowInvalid as e:
        raise Unreadable(f"{name}: {e}") from e
    for scale in range(scale_from, SCALE_MAX + 1):
        try:
            return _units(name, exact.cast(pa.decimal128(WHOLE_DIGITS, scale))), scale
        except pa.ArrowInvalid:  # a digit would be lost
            continue
    raise Unreadable(f"{name}: more than {SCALE_MAX} decimals")


def _units(name: str, numbers: pa.Decimal128Array) -> Ints:
    """Return the unscaled integers: the lower halves, if the upper halves say nothing."""
    halves = np.frombuffer(numbers.buffers()[1], np.int64)
    halves = halves[2 * numbers.offset : 2 * (numbers.offset + len(numbers))]
    low, high = halves[::2], halves[1::2]
    if high.any() or (low < 0).any():
        raise Unreadable(f"{name}: a number leaves 64 bits")
    return low.copy()


def milliseconds(stamps: Ints) -> Ints:
    """Return stamps in ms; those in microseconds (Binance spot since 2025) are cut."""
    ms = np.where(stamps >= MS_FROM * 1_000, stamps // 1_000, stamps)
    if ((ms < MS_FROM) | (ms >= MS_BEFORE)).any():
        bad = stamps[(ms < MS_FROM) | (ms >= MS_BEFORE)][0]
        raise Unreadable(f"{bad} is no time in milliseconds or microseconds")
    return ms


def milliseconds_of_seconds(texts: pa.StringArray) -> Ints:
    """Return seconds with decimals (``1704067200.1234``) in ms, cut."""
    units, scale = fixed_point("timestamp", texts, 3)
    return milliseconds(units // 10 ** (scale - 3))
