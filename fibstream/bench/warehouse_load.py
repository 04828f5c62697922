"""A month of trades of 100 symbols for the warehouse, as a backfill brings them.

Deterministic from the seed: dense ids, prices that walk, quantities of a long tail, and some
thousand trades a record in the order of their time, of all symbols of its partition.
"""

from collections.abc import Iterator
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from fibstream.bench.load import START_MS
from runtime.kafka import partition_for
from schemas.intervals import DAY_MS
from schemas.topics import symbol_key
from schemas.trades import Channel, PackedBatch, PackedSymbol

EXCHANGE = "binance"
CHANNEL: Channel = "linear"
FROM_MS = START_MS - START_MS % DAY_MS
PER_RECORD = 5_000  # trades
PRICE_STEP_MAX = 40
PRICE_MIN = 1_000
PRICE_SCALE, QTY_SCALE = 2, 3
FIRST_ID = 1_000_000_000
PER_AGGREGATE_MAX = 3

Ints = npt.NDArray[np.int64]
_encode = msgspec.json.Encoder().encode


class Month(NamedTuple):
    """How much of everything."""

    trades: int
    symbols: int
    days: int
    partitions: int
    seed: int = 1

    @property
    def until_ms(self) -> int:
        """Return the end of the last day."""
        return FROM_MS + self.days * DAY_MS


class Made(NamedTuple):
    """One record."""

    partition: int
    value: bytes
    trades: int


def name_of(symbol: int) -> str:
    """Return the name of a symbol by its number."""
    return f"S{symbol:03}USDT"


def records(month: Month) -> Iterator[Made]:
    """Yield the records of all partitions, oldest first."""
    owned: dict[int, list[str]] = {}
    for name in map(name_of, range(month.symbols)):
        key = symbol_key(EXCHANGE, CHANNEL, name)
        owned.setdefault(partition_for(key, month.partitions), []).append(name)
    slices = max(1, month.trades // len(owned) // PER_RECORD)
    streams = [_partition(month, number, names, slices) for number, names in sorted(owned.items())]
    for of_one_time in zip(*streams, strict=True):
        yield from of_one_time


def _partition(month: Month, number: int, names: list[str], slices: int) -> Iterator[Made]:
    rng = np.random.default_rng([month.seed, number])
    shape = len(names), max(1, month.trades // month.symbols // slices)
    span_ms = month.days * DAY_MS // slices
    ids, first = np.full(len(names), FIRST_ID), np.full(len(names), 2 * FIRST_ID)
    last_price: Ints = rng.integers(100_000, 10_000_000, len(names))
    for at in range(slices):
        from_ms = FROM_MS + at * span_ms
        steps = rng.integers(-PRICE_STEP_MAX, PRICE_STEP_MAX + 1, shape).cumsum(axis=1)
        price = np.maximum(last_price[:, None] + steps, PRICE_MIN)
        last = rng.integers(1, PER_AGGREGATE_MAX + 1, shape).cumsum(axis=1) - 1
        batch = PackedBatch(
            exchange=EXCHANGE,
            channel=CHANNEL,
            source="archive",
            recv_ns=month.until_ms * 1_000_000,
            from_ms=from_ms,
            symbols=[
                PackedSymbol(name, PRICE_SCALE, QTY_SCALE, shape[1], int(id_), int(first_id))
                for name, id_, first_id in zip(names, ids, first, strict=True)
            ],
            ts=_bytes(np.sort(rng.integers(0, span_ms, shape), axis=1)),
            price=_bytes(price),
            qty=_bytes((rng.pareto(1.2, shape) * 50).clip(0, 1e8).astype(np.int64) + 1),
            side=(2 * rng.integers(0, 2, shape) - 1).astype("<i1").tobytes(),
            last=_bytes(last),
        )
        ids, first, last_price = ids + shape[1], first + last[:, -1] + 1, price[:, -1]
        yield Made(number, _encode(batch), shape[0] * shape[1])


def _bytes(column: npt.NDArray[np.int64]) -> bytes:
    return column.astype("<i4").tobytes()
