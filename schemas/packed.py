"""Packed records of the trades topic: whole columns into numpy and back, without a Python loop."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.numbers import INT64_MAX
from schemas.trades import (
    PackedBatch,
    PackedSymbol,
    SymbolTrades,
    TradeBatch,
    UnreadableBatch,
)

Column = NDArray[np.int64]
_WIDTHS = {1: "<i1", 4: "<i4", 8: "<i8"}
_MS_MAX = 9_999_999_999_999


class Columns:
    """The columns of a packed batch as 64-bit integers; raise UnreadableBatch.

    ``starts`` are the places at which each symbol's trades begin, and the end of the last.
    """

    __slots__ = ("batch", "last", "price", "qty", "side", "starts", "ts")

    def __init__(self, batch: PackedBatch) -> None:
        self.batch = batch
        groups = batch.symbols
        if len({group.symbol for group in groups}) != len(groups):
            raise UnreadableBatch("a symbol has two groups")
        counts = [group.n for group in groups]
        total = sum(counts)
        self.starts = [0, *np.cumsum(counts).tolist()]
        self.ts = _unpacked("ts", batch.ts, total) + batch.from_ms
        self.price = _unpacked("price", batch.price, total)
        self.qty = _unpacked("qty", batch.qty, total)
        self.side = _unpacked("side", batch.side, total)
        if self.ts.min() < 0 or self.ts.max() > _MS_MAX:
            raise UnreadableBatch("a time is none")
        if any(group.id > INT64_MAX - group.n for group in groups):
            raise UnreadableBatch("an id leaves 64 bits")
        self.last = None
        if batch.last is not None:
            self.last = _unpacked("last", batch.last, total)
            self._check_last(self.last, counts)

    def _check_last(self, last: Column, counts: list[int]) -> None:
        first = [group.first for group in self.batch.symbols]
        if None in first:
            raise UnreadableBatch("first and last come together")
        steps = np.diff(last, prepend=-1)
        starts = self.starts[:-1]
        steps[starts] = last[starts] + 1
        ends = last[np.cumsum(counts) - 1].tolist()
        if steps.min() < 1 or any(
            (f or 0) + e > INT64_MAX for f, e in zip(first, ends, strict=True)
        ):
            raise UnreadableBatch("every aggregate holds a trade")

    def trades(self, at: int) -> SymbolTrades:
        """Return the trades of one symbol as lists."""
        group, cut = self.batch.symbols[at], slice(self.starts[at], self.starts[at + 1])
        first = last = None
        if self.last is not None and group.first is not None:
            last = (self.last[cut] + group.first).tolist()
            first = [group.first, *(id_ + 1 for id_ in last[:-1])]
        return SymbolTrades(
            symbol=group.symbol,
            price_scale=group.price_scale,
            qty_scale=group.qty_scale,
            id=list(range(group.id, group.id + group.n)),
            ts=self.ts[cut].tolist(),
            price=self.price[cut].tolist(),
            qty=self.qty[cut].tolist(),
            side=self.side[cut].tolist(),
            first=first,
            last=last,
            contract_size=group.contract_size,
        )

    def unpack(self) -> TradeBatch:
        """Return the batch as lists."""
        batch = self.batch
        groups = [self.trades(at) for at in range(len(batch.symbols))]
        return TradeBatch(batch.exchange, batch.channel, batch.source, batch.recv_ns, groups)


def pack(batch: TradeBatch) -> PackedBatch | None:
    """Return the batch packed; None where a symbol's trades have flags, or ids that are no run."""
    groups = batch.symbols
    is_aggregated = groups[0].last is not None
    symbols = [_packed_symbol(group, is_aggregated=is_aggregated) for group in groups]
    if None in symbols:
        return None
    from_ms = min(min(group.ts) for group in groups)
    last = None
    if is_aggregated:
        last = [i - g.first[0] for g in groups for i in g.last]  # type: ignore[index, union-attr]
    return PackedBatch(
        exchange=batch.exchange,
        channel=batch.channel,
        source=batch.source,
        recv_ns=batch.recv_ns,
        from_ms=from_ms,
        symbols=[symbol for symbol in symbols if symbol is not None],
        ts=_packed([ms - from_ms for group in groups for ms in group.ts]),
        price=_packed([price for group in groups for price in group.price]),
        qty=_packed([qty for group in groups for qty in group.qty]),
        side=np.array([s for group in groups for s in group.sides()], dtype="<i1").tobytes(),
        last=None if last is None else _packed(last),
    )


def _packed_symbol(group: SymbolTrades, *, is_aggregated: bool) -> PackedSymbol | None:
    ids, first, last = group.id, group.first, group.last
    if group.ids != "dense" or group.uid or any(group.flag_list()):
        return None
    if ids[-1] - ids[0] != len(ids) - 1 or ids != list(range(ids[0], ids[0] + len(ids))):
        return None
    if (last is not None) != is_aggregated or any(abs(side) != 1 for side in group.sides()):
        return None
    if first is not None and last is not None:
        is_run = first[1:] == [id_ + 1 for id_ in last[:-1]]
        if not is_run or any(map(int.__gt__, first, last)):
            return None
    return PackedSymbol(
        symbol=group.symbol,
        price_scale=group.price_scale,
        qty_scale=group.qty_scale,
        n=len(ids),
        id=ids[0],
        first=None if first is None else first[0],
        contract_size=group.contract_size,
    )


def _packed(values: list[int]) -> bytes:
    column = np.array(values, dtype=np.int64)
    is_small = column.min() >= -(2**31) and column.max() < 2**31
    return column.astype("<i4" if is_small else "<i8").tobytes()


def _unpacked(name: str, data: bytes, total: int) -> Column:
    width = _WIDTHS.get(len(data) // total)
    if width is None or len(data) % total or (name == "side") != (width == "<i1"):
        raise UnreadableBatch(f"{name}: {len(data)} bytes are no column of {total} numbers")
    column: NDArray[Any] = np.frombuffer(data, dtype=width)
    return column.astype(np.int64)
