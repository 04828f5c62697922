"""The bare loop's fold: a decoder and a dictionary of 1-minute bars, nothing else.

It keeps no state anywhere, repeats nothing after a crash and tells nobody: the floor of a reader.
``plain`` is 100 rows a record, ``envelope`` a TradeBatch in columns.
"""

from collections.abc import Callable

import msgspec
import orjson
from meter import FORM, MINUTE_MS

Bars = dict[tuple[str, int], list[float]]


class Row(msgspec.Struct, gc=False):
    """One plain trade."""

    symbol: str
    price: float
    quantity: float
    timestamp: int


class Rows(msgspec.Struct, gc=False):
    """A plain record."""

    data: list[Row]


class Columns(msgspec.Struct, gc=False):
    """The trades of one symbol, in columns."""

    symbol: str
    ts: list[int]
    price: list[int]
    qty: list[int]


class Batch(msgspec.Struct, gc=False):
    """Of an envelope what a candle needs."""

    symbols: list[Columns]


# The same few lines stand in each fold below: a call for every trade would cost a sixth of it.


def by_msgspec() -> Callable[[Bars, bytes], int]:
    """Return the fold of a record that reads into typed structs."""
    read_rows, read_batch = msgspec.json.Decoder(Rows).decode, msgspec.json.Decoder(Batch).decode

    def plain(bars: Bars, value: bytes) -> int:
        rows = read_rows(value).data
        for row in rows:
            key, price = (row.symbol, row.timestamp // MINUTE_MS), row.price
            bar = bars.get(key)
            if bar is None:
                bars[key] = [price, price, price, price, row.quantity, 1]
                continue
            if price > bar[1]:
                bar[1] = price
            elif price < bar[2]:
                bar[2] = price
            bar[3] = price
            bar[4] += row.quantity
            bar[5] += 1
        return len(rows)

    def envelope(bars: Bars, value: bytes) -> int:
        groups = read_batch(value).symbols
        return sum(add_columns(bars, g.symbol, g.ts, g.price, g.qty) for g in groups)

    return plain if FORM == "plain" else envelope


def by_orjson() -> Callable[[Bars, bytes], int]:
    """Return the fold of a record that reads into dictionaries."""

    def plain(bars: Bars, value: bytes) -> int:
        rows = orjson.loads(value)["data"]
        for row in rows:
            key, price = (row["symbol"], row["timestamp"] // MINUTE_MS), row["price"]
            bar = bars.get(key)
            if bar is None:
                bars[key] = [price, price, price, price, row["quantity"], 1]
                continue
            if price > bar[1]:
                bar[1] = price
            elif price < bar[2]:
                bar[2] = price
            bar[3] = price
            bar[4] += row["quantity"]
            bar[5] += 1
        return len(rows)

    def envelope(bars: Bars, value: bytes) -> int:
        groups = orjson.loads(value)["symbols"]
        return sum(add_columns(bars, g["symbol"], g["ts"], g["price"], g["qty"]) for g in groups)

    return plain if FORM == "plain" else envelope


def add_columns(bars: Bars, symbol: str, ts: list[int], prices: list[int], qty: list[int]) -> int:
    """Fold the trades of one symbol, trade by trade; return how many they are."""
    minute, bar = -1, [0.0]
    for at_ms, price, quantity in zip(ts, prices, qty, strict=True):
        if at_ms // MINUTE_MS != minute:
            minute = at_ms // MINUTE_MS
            bar = bars.setdefault((symbol, minute), [price, price, price, price, 0, 0])
        if price > bar[1]:
            bar[1] = price
        elif price < bar[2]:
            bar[2] = price
        bar[3] = price
        bar[4] += quantity
        bar[5] += 1
    return len(ts)
