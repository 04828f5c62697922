"""Packed records of the trades topic: columns of all symbols, as lists or as numpy arrays.

What reads a packed record goes through ``Columns`` (many trades) or ``lists_of`` (few): only
there is it checked that the columns fit.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from schemas.trades import (
    PACKED_ID_MAX,
    PACKED_MAX,
    SIDES,
    SPAN_MAX,
    PackedBatch,
    PackedSymbol,
    Side,
    SymbolTrades,
    TradeBatch,
    UnreadableBatch,
)

Column = NDArray[np.int64]
_WIDTHS = {1: "<i1", 4: "<i4", 8: "<i8"}
_MS_MAX = 9_999_999_999_999


class Lists(NamedTuple):
    """The columns of a packed batch as lists of ``trades`` numbers each, checked."""

    batch: PackedBatch
    ts: list[int]
    """Milliseconds after ``batch.from_ms``."""
    price: list[int]
    qty: list[int]
    side: list[int]
    last: list[int] | None

    def trades(self, group: PackedSymbol, start: int) -> SymbolTrades:
        """Return the trades of one symbol, which begin at ``start``."""
        cut, from_ms = slice(start, start + group.n), self.batch.from_ms
        ts = [from_ms + ms for ms in self.ts[cut]]
        last = None if self.last is None else self.last[cut]
        return _trades(group, ts, self.price[cut], self.qty[cut], self.side[cut], last)


def lists_of(batch: PackedBatch) -> Lists:
    """Return the columns of a record that has lists; raise UnreadableBatch."""
    lists = Lists(batch, batch.ts, batch.price, batch.qty, batch.side, batch.last)  # type: ignore[arg-type]
    groups, last = batch.symbols, lists.last
    total = 0
    for group in groups:
        n = group.n
        if n > 1 and last is not None:
            own = last[total : total + n]
            if own != sorted(set(own)):
                raise UnreadableBatch("every aggregate holds a trade")
        total += n
    for column in lists[1:]:
        if column is not None and (column.__class__ is not list or len(column) != total):
            raise UnreadableBatch(f"columns of different length: not {total} numbers each")
    if len({group.symbol for group in groups}) != len(groups):
        raise UnreadableBatch("a symbol has two groups")
    if batch.from_ms + max(lists.ts) > _MS_MAX:
        raise UnreadableBatch("a time is none")
    if last is not None and None in [group.first for group in groups]:
        raise UnreadableBatch("first and last come together")
    return lists


class Columns:
    """The columns of a packed batch as 64-bit integers; raise UnreadableBatch.

    ``starts`` are the places at which each symbol's trades begin, and the end of the last.
    """

    __slots__ = ("batch", "last", "price", "qty", "side", "starts", "ts")

    def __init__(self, batch: PackedBatch) -> None:
        self.batch = batch
        groups = batch.symbols
        is_listed = batch.ts.__class__ is list
        columns = (batch.ts, batch.price, batch.qty, batch.side, batch.last)
        if len({each.__class__ for each in columns if each is not None}) > 1:
            raise UnreadableBatch("columns are lists or base64, all alike")
        if is_listed:
            lists_of(batch)
        elif len({group.symbol for group in groups}) != len(groups):
            raise UnreadableBatch("a symbol has two groups")
        counts = [group.n for group in groups]
        total = sum(counts)
        self.starts = [0, *np.cumsum(counts).tolist()]
        self.ts = _column("ts", batch.ts, total) + batch.from_ms
        self.price = _column("price", batch.price, total)
        self.qty = _column("qty", batch.qty, total)
        self.side = _column("side", batch.side, total)
        self.last = None if batch.last is None else _column("last", batch.last, total)
        if not is_listed:
            self._check()

    def _check(self) -> None:
        if self.ts.min() < 0 or self.ts.max() > _MS_MAX:
            raise UnreadableBatch("a time is none")
        if not (np.abs(self.side) == 1).all():
            raise UnreadableBatch("a side is neither 1 nor -1")
        if self.last is None:
            return
        if None in [group.first for group in self.batch.symbols]:
            raise UnreadableBatch("first and last come together")
        starts = self.starts[:-1]
        if self.last.min() < 0 or self.last.max() > SPAN_MAX:
            raise UnreadableBatch("an aggregate holds no trade, or too many")
        steps = np.diff(self.last, prepend=-1)
        steps[starts] = self.last[starts] + 1
        if steps.min() < 1:
            raise UnreadableBatch("every aggregate holds a trade")

    def trades(self, at: int) -> SymbolTrades:
        """Return the trades of one symbol as lists."""
        cut = slice(self.starts[at], self.starts[at + 1])
        return _trades(
            self.batch.symbols[at],
            self.ts[cut].tolist(),
            self.price[cut].tolist(),
            self.qty[cut].tolist(),
            self.side[cut].tolist(),
            None if self.last is None else self.last[cut].tolist(),
        )

    def unpack(self) -> TradeBatch:
        """Return the batch as lists by symbol."""
        return _batch(self.batch, [self.trades(at) for at in range(len(self.batch.symbols))])


def unpack(batch: PackedBatch) -> TradeBatch:
    """Return a packed batch as lists by symbol; raise UnreadableBatch."""
    if batch.ts.__class__ is not list:
        return Columns(batch).unpack()
    lists, found, start = lists_of(batch), [], 0
    for group in batch.symbols:
        found.append(lists.trades(group, start))
        start += group.n
    return _batch(batch, found)


def _trades(
    group: PackedSymbol,
    ts: list[int],
    price: list[int],
    qty: list[int],
    side: list[int],
    last: list[int] | None,
) -> SymbolTrades:
    first = None
    if last is not None and group.first is not None:
        last = [group.first + id_ for id_ in last]
        first = [group.first, *(id_ + 1 for id_ in last[:-1])]
    return SymbolTrades(
        symbol=group.symbol,
        price_scale=group.price_scale,
        qty_scale=group.qty_scale,
        id=list(range(group.id, group.id + group.n)),
        ts=ts,
        price=price,
        qty=qty,
        side=side,
        first=first,
        last=last,
        contract_size=group.contract_size,
    )


def _batch(packed: PackedBatch, groups: list[SymbolTrades]) -> TradeBatch:
    return TradeBatch(packed.exchange, packed.channel, packed.source, packed.recv_ns, groups)


def pack(batch: TradeBatch, *, is_binary: bool) -> PackedBatch | None:
    """Return the batch packed; None where a symbol's trades have flags, or ids that are no run."""
    groups = batch.symbols
    is_aggregated = groups[0].last is not None
    symbols = []
    for group in groups:
        if not _is_run(group) or (group.last is not None) != is_aggregated:
            return None
        first = None if group.first is None else group.first[0]
        symbols.append(
            PackedSymbol(
                group.symbol,
                group.price_scale,
                group.qty_scale,
                len(group.id),
                group.id[0],
                first,
                group.contract_size,
            )
        )
    from_ms = min([min(group.ts) for group in groups])
    last = None
    if is_aggregated:
        last = [i - g.first[0] for g in groups for i in g.last]  # type: ignore[index, union-attr]
    sides = [side for group in groups for side in group.sides()]
    column = _packed if is_binary else list
    return PackedBatch(
        exchange=batch.exchange,
        channel=batch.channel,
        source=batch.source,
        recv_ns=batch.recv_ns,
        from_ms=from_ms,
        symbols=symbols,
        ts=column([ms - from_ms for group in groups for ms in group.ts]),
        price=column([price for group in groups for price in group.price]),
        qty=column([qty for group in groups for qty in group.qty]),
        side=np.array(sides, dtype="<i1").tobytes() if is_binary else cast("list[Side]", sides),
        last=None if last is None else column(last),
    )


