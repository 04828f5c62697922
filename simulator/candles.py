"""Candles from rows, in plain integer arithmetic: the simulator's own opinion of its trades."""

from collections.abc import Iterable
from dataclasses import dataclass

from simulator.ledger import Row

DAY_MS = 86_400_000
WEEK_MS = 7 * DAY_MS
MONDAY_MS = 4 * DAY_MS  # the epoch was a Thursday, the venue's weeks begin on Mondays

INTERVALS_MS = {
    "1s": 1_000,
    "1m": 60_000,
    "3m": 180_000,
    "5m": 300_000,
    "15m": 900_000,
    "30m": 1_800_000,
    "1h": 3_600_000,
    "2h": 7_200_000,
    "4h": 14_400_000,
    "6h": 21_600_000,
    "8h": 28_800_000,
    "12h": 43_200_000,
    "1d": DAY_MS,
    "1w": WEEK_MS,
}


@dataclass(slots=True)
class Candle:
    """One candle; amounts are integers of the symbol's scales (quote: the sum of both)."""

    open_ms: int
    open: int
    high: int
    low: int
    close: int
    first_id: int
    last_id: int
    first_trade_id: int
    last_trade_id: int
    volume: int = 0
    quote_volume: int = 0
    taker_buy_volume: int = 0
    taker_buy_quote_volume: int = 0
    trade_count: int = 0

    def add(self, row: Row) -> None:
        """Take in the next row."""
        self.high = max(self.high, row.price)
        self.low = min(self.low, row.price)
        self.close = row.price
        if self.first_id < 0:  # it was empty
            self.first_id, self.first_trade_id = row.id, row.first
        self.last_id = row.id
        self.last_trade_id = row.last
        self.volume += row.qty
        self.quote_volume += row.price * row.qty
        if row.side > 0:
            self.taker_buy_volume += row.qty
            self.taker_buy_quote_volume += row.price * row.qty
        self.trade_count += row.last - row.first + 1


def open_time(ts_ms: int, interval_ms: int) -> int:
    """When the candle that holds ``ts_ms`` opens."""
    anchor_ms = MONDAY_MS if interval_ms == WEEK_MS else 0
    return ts_ms - (ts_ms - anchor_ms) % interval_ms


def begin(row: Row, interval_ms: int) -> Candle:
    """A candle of one row."""
    price = row.price
    opened = open_time(row.ts_ms, interval_ms)
    candle = Candle(opened, price, price, price, price, row.id, row.id, row.first, row.last)
    candle.add(row)
    return candle


def empty(open_ms: int, price: int) -> Candle:
    """The venue's candle of a time without trades: the previous close, and nothing else."""
    return Candle(open_ms, price, price, price, price, -1, -1, -1, -1)


def fold(rows: Iterable[Row], interval_ms: int) -> list[Candle]:
    """Candles of rows that come in the order of their ids."""
    candles: list[Candle] = []
    for row in rows:
        if candles and open_time(row.ts_ms, interval_ms) == candles[-1].open_ms:
            candles[-1].add(row)
        else:
            candles.append(begin(row, interval_ms))
    return candles


def series(candles: Iterable[Candle], opens_ms: range, close_before: int | None) -> list[Candle]:
    """A candle for every open time, the venue's empty ones where nothing traded.

    Open times before the first trade of all have no candle.
    """
    by_open = {candle.open_ms: candle for candle in candles}
    close, filled = close_before, []
    for open_ms in opens_ms:
        candle = by_open.get(open_ms)
        if candle is None:
            if close is None:
                continue
            candle = empty(open_ms, close)
        filled.append(candle)
        close = candle.close
    return filled
