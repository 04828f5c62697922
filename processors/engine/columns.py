"""Folds over whole columns of a trade group: where many trades come at once, a loop is too slow."""

from itertools import compress
from operator import mul, sub

import msgspec

from processors.engine.bars import Bar
from schemas.trades import SymbolTrades


def is_dense_run(ids: list[int], times: list[int]) -> bool:
    """Say whether ids ascend one by one and times never step back."""
    if len(ids) == 2:
        return ids[1] - ids[0] == 1 and times[0] <= times[1]
    # Both sides are one pass in C; sorted() of a sorted list moves nothing.
    return times == sorted(times) and ids == list(range(ids[0], ids[0] + len(ids)))


def is_range_run(first: list[int], last: list[int], times: list[int]) -> bool:
    """Say whether each range begins where the one before it ends, and times never step back."""
    steps = list(map(sub, first[1:], last))
    return times == sorted(times) and steps.count(1) == len(steps)


def sum_columns(bar: Bar, group: SymbolTrades, start: int, stop: int) -> None:
    """Fill an empty bar with trades ``start..stop`` of a group that is in order."""
    times, ids, prices, qtys, side = group.ts, group.id, group.price, group.qty, group.side
    first, last = group.first, group.last
    if stop - start != len(ids):
        cut = slice(start, stop)
        times, ids, prices, qtys = times[cut], ids[cut], prices[cut], qtys[cut]
        side = side if isinstance(side, int) else side[cut]
        if first is not None and last is not None:
            first, last = first[cut], last[cut]
    quotes = list(map(mul, prices, qtys))
    bar.open, bar.close = prices[0], prices[-1]
    bar.high, bar.low = max(prices), min(prices)
    bar.first_ms, bar.last_ms = times[0], times[-1]
    bar.first_id, bar.last_id = ids[0], ids[-1]
    bar.count = len(ids)
    if first is not None and last is not None:
        bar.count += sum(last) - sum(first)
    bar.volume = sum(qtys)
    bar.quote = sum(quotes)
    if isinstance(side, int):
        if side > 0:
            bar.buy_volume, bar.buy_quote = bar.volume, bar.quote
    else:
        buys = [s > 0 for s in side]
        bar.buy_volume = sum(compress(qtys, buys))
        bar.buy_quote = sum(compress(quotes, buys))


def at_scales(group: SymbolTrades, price_scale: int, qty_scale: int) -> SymbolTrades:
    """Return the group at larger scales."""
    price_by = 10 ** (price_scale - group.price_scale)
    qty_by = 10 ** (qty_scale - group.qty_scale)
    return msgspec.structs.replace(
        group,
        price_scale=price_scale,
        qty_scale=qty_scale,
        price=[price * price_by for price in group.price],
        qty=[qty * qty_by for qty in group.qty],
    )
