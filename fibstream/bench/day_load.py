"""A day of trades as a backfill puts them: in order of time, some thousand trades a record.

Each partition is made on its own, in any process, deterministic from its number. Symbols have
Zipf shares; a record holds the trades of all symbols of its partition in a stretch of the day.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fibstream.bench.load import START_MS, Record
from runtime.kafka import partition_for
from schemas.intervals import DAY_MS
from schemas.topics import symbol_key
from schemas.trades import SymbolTrades, TradeBatch, encode_batch

FROM_MS = START_MS - START_MS % DAY_MS
ZIPF = 0.9
FIRST_ID = 1_000_000_000
PRICE_STEP_MAX = 40
PRICE_MIN = 1_000
QTY_MAX = 5_000

Ints = npt.NDArray[np.int64]


class Day(NamedTuple):
    """How much of everything; shared by all partitions."""

    trades: int
    symbols: int
    partitions: int
    per_record: int
    seed: int = 1


def count_of(day: Day, partition: int) -> int:
    """Return about how many trades a partition has."""
    return round(sum(share for _, share in _symbols(day, partition)) * day.trades)


def records(day: Day, partition: int) -> Iterator[Record]:
    """Yield the records of one partition, oldest first."""
    named = _symbols(day, partition)
    count = count_of(day, partition)
    if not count:
        return
    rng = np.random.default_rng([day.seed, partition])
    shares = np.array([share for _, share in named])
    slices = max(1, count // day.per_record)
    span_ms = DAY_MS // slices
    ids = np.full(len(named), FIRST_ID)
    prices = rng.integers(100_000, 1_000_000, len(named))
    for number in range(slices):
        counts = rng.multinomial(day.per_record, shares / shares.sum())
        groups = []
        for at in np.flatnonzero(counts).tolist():
            n = int(counts[at])
            group, prices[at] = _group(rng, named[at][0], int(ids[at]), int(prices[at]), n)
            group.ts = _times(rng, FROM_MS + number * span_ms, span_ms, n)
            ids[at] += n
            groups.append(group)
        # A day that is over is fetched, not heard.
        batch = TradeBatch("binance", "linear", "archive", (FROM_MS + DAY_MS) * 1_000_000, groups)
        yield Record(partition, encode_batch(batch), len(batch), batch)


def _symbols(day: Day, partition: int) -> list[tuple[str, float]]:
    """Return the symbols of a partition, each with its share of all trades."""
    weights = [1 / (rank + 3) ** ZIPF for rank in range(day.symbols)]
    total = sum(weights)
    named = [(f"S{rank}USDT", weight / total) for rank, weight in enumerate(weights)]
    return [
        (name, share)
        for name, share in named
        if partition_for(symbol_key("binance", "linear", name), day.partitions) == partition
    ]


def _group(
    rng: np.random.Generator, name: str, first_id: int, price: int, n: int
) -> tuple[SymbolTrades, int]:
    """Return n trades of a symbol, their times yet to be told, and the last price."""
    ids = range(first_id, first_id + n)
    steps = rng.integers(-PRICE_STEP_MAX, PRICE_STEP_MAX + 1, n)
    prices: Ints = np.maximum(price + np.cumsum(steps), PRICE_MIN)
    group = SymbolTrades(
        symbol=name,
        price_scale=2,
        qty_scale=3,
        id=list(ids),
        ts=[],
        price=prices.tolist(),
        qty=rng.integers(1, QTY_MAX, n).tolist(),
        side=(2 * rng.integers(0, 2, n) - 1).tolist(),
        first=list(range(2 * first_id, 2 * (first_id + n), 2)),
        last=list(range(2 * first_id + 1, 2 * (first_id + n) + 1, 2)),
    )
    return group, int(prices[-1])


def _times(rng: np.random.Generator, from_ms: int, span_ms: int, n: int) -> list[int]:
    times: list[int] = np.sort(rng.integers(from_ms, from_ms + span_ms, n)).tolist()
    return times
