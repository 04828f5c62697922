"""A day of trades as a backfill puts them: in order of time, some thousand trades a record.

Each partition is made on its own, in any process, deterministic from its number. Symbols have
Zipf shares; a record holds the trades of all symbols of its partition in a stretch of the day.
Columns go from numpy into a packed record as they are: lists would take minutes for a day.
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
from schemas.trades import PackedBatch, PackedSymbol

FROM_MS = START_MS - START_MS % DAY_MS
ZIPF = 0.9
FIRST_ID = 1_000_000_000
PRICE_SCALE, QTY_SCALE = 2, 3
PRICE_STEP_MAX = 40
PRICE_MIN = 1_000
QTY_MAX = 5_000
TRADES_PER_ID = 2  # an aggregate holds so many

Ints = npt.NDArray[np.int64]
_encode = msgspec.json.Encoder().encode


class Day(NamedTuple):
    """How much of everything; shared by all partitions."""

    trades: int
    symbols: int
    partitions: int
    per_record: int
    seed: int = 1


class Made(NamedTuple):
    """One record, and its trades: by ``owner``, a symbol's place in ``symbols``, then by time."""

    value: bytes
    trades: int
    owner: Ints
    ts: Ints
    price: Ints
    qty: Ints


def count_of(day: Day, partition: int) -> int:
    """Return about how many trades a partition has."""
    return round(sum(share for _, share in _shares(day, partition)) * day.trades)


def symbols(day: Day, partition: int) -> list[str]:
    """Return the symbols of a partition, the busiest first."""
    return [name for name, _ in _shares(day, partition)]


def records(day: Day, partition: int) -> Iterator[Made]:
    """Yield the records of one partition, oldest first."""
    named = _shares(day, partition)
    count = count_of(day, partition)
    if not count:
        return
    rng = np.random.default_rng([day.seed, partition])
    names = [name for name, _ in named]
    shares = np.array([share for _, share in named])
    slices = max(1, count // day.per_record)
    span_ms = DAY_MS // slices
    ids: Ints = np.full(len(named), FIRST_ID)
    prices: Ints = rng.integers(100_000, 1_000_000, len(named))
    for number in range(slices):
        counts: Ints = rng.multinomial(day.per_record, shares / shares.sum())
        yield _record(rng, names, counts, ids, prices, FROM_MS + number * span_ms, span_ms)


def _record(
    rng: np.random.Generator,
    names: list[str],
    counts: Ints,
    ids: Ints,
    prices: Ints,
    from_ms: int,
    span_ms: int,
) -> Made:
    """Return one record of ``counts`` trades; ``ids`` and ``prices`` go on to the next."""
    at = np.flatnonzero(counts)
    n = counts[at]
    group = np.repeat(np.arange(len(at)), n)
    ends = np.cumsum(n)
    starts = ends - n
    total = len(group)
    # Sorted with their group before them, times stay with it.
    after_ms = np.sort(group * span_ms + rng.integers(0, span_ms, total)) - group * span_ms
    steps = rng.integers(-PRICE_STEP_MAX, PRICE_STEP_MAX + 1, total)
    walk = np.cumsum(steps)
    before = walk[starts] - steps[starts]
    price: Ints = np.maximum(walk - before[group] + prices[at][group], PRICE_MIN)
    qty: Ints = rng.integers(1, QTY_MAX, total)
    side = 2 * rng.integers(0, 2, total) - 1
    last = TRADES_PER_ID * (np.arange(total) - starts[group] + 1) - 1
    batch = PackedBatch(
        exchange="binance",
        channel="linear",
        source="archive",
        recv_ns=(FROM_MS + DAY_MS) * 1_000_000,  # a day that is over is fetched, not heard
        from_ms=int(from_ms + after_ms.min()),
        symbols=[
            PackedSymbol(names[i], PRICE_SCALE, QTY_SCALE, k, id_, TRADES_PER_ID * id_)
            for i, k, id_ in zip(at.tolist(), n.tolist(), ids[at].tolist(), strict=True)
        ],
        ts=_bytes(after_ms - after_ms.min()),
        price=_bytes(price),
        qty=_bytes(qty),
        side=side.astype("<i1").tobytes(),
        last=_bytes(last),
    )
    ids[at] += n
    prices[at] = price[ends - 1]
    return Made(_encode(batch), total, at[group], from_ms + after_ms, price, qty)


def _bytes(column: Ints) -> bytes:
    return column.astype("<i4").tobytes()


def _shares(day: Day, partition: int) -> list[tuple[str, float]]:
    """Return the symbols of a partition, each with its share of all trades."""
    weights = [1 / (rank + 3) ** ZIPF for rank in range(day.symbols)]
    total = sum(weights)
    named = [(f"S{rank}USDT", weight / total) for rank, weight in enumerate(weights)]
    return [
        (name, share)
        for name, share in named
        if partition_for(symbol_key("binance", "linear", name), day.partitions) == partition
    ]
