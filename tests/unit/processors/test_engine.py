"""The engine: partitions, throttled updates, the clock's skew, and big outputs."""

import pytest
from folding import BASE_MS, GRACE_MS, LIVE_EVERY_MS, Fold, run, trades

from processors.engine.engine import LAGGING_LIVE_FACTOR, Engine
from processors.engine.feed import RECENT_MS, SKEW_MS_MAX, SKEW_STEP_MS_MAX, Feed
from processors.engine.publish import ROWS_MAX
from schemas.intervals import Interval
from schemas.trades import TradeBatch


def live(fold: Fold, now_ms: int, caught_up=(0,)) -> int:
    names = [topic.name for topic, _, _ in fold.engine.outputs(now_ms, set(caught_up))]
    return names.count("md.klines-live.v1")


def test_open_candles_are_sent_at_most_so_often() -> None:
    fold = Fold(60_000)
    fold.take(trades(*run(1, 0)))
    assert live(fold, 1_000) == 1
    assert live(fold, 1_000) == 0, "nothing new"
    fold.take(trades(*run(2, 1)))
    assert live(fold, 1_000 + LIVE_EVERY_MS - 1) == 0
    assert live(fold, 1_000 + LIVE_EVERY_MS) == 1


def test_while_lagging_open_candles_are_sent_more_seldom() -> None:
    fold = Fold(60_000)
    fold.take(trades(*run(1, 0)))
    assert live(fold, 0, caught_up=()) == 1
    fold.take(trades(*run(2, 1)))
    assert live(fold, LIVE_EVERY_MS * LAGGING_LIVE_FACTOR - 1, caught_up=()) == 0
    assert live(fold, LIVE_EVERY_MS * LAGGING_LIVE_FACTOR, caught_up=()) == 1


def test_a_closed_candle_waits_for_nothing() -> None:
    fold = Fold(1_000)
    fold.take(trades(*run(1, 0)))
    live(fold, 0)
    fold.take(trades(*run(2, 5_000)))
    assert len(fold.klines()) == 1


def test_only_partitions_that_are_caught_up_close_by_the_clock() -> None:
    engine = Engine((Interval(1_000),), grace_ms=0, live_every_ms=250, closes_quiet=True)
    for partition in (0, 1):
        group = trades(*run(1, 0), symbol=f"S{partition}")
        batch = TradeBatch("binance", "spot", "live", BASE_MS * 1_000_000, [group])
        engine.apply_batch(partition, 0, batch)
    engine.tick(2**50, {1})
    closed = [key for topic, key, _ in engine.outputs(0, {1}) if topic.name == "md.klines.v1"]
    assert closed == [b"binance:spot:S1"]


def test_where_records_keep_coming_they_are_the_clock() -> None:
    """A busy partition is never read to its end, and its quiet symbols close all the same."""
    fold = Fold(1_000)
    fold.take(trades(*run(1, 100)), recv_ms=BASE_MS + 100)
    behind_ms = BASE_MS + 1_000 + GRACE_MS
    busy = trades(*run(1, 1_079), symbol="busy")
    fold.take(busy, recv_ms=behind_ms - 1)
    fold.engine.tick(behind_ms + 50, set())
    assert fold.klines() == []
    fold.take(trades(*run(2, 1_080), symbol="busy"), recv_ms=behind_ms)
    fold.engine.tick(behind_ms + 50, set())
    assert [k.symbol for k in fold.klines()] == ["S"]


def test_records_of_long_ago_are_no_clock_for_more_follow_at_once() -> None:
    fold = Fold(1_000)
    fold.take(trades(*run(1, 100)), recv_ms=BASE_MS + 100)
    fold.take(trades(*run(1, 5_000), symbol="busy"), recv_ms=BASE_MS + 5_000)
    fold.engine.tick(BASE_MS + 5_000 + RECENT_MS + 1, set())
    assert fold.klines() == []
    fold.engine.tick(BASE_MS + 5_000 + RECENT_MS, set())
    assert [k.symbol for k in fold.klines()] == ["S"]


def test_history_told_on_subscribing_and_fetched_trades_are_no_clock() -> None:
    fold = Fold(1_000)
    fold.take(trades(*run(1, 100)), recv_ms=BASE_MS + 100)
    late_ms = BASE_MS + 60_000
    fold.take(trades(*run(1, 5_000), symbol="old"), recv_ms=late_ms)
    fold.take(trades(*run(1, 59_000), symbol="rest"), recv_ms=late_ms, source="rest")
    fold.engine.tick(late_ms, set())
    assert fold.klines() == []


