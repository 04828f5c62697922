"""Candles as the venue defines them."""

from simulator.candles import WEEK_MS, Candle, fold, open_time, series
from simulator.ledger import Row

ROWS = [
    Row(1, 59_999, 100, 5, 1, 10, 12),
    Row(2, 60_000, 90, 1, -1, 13, 13),
    Row(3, 60_000, 120, 2, 1, 15, 15),
    Row(4, 119_999, 110, 4, -1, 16, 18),
]


def test_a_candle_holds_its_rows_and_counts_trades_not_aggregates():
    first, second = fold(ROWS, 60_000)
    assert first == Candle(0, 100, 100, 100, 100, 1, 1, 10, 12, 5, 500, 5, 500, 3)
    assert second == Candle(
        60_000, 90, 120, 90, 110, 2, 4, 13, 18, 7, 90 + 240 + 440, 2, 240, 1 + 1 + 3
    )


def test_weeks_begin_on_monday():
    monday_ms = 1_680_480_000_000  # 2023-04-03
    assert open_time(monday_ms, WEEK_MS) == monday_ms
    assert open_time(monday_ms + WEEK_MS - 1, WEEK_MS) == monday_ms
    assert open_time(monday_ms - 1, WEEK_MS) == monday_ms - WEEK_MS


def test_times_without_trades_repeat_the_close():
    candles = fold([ROWS[0], ROWS[3]._replace(ts_ms=180_000)], 60_000)
    filled = series(candles, range(0, 300_000, 60_000), None)
    assert [c.open_ms for c in filled] == [0, 60_000, 120_000, 180_000, 240_000]
    assert [c.close for c in filled] == [100, 100, 100, 110, 110]
    assert [c.trade_count for c in filled] == [3, 0, 0, 3, 0]


def test_before_the_first_trade_there_is_no_candle():
    assert series([], range(0, 120_000, 60_000), None) == []
    assert [c.open for c in series([], range(0, 120_000, 60_000), 7)] == [7, 7]
