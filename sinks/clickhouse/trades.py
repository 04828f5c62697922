"""Trades as rows of ``trades``: whole columns from records to Arrow, and no loop over trades.

Rows leave in the order of exchange, channel and symbol, which is the table's, so that the engine
need not sort them. Columns that would say nothing are left out.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from schemas.packed import Columns, Lists, lists_of, unpack
from schemas.trades import (
    PackedBatch,
    PackedSymbol,
    SymbolTrades,
    TradeBatch,
    UnreadableBatch,
    decode_any_batch,
)
from sinks.base import Record, Refused
from sinks.clickhouse.columns import MS, Unfit, array
from sinks.clickhouse.table import Rows

SCALE_MAX = 12  # the decimals of the price and qty columns

Numbers = NDArray[Any]
_TYPES = {
    "id": pa.int64(),
    "ts": pa.int64(),
    "price_int": pa.int64(),
    "qty_int": pa.int64(),
    "side": pa.int8(),
    "flags": pa.uint32(),
    "first_id": pa.int64(),
    "last_id": pa.int64(),
}


@dataclass(slots=True)
class Block:
    """Groups of trades one after the other, their numbers in columns."""

    offsets: Sequence[int]
    """Of the records."""
    batches: Sequence[TradeBatch | PackedBatch]
    groups: Sequence[SymbolTrades | PackedSymbol]
    """Of all batches."""
    sizes: Numbers
    """Of the groups."""
    numbers: dict[str, Numbers]
    uid: Sequence[str] = ()


def trade_table(records: Sequence[Record]) -> Rows:
    """Return the trades of ``records``, and the records (partly) left out."""
    listed: list[tuple[Record, TradeBatch]] = []
    packed: dict[tuple[bool, bool], list[tuple[Record, Lists | Columns]]] = {}
    refused: list[Refused] = []
    for record in records:
        try:
            batch = decode_any_batch(record.value)
            if isinstance(batch, TradeBatch):
                listed.append((record, batch))
            elif _is_fit([batch], batch.symbols):
                is_listed = batch.ts.__class__ is list
                read = lists_of(batch) if is_listed else Columns(batch)
                packed.setdefault((is_listed, batch.last is None), []).append((record, read))
            else:
                listed.append((record, unpack(batch)))
        except UnreadableBatch as e:
            refused.append(Refused(record, str(e)))
    blocks = [_of_packed(parts) for parts in packed.values()]
    if listed or not packed:
        blocks.append(_of_fitting(listed, refused))
    return _table(blocks), refused


def _is_fit(
    batches: Iterable[TradeBatch | PackedBatch], groups: Iterable[SymbolTrades | PackedSymbol]
) -> bool:
    return all(batch.recv_ns >= 0 for batch in batches) and all(
        g.price_scale <= SCALE_MAX and g.qty_scale <= SCALE_MAX for g in groups
    )


def _of_fitting(parts: Sequence[tuple[Record, TradeBatch]], refused: list[Refused]) -> Block:
    """Return the groups that fit as one block; the records of the others join the refused."""
    try:
        return _of_lists(parts)
    except Unfit:
        pass  # somewhere in there: ask each group alone
    found = []
    for record, batch in parts:
        reasons, groups = [], []
        for group in batch.symbols:
            try:
                _of_lists([(record, _only(batch, [group]))])
            except Unfit as e:
                reasons.append(str(e))
            else:
                groups.append(group)
        found.append((record, _only(batch, groups)))
        if reasons:
            refused.append(Refused(record, "; ".join(reasons)))
    return _of_lists(found)


def _only(batch: TradeBatch, groups: list[SymbolTrades]) -> TradeBatch:
    return TradeBatch(batch.exchange, batch.channel, batch.source, batch.recv_ns, groups)


def _of_lists(parts: Sequence[tuple[Record, TradeBatch]]) -> Block:
    batches = [batch for _, batch in parts]
    groups = [group for batch in batches for group in batch.symbols]
    if not _is_fit(batches, groups):
        raise Unfit(f"over {SCALE_MAX} decimals, or received before 1970")
    lists = {
        "id": [g.id for g in groups],
        "ts": [g.ts for g in groups],
        "price_int": [g.price for g in groups],
        "qty_int": [g.qty for g in groups],
        "side": [g.side if g.side.__class__ is list else g.sides() for g in groups],
        "first_id": [g.first or g.id for g in groups],
        "last_id": [g.last or g.id for g in groups],
    }
    if any(g.flags for g in groups):
        lists["flags"] = [g.flag_list() for g in groups]
    return Block(
        offsets=[record.offset for record, _ in parts],
        batches=batches,
        groups=groups,
        sizes=np.fromiter(map(len, lists["id"]), np.int64, len(groups)),
        numbers={name: _joined(name, columns) for name, columns in lists.items()},
        uid=_uids(groups) if any(g.uid for g in groups) else (),
    )


def _joined(name: str, parts: Sequence[Any]) -> Numbers:
    """Return lists, or arrays, as one column; raise Unfit where a number of a list does not fit."""
    if isinstance(parts[0] if parts else [], list):
        column = array(pa.field(name, _TYPES[name]), list(chain.from_iterable(parts)))
        numbers: Numbers = column.to_numpy(zero_copy_only=False)
        return numbers
    return np.concatenate(parts)


def _uids(groups: Iterable[SymbolTrades]) -> list[str]:
    return list(chain.from_iterable(g.uid or [""] * len(g) for g in groups))


def _of_packed(parts: Sequence[tuple[Record, Lists | Columns]]) -> Block:
    """Return records of one form as one block: lists or arrays, aggregates or single trades."""
    reads = [read for _, read in parts]
    batches = [read.batch for read in reads]
    groups = [group for batch in batches for group in batch.symbols]
    sizes = np.fromiter((group.n for group in groups), np.int64, len(groups))
    place = _places(sizes)
    ids = np.repeat([group.id for group in groups], sizes) + place
    numbers = {
        "id": ids,
        "ts": _joined("ts", [read.ts for read in reads]),
        "price_int": _joined("price_int", [read.price for read in reads]),
        "qty_int": _joined("qty_int", [read.qty for read in reads]),
        "side": _joined("side", [read.side for read in reads]),
        "first_id": ids,
        "last_id": ids,
    }
    if isinstance(reads[0], Lists):
        from_ms = np.array([batch.from_ms for batch in batches])
        numbers["ts"] = numbers["ts"] + np.repeat(from_ms, [len(read.ts) for read in reads])
    if batches[0].last is not None:
        firsts = [group.first or 0 for group in groups]
        last = _joined("last_id", [read.last for read in reads]) + np.repeat(firsts, sizes)
        numbers["last_id"] = last
        numbers["first_id"] = np.roll(last, 1) + 1
        numbers["first_id"][place == 0] = firsts
    offsets = [record.offset for record, _ in parts]
    return Block(offsets, batches, groups, sizes, numbers)


def _places(sizes: Numbers) -> Numbers:
    """Count from 0 within each group: 3, 2 -> 0, 1, 2, 0, 1."""
    places: Numbers = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return places


def _table(blocks: Sequence[Block]) -> pa.Table:
    """Return the blocks as one table, sorted by symbol and, of each symbol, as they came."""
    groups = [group for block in blocks for group in block.groups]
    batches = [batch for block in blocks for batch in block.batches]
    per_batch = np.fromiter((len(batch.symbols) for batch in batches), np.int64, len(batches))
    offsets = [offset for block in blocks for offset in block.offsets]
    names = {
        "exchange": _words((batch.exchange for batch in batches), per_batch),
        "channel": _words((batch.channel for batch in batches), per_batch),
        "symbol": _words(group.symbol for group in groups),
        "source": _words((batch.source for batch in batches), per_batch),
        "contract_size": _words(group.contract_size or "" for group in groups),
    }
    common: dict[str, Numbers] = {
        "price_scale": np.array([group.price_scale for group in groups], np.uint8),
        "qty_scale": np.array([group.qty_scale for group in groups], np.uint8),
        "recv_time": np.repeat(np.array([b.recv_ns for b in batches], np.int64), per_batch),
        "rev": np.repeat(np.array(offsets, np.int64), per_batch),
    }
    sizes = np.concatenate([block.sizes for block in blocks])
    starts = np.cumsum(sizes) - sizes
    # Stable: of the groups of a symbol the older one stays before the newer one.
    order = np.lexsort([names[name][0] for name in ("symbol", "channel", "exchange")])
    sizes = sizes[order]
    place = _places(sizes)
    columns = _own(blocks, np.repeat(starts[order], sizes) + place)
    columns["place"] = pa.array(place.astype(np.uint32))
    for name, numbers in common.items():
        columns[name] = pa.array(np.repeat(numbers[order], sizes))
    for name, (codes, words) in names.items():
        if words != [""]:
            every = pa.array(np.repeat(codes[order], sizes))
            columns[name] = pa.DictionaryArray.from_arrays(every, pa.array(words, pa.string()))
    columns["recv_time"] = columns["recv_time"].cast(pa.timestamp("ns", "UTC"))
    return pa.table(columns)


def _own(blocks: Sequence[Block], rows: Numbers) -> dict[str, pa.Array]:
    """Return the columns in which trades differ, in the order of ``rows``."""
    columns = {
        name: pa.array(_whole(name, blocks)[rows])
        for name in _TYPES
        if any(name in block.numbers for block in blocks)
    }
    columns["ts"] = columns["ts"].cast(MS)
    if any(block.uid for block in blocks):
        uid = [uid for block in blocks for uid in block.uid or [""] * block.sizes.sum()]
        columns["uid"] = pa.array(uid, pa.string()).take(pa.array(rows))
    return columns


def _words(values: Iterable[str], counts: Numbers | int = 1) -> tuple[Numbers, list[str]]:
    """Return the place of each value among the distinct ones in order, and these."""
    found = pa.array(list(values), pa.string()).dictionary_encode()
    words = found.dictionary.to_pylist()
    in_order = sorted(range(len(words)), key=words.__getitem__)
    rank = np.empty(len(words), np.int32)
    rank[in_order] = np.arange(len(words))
    codes = rank[found.indices.to_numpy()]
    return np.repeat(codes, counts), [words[at] for at in in_order]


def _whole(name: str, blocks: Sequence[Block]) -> Numbers:
    parts = [block.numbers.get(name, np.zeros(block.sizes.sum())) for block in blocks]
    return np.concatenate(parts).astype(_TYPES[name].to_pandas_dtype(), copy=False)