def test_a_clock_that_differs_from_ours_moves_the_close() -> None:
    fold = Fold(1_000)
    fold.take(trades(*run(1, 100)), recv_ms=BASE_MS + 400)  # 300 ms on the way
    fold.close_quiet(1_000 + GRACE_MS + 299)
    assert fold.klines() == []
    fold.close_quiet(1_000 + GRACE_MS + 300)
    assert len(fold.klines()) == 1


@pytest.mark.parametrize("delay_ms", [10**9, -(10**9)])
def test_the_skew_is_bounded_whatever_a_venue_says(delay_ms) -> None:
    feed = Feed()
    feed.delayed(delay_ms)
    assert abs(feed.skew_ms) == SKEW_MS_MAX
    feed = Feed()
    feed.delayed(20)
    for _ in range(16):
        feed.delayed(delay_ms)
    assert abs(feed.skew_ms - 20) <= SKEW_STEP_MS_MAX


def test_the_skew_follows_a_change_and_forgets_an_outlier() -> None:
    feed = Feed()
    feed.delayed(20)
    feed.delayed(5_000)
    assert feed.skew_ms <= 20 + SKEW_STEP_MS_MAX / 16
    for _ in range(200):
        feed.delayed(60)
    assert feed.skew_ms == pytest.approx(60, abs=1)


def test_fetched_trades_teach_no_skew() -> None:
    fold = Fold(1_000)
    fold.take(trades(*run(1, 100)), source="rest", recv_ms=BASE_MS + 4_000)
    fold.close_quiet(1_000 + GRACE_MS)
    assert len(fold.klines()) == 1


def test_a_partition_that_left_takes_everything_with_it() -> None:
    fold = Fold(1_000)
    fold.take(trades(*run(1, 0, 5_000)))
    fold.engine.drop(0)
    assert list(fold.engine.outputs(2**50, {0})) == []
    assert fold.engine.take_dirty() == []
    assert fold.finish() == []
    fold.engine.drop(0)


def test_restoring_replaces_what_was_there() -> None:
    fold = Fold(1_000)
    fold.take(trades(*run(1, 0)))
    fold.outputs()
    states = {key: value for _, key, value in fold.engine.take_dirty()}
    fold.take(trades(*run(2, 1), symbol="S"), trades(*run(1, 1), symbol="new"))
    fold.engine.restore(0, states)
    (candle,) = fold.finish()
    assert (candle.symbol, candle.trade_count) == ("S", 1)


def test_a_record_that_a_symbol_holds_already_is_skipped_symbol_by_symbol() -> None:
    fold = Fold(60_000)
    fold.take(trades(*run(1, 0), symbol="A"))
    fold.offset = 0
    fold.take(trades(*run(2, 1), symbol="A"), trades(*run(1, 1), symbol="B"))
    assert {c.symbol: c.trade_count for c in fold.finish()} == {"A": 1, "B": 1}


def test_trades_are_counted_once() -> None:
    fold = Fold(60_000)
    fold.take(trades(*run(1, 0, 1, 2)), trades(*run(1, 0), symbol="B"))
    assert fold.engine.take_trade_count() == 4
    assert fold.engine.take_trade_count() == 0


def test_the_same_symbol_of_two_exchanges_stays_apart() -> None:
    engine = Engine((Interval(60_000),), grace_ms=0, live_every_ms=250, closes_quiet=True)
    for offset, exchange in enumerate(("binance", "okx")):
        group = trades((1, 0, 5 + offset, 1, 1))
        batch = TradeBatch(exchange, "spot", "live", BASE_MS * 1_000_000, [group])
        engine.apply_batch(0, offset, batch)
    fold = Fold(engine=engine)
    assert sorted((int(c.open), c.rev) for c in fold.finish()) == [(5, 0), (6, 1)]


def test_many_candles_and_gaps_at_once_leave_in_records_that_any_broker_takes() -> None:
    fold = Fold(1_000)
    rows = [(3 * n, 2_000 * n, 1, 1, 1) for n in range(1, 2 * ROWS_MAX)]
    fold.take(trades(*rows))
    sizes = [len(value) for _, _, value in fold.engine.outputs(2**50, {0})]
    assert len(sizes) > 4
    assert max(sizes) < 900_000
    fold = Fold(1_000)
    fold.take(trades(*rows))
    due = fold.outputs()
    assert len(due["klines"]) == len(rows) - 1
    assert sum(gap.state == "found" for gap in due["gaps"]) == len(rows) - 1


def test_past_trades_told_on_subscribing_teach_no_skew() -> None:
    fold = Fold(1_000)
    fold.take(trades(*run(1, 100)), recv_ms=BASE_MS + 50_000)
    fold.close_quiet(1_000 + GRACE_MS)
    assert len(fold.klines()) == 1
