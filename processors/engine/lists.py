"""The hot loop of live trades: small packed records, folded into the seconds that gather.

Most groups of a live record go on in the second of the one before, in order, nothing missing. Only
those are taken here; all others are left to ``SymbolCandles.apply``, which knows every case.
"""

from collections.abc import Mapping

from processors.engine.bars import Bar
from processors.engine.symbol import SymbolCandles
from schemas.packed import Lists
from schemas.trades import SymbolTrades


def apply_lists(
    symbols: Mapping[str, SymbolCandles], lists: Lists, offset: int
) -> tuple[list[SymbolCandles], list[SymbolTrades]]:
    """Fold what goes on in its second; return whose candles took trades, and the trades left.

    Symbols that already hold this offset are in neither.
    """
    batch = lists.batch
    ts, last = lists.ts, lists.last
    from_ms, source, recv_ms = batch.from_ms, batch.source, batch.recv_ns // 1_000_000
    taken: list[SymbolCandles] = []
    rest: list[SymbolTrades] = []
    stop = 0
    for group in batch.symbols:
        n, start = group.n, stop
        stop += n
        candles = symbols.get(group.symbol)
        if candles is None:
            rest.append(lists.trades(group, start))
            continue
        if candles.offset >= offset:
            continue
        second, seen = candles.second, candles.ids
        last_ms = from_ms + ts[stop - 1]
        if (
            second is None
            or not second.last_ms <= last_ms < second.end_ms
            or group.id != seen.last_id + 1
            or group.price_scale != candles.price_scale
            or group.qty_scale != candles.qty_scale
            or second.source != source
            or not candles.is_plain
            or (n > 1 and not _is_next(second.last_ms - from_ms, ts[start:stop]))
        ):
            rest.append(lists.trades(group, start))
            continue
        if n == 1:
            second.add_next(lists.price[start], lists.qty[start], lists.side[start])
        else:
            _add(second, lists, start, stop)
        seen.last_id = second.last_id = group.id + n - 1
        seen.last_ms = second.last_ms = last_ms
        second.count += n if last is None else last[stop - 1] + 1
        second.rev = candles.offset = offset
        candles.recv_ms = recv_ms
        if last_ms > candles.watermark_ms:
            candles.watermark_ms = last_ms
        taken.append(candles)
    return taken, rest


def _is_next(after: int, times: list[int]) -> bool:
    return after <= times[0] and times == sorted(times)


def _add(second: Bar, lists: Lists, start: int, stop: int) -> None:
    """Add prices and quantities of trades, none older than the youngest one there."""
    prices, qtys, sides = lists.price, lists.qty, lists.side
    high, low = second.high, second.low
    price = volume = quote = buy_volume = buy_quote = 0
    for at in range(start, stop):
        price, qty = prices[at], qtys[at]
        value = price * qty
        volume += qty
        quote += value
        if sides[at] > 0:
            buy_volume += qty
            buy_quote += value
        if price > high:
            high = price
        elif price < low:
            low = price
    second.high, second.low, second.close = high, low, price
    second.volume += volume
    second.quote += quote
    second.buy_volume += buy_volume
    second.buy_quote += buy_quote
