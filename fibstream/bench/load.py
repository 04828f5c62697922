"""Synthetic trade records, deterministic from a seed, in the two shapes that matter.

``bulk`` is a backfill: 5,000 trades a record, 100 of each symbol. ``live`` is a busy day: 20,000
trades/s over 700 symbols in 20 ms ticks, a few busy symbols and many quiet ones.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import Literal, NamedTuple

from runtime.kafka import partition_for
from schemas.topics import symbol_key
from schemas.trades import SymbolTrades, TradeBatch, encode_batch

Shape = Literal["bulk", "live"]

START_MS = 1_700_000_000_000
LIVE_RATE_PER_S = 20_000
LIVE_TICK_MS = 20
LIVE_SYMBOLS = 700
BULK_SYMBOLS = 200
BULK_GROUP = 100
BULK_GROUPS = 50


class Record(NamedTuple):
    """One record of the trades topic."""

    partition: int
    value: bytes
    trades: int
    batch: TradeBatch


def records(shape: Shape, trades: int, partitions: int, seed: int = 1) -> Iterator[Record]:
    """Yield records until about ``trades`` trades are made."""
    make: Callable[[Market, int], Iterator[Record]] = _bulk if shape == "bulk" else _live
    symbols = BULK_SYMBOLS if shape == "bulk" else LIVE_SYMBOLS
    return make(Market(symbols, partitions, seed), trades)


class Market:
    """Symbols with dense aggregate ids and random walks."""

    def __init__(self, symbols: int, partitions: int, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311 - seeded, not secret
        self.partitions = partitions
        self.names = [f"S{i}USDT" for i in range(symbols)]
        self._id = dict.fromkeys(self.names, 1_000)
        self._price = dict.fromkeys(self.names, 100_000)
        self.partition = {
            name: partition_for(symbol_key("binance", "linear", name), partitions)
            for name in self.names
        }

    def group(self, name: str, count: int, from_ms: int, span_ms: int) -> SymbolTrades:
        """Return ``count`` trades of one symbol within a span of time."""
        rng, first = self.random, self._id[name]
        self._id[name] += count
        ids = list(range(first, first + count))
        prices = [self._price[name] + rng.randrange(-40, 41) for _ in ids]
        self._price[name] = max(1_000, prices[-1])
        return SymbolTrades(
            symbol=name,
            price_scale=2,
            qty_scale=3,
            id=ids,
            ts=sorted(from_ms + rng.randrange(span_ms) for _ in ids),
            price=prices,
            qty=[rng.randrange(1, 5_000) for _ in ids],
            side=[rng.choice((1, -1)) for _ in ids],
            first=[2 * i for i in ids],
            last=[2 * i + 1 for i in ids],
        )

    def record(self, partition: int, at_ms: int, groups: list[SymbolTrades]) -> Record:
        """Return one record that holds the groups."""
        batch = TradeBatch("binance", "linear", "live", at_ms * 1_000_000, groups)
        return Record(partition, encode_batch(batch), len(batch), batch)


def _bulk(market: Market, trades: int) -> Iterator[Record]:
    by_partition: list[list[str]] = [[] for _ in range(market.partitions)]
    for name in market.names:
        by_partition[market.partition[name]].append(name)
    made, now_ms = 0, START_MS
    while made < trades:
        for partition, names in enumerate(by_partition):
            groups = [market.group(n, BULK_GROUP, now_ms, 1_000) for n in names[:BULK_GROUPS]]
            record = market.record(partition, now_ms + 1_000, groups)
            made += record.trades
            yield record
        now_ms += 1_000


def _live(market: Market, trades: int) -> Iterator[Record]:
    # Zipf with exponent 0.9: the busiest symbol has 4 % of all trades, a group 1.9 on average.
    weights = list(accumulate(1 / (rank + 3) ** 0.9 for rank in range(len(market.names))))
    per_tick = LIVE_RATE_PER_S * LIVE_TICK_MS // 1_000
    made, now_ms = 0, START_MS
    while made < trades:
        drawn = market.random.choices(market.names, cum_weights=weights, k=per_tick)
        groups: list[list[SymbolTrades]] = [[] for _ in range(market.partitions)]
        for name, count in Counter(drawn).items():
            group = market.group(name, count, now_ms, LIVE_TICK_MS)
            groups[market.partition[name]].append(group)
        now_ms += LIVE_TICK_MS
        for partition, some in enumerate(groups):
            if some:
                record = market.record(partition, now_ms, some)
                made += record.trades
                yield record