def _is_run(group: SymbolTrades) -> bool:
    """Say whether ids of the venue are dense, none is missing, and nothing else is to be told."""
    if group.ids != "dense" or group.uid or not SIDES.issuperset(group.sides()):
        return False
    if group.flags and any(group.flag_list()):
        return False
    ids, first, last = group.id, group.first, group.last
    if not _are_near(ids) or (len(ids) > 1 and ids != list(range(ids[0], ids[-1] + 1))):
        return False
    if first is None or last is None:
        return first is last
    if not 0 <= first[0] <= last[-1] <= PACKED_ID_MAX or last[-1] - first[0] > SPAN_MAX:
        return False
    follows = len(ids) == 1 or first[1:] == [id_ + 1 for id_ in last[:-1]]
    return follows and all(map(int.__le__, first, last))


def _are_near(ids: list[int]) -> bool:
    return 0 <= ids[0] <= ids[-1] <= PACKED_ID_MAX and ids[-1] - ids[0] < PACKED_MAX


def _packed(values: list[int]) -> bytes:
    column = np.array(values, dtype=np.int64)
    is_small = column.min() >= -(2**31) and column.max() < 2**31
    return column.astype("<i4" if is_small else "<i8").tobytes()


def _column(name: str, data: Sequence[int] | bytes, total: int) -> Column:
    if not isinstance(data, bytes):
        return np.array(data, dtype=np.int64)
    width = _WIDTHS.get(len(data) // total)
    if width is None or len(data) % total or (name == "side") != (width == "<i1"):
        raise UnreadableBatch(f"{name}: {len(data)} bytes are no column of {total} numbers")
    column: NDArray[Any] = np.frombuffer(data, dtype=width)
    return column.astype(np.int64)
