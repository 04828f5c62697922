"""The punched trades as records of an ingestor, in the order of their time, some of them twice."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from fibstream.bench.history_truth import EXCHANGE, Mask, Series, Trades
from runtime.kafka import partition_for
from schemas.topics import symbol_key
from schemas.trades import Channel, SymbolTrades, TradeBatch, encode_batch

PER_RECORD = 4_000  # trades
REPEATED_EVERY = 40  # records: a third of its trades comes again behind it


class Fed(NamedTuple):
    """One record; ``repeated`` of its trades were sent before."""

    partition: int
    value: bytes
    trades: int
    repeated: int


def records(
    every: Sequence[Series], gone: Mapping[tuple[Channel, str], Mask], partitions: int
) -> Iterator[Fed]:
    """Yield the records of every partition, oldest first within each."""
    groups: dict[tuple[Channel, int], list[Series]] = {}
    for series in every:
        where = partition_for(symbol_key(EXCHANGE, *series.name), partitions)
        groups.setdefault((series.channel, where), []).append(series)
    for (channel, partition), members in sorted(groups.items()):
        heard = [(s, s.trades.where(~gone[s.name])) for s in members]
        times = np.sort(np.concatenate([trades.ts for _, trades in heard]))
        edges = [*np.unique(times[::PER_RECORD]).tolist(), int(times[-1]) + 1]
        for number, (from_ms, to_ms) in enumerate(pairwise(edges)):
            cut = [(s, _between(trades, from_ms, to_ms)) for s, trades in heard]
            yield _record(channel, partition, cut)
            if number % REPEATED_EVERY == 0:
                again = [(s, trades.where(slice(None, None, 3))) for s, trades in cut]
                fed = _record(channel, partition, again)
                yield fed._replace(trades=0, repeated=fed.trades)


def _between(trades: Trades, from_ms: int, to_ms: int) -> Trades:
    low, high = np.searchsorted(trades.ts, (from_ms, to_ms)).tolist()
    return trades.where(slice(low, high))


def _record(channel: Channel, partition: int, cut: Sequence[tuple[Series, Trades]]) -> Fed:
    found = [(series, trades) for series, trades in cut if len(trades.id)]
    newest_ms = max(int(trades.ts[-1]) for _, trades in found)
    batch = TradeBatch(
        EXCHANGE, channel, "live", newest_ms * 1_000_000, [_group(s, t) for s, t in found]
    )
    return Fed(partition, encode_batch(batch), len(batch), 0)


def _group(series: Series, trades: Trades) -> SymbolTrades:
    is_aggregated = series.channel == "linear"
    return SymbolTrades(
        symbol=series.symbol,
        price_scale=series.price_scale,
        qty_scale=series.qty_scale,
        id=trades.id.tolist(),
        ts=trades.ts.tolist(),
        price=trades.price.tolist(),
        qty=trades.qty.tolist(),
        side=trades.side.tolist(),
        first=trades.first.tolist() if is_aggregated else None,
        last=trades.last.tolist() if is_aggregated else None,
    )
