"""The candles of a set of trades, computed the plain way: sort, group, sum. Shares no code."""

from collections.abc import Iterable
from typing import NamedTuple


class T(NamedTuple):
    id: int
    ts: int
    price: int
    qty: int
    side: int
    count: int = 1
    uid: str = ""


class Candle(NamedTuple):
    open: int
    high: int
    low: int
    close: int
    volume: int
    quote: int
    buy_volume: int
    buy_quote: int
    count: int
    first_id: int
    last_id: int


def candles_of(trades: Iterable[T], length: int, *, by_arrival: bool = False) -> dict[int, Candle]:
    """Return the candles by open time; inside one millisecond ids tell the order, or arrival."""
    windows: dict[int, list[T]] = {}
    for trade in sorted(dict.fromkeys(trades), key=lambda t: (t.ts, 0 if by_arrival else t.id)):
        windows.setdefault(trade.ts // length * length, []).append(trade)
    return {
        open_ms: Candle(
            rows[0].price,
            max(t.price for t in rows),
            min(t.price for t in rows),
            rows[-1].price,
            sum(t.qty for t in rows),
            sum(t.price * t.qty for t in rows),
            sum(t.qty for t in rows if t.side > 0),
            sum(t.price * t.qty for t in rows if t.side > 0),
            sum(t.count for t in rows),
            rows[0].id,
            rows[-1].id,
        )
        for open_ms, rows in windows.items()
    }
