"""What one symbol's candles do: closing, correcting, proving, rescaling."""

import pytest
from folding import BASE_MS, END_OF_TIME_MS, GRACE_MS, MINUTE_MS, Fold, run, trades

from processors.engine import ids
from processors.engine.symbol import CORRECTION_MS
from schemas.trades import Flag

# -- closing


def test_the_watermark_closes_a_candle_only_after_the_grace() -> None:
    fold = Fold(1_000)
    fold.take(trades(*run(1, 100, 999)))
    fold.take(trades(*run(3, 1_000 + GRACE_MS - 1)))
    assert fold.klines() == []
    last = fold.take(trades(*run(4, 1_000 + GRACE_MS)))
    (candle,) = fold.klines()
    assert (candle.timestamp, candle.closed, candle.last_id) == (BASE_MS, True, 2)
    assert candle.rev == last - 1, "a trade beyond the end changed its proof, the next one did not"


def test_the_clock_closes_what_no_trade_closes_and_a_trade_reopens_nothing() -> None:
    fold = Fold(1_000)
    fold.take(trades(*run(1, 100)), recv_ms=BASE_MS + 100)
    fold.close_quiet(1_000 + GRACE_MS - 1)
    assert fold.klines() == []
    fold.close_quiet(1_000 + GRACE_MS)
    (candle,) = fold.klines()
    assert (candle.rev, candle.closed, candle.cause, candle.quality) == (0, True, "live", "assumed")
    fold.take(trades(*run(2, 900)))
    fold.close_quiet(1_000 + GRACE_MS)
    (again,) = fold.klines()
    assert (again.rev, again.closed, again.last_id) == (1, True, 2)


def test_without_the_waiter_only_trades_close() -> None:
    fold = Fold(1_000, closes_quiet=False)
    fold.take(trades(*run(1, 100)))
    assert fold.finish() == []


def test_a_late_trade_corrects_a_closed_candle_with_a_higher_revision() -> None:
    fold = Fold(1_000)
    fold.take(trades(*run(1, 500, 2_500)))
    assert fold.closed()[0].trade_count == 1
    rev = fold.take(trades((3, 700, 999, 7, -1)))
    fold.close_quiet(2_000)
    candle = fold.closed()[0]
    assert (candle.rev, candle.cause, candle.closed) == (rev, "late", True)
    assert (candle.high, candle.close, candle.volume, candle.trade_count) == (999, 999, 8, 2)


def test_a_late_trade_may_open_a_candle_in_between() -> None:
    fold = Fold(1_000)
    fold.take(trades(*run(1, 500, 4_500)))
    fold.klines()
    fold.take(trades((3, 2_500, 5, 1, 1)))
    candle = fold.closed()[2_000]
    assert (candle.open, candle.cause, candle.trade_count) == (5, "late", 1)


def test_what_is_too_late_is_asked_for_and_changes_no_candle() -> None:
    fold = Fold(1_000, MINUTE_MS)
    fold.take(trades(*run(1, 500, 1_000 + CORRECTION_MS)))
    fold.outputs()
    rev = fold.take(trades((3, 700, 999, 7, -1), (4, 800, 5, 1, 1)))
    due = fold.outputs()
    assert due["klines"] == []
    (request,) = due["recompute"]
    assert (request.from_ms, request.to_ms) == (BASE_MS + 700, BASE_MS + 800)
    assert request.rev == rev
    minute = {k.interval: k for k in fold.finish()}[MINUTE_MS]
    assert (minute.high, minute.trade_count) == (999, 4), "the minute is still here"


def test_a_trade_just_in_time_is_corrected_here() -> None:
    fold = Fold(1_000)
    fold.take(trades(*run(1, 500, 999 + CORRECTION_MS)))
    fold.klines()
    fold.take(trades((3, 700, 999, 7, -1)))
    fold.close_quiet(1_000 + CORRECTION_MS)
    assert fold.closed()[0].trade_count == 2
    assert fold.recompute() == []


def test_open_and_close_are_told_by_time_and_id_not_by_arrival() -> None:
    fold = Fold(1_000)
    fold.take(
        trades((5, 500, 50, 1, 1), (4, 500, 40, 1, 1), (6, 400, 60, 1, 1), (7, 500, 70, 1, 1))
    )
    (candle,) = fold.finish()
    assert (candle.open, candle.close, candle.first_id, candle.last_id) == (60, 70, 6, 7)


# -- scales


def test_scales_grow_on_the_way_and_every_digit_stays() -> None:
    fold = Fold(1_000, MINUTE_MS)
    fold.take(trades((1, 0, 5, 3, 1)))
    fold.take(trades((2, 100, 525, 31, -1), price_scale=2, qty_scale=1))
    fold.take(trades((3, 200, 53, 7, 1), price_scale=1))
    for candle in fold.finish():
        assert str(candle.open) == "5.00"
        assert str(candle.high) == "5.30"
        assert str(candle.low) == "5.00"
        assert str(candle.volume) == "13.1"
        assert str(candle.quote_volume) == "68.375"
        assert str(candle.taker_buy_volume) == "10.0"


def test_a_closed_candle_that_was_not_yet_sent_grows_with_the_scales() -> None:
    fold = Fold(1_000)
    fold.take(trades((1, 0, 5, 3, 1), (2, 1_000 + CORRECTION_MS, 5, 1, 1)))
    fold.take(trades((3, 1_001 + CORRECTION_MS, 500, 1, 1), price_scale=2))
    assert fold.closed()[0].open == 5


# -- ids and proof


def test_a_trade_of_no_market_takes_an_id_and_moves_no_candle() -> None:
    fold = Fold(1_000)
    fold.take(trades(*run(1, 100)))
    fold.take(trades((2, 99_000, 1, 999, 1), flags=Flag.NON_MARKET))
    fold.take(trades(*run(3, 200), (4, 300, 1, 9, 1), flags=[0, Flag.NON_MARKET]))
    (candle,) = fold.finish()
    assert (candle.volume, candle.last_id, candle.low) == (2, 3, 101)
    assert fold.gaps() == []


def test_a_stream_begins_inside_its_first_candles() -> None:
    fold = Fold(1_000, 5_000)
    fold.take(trades(*run(7, 100, 1_100, 5_100)))
    quality = {(k.interval, k.timestamp - BASE_MS): k.quality for k in fold.finish()}
    assert quality[1_000, 0] == quality[5_000, 0] == "gap"
    assert quality[1_000, 1_000] == "proven"
    assert quality[1_000, 5_000] == quality[5_000, 5_000] == "assumed"


def test_the_first_trade_of_a_symbol_has_nothing_before_it() -> None:
    fold = Fold(1_000)
    fold.take(trades(*run(1, 100, 2_000)))
    assert fold.closed()[0].quality == "proven"


def test_a_gap_is_named_in_the_candles_that_it_may_belong_to_until_it_is_filled() -> None:
    fold = Fold(1_000)
    fold.take(trades(*run(1, 100, 1_100)))
    found = fold.take(trades(*run(5, 1_900, 2_900)))
    due = fold.outputs()
    candles = {k.timestamp - BASE_MS: (k.quality, k.missing) for k in due["klines"]}
    assert candles == {0: ("proven", 0), 1_000: ("gap", 2)}
    (gap,) = due["gaps"]
    assert (gap.state, gap.first_id, gap.last_id, gap.missing) == ("found", 3, 4, 2)
    assert (gap.from_ms, gap.to_ms, gap.rev) == (BASE_MS + 1_100, BASE_MS + 1_900, found)

    fold.take(trades(*run(3, 1_200)), source="rest")
    due = fold.outputs()
    (gap,) = due["gaps"]
    assert (gap.state, gap.first_id, gap.last_id, gap.missing) == ("recovering", 3, 4, 1)
    ((candle),) = due["klines"]
    assert (candle.quality, candle.missing, candle.cause) == ("gap", 1, "rest")

    rev = fold.take(trades(*run(4, 1_300)), source="rest")
    due = fold.outputs()
    (gap,) = due["gaps"]
    assert (gap.state, gap.first_id, gap.last_id, gap.missing) == ("recovered", 4, 4, 0)
    (candle,) = due["klines"]
    assert (candle.quality, candle.missing, candle.rev) == ("proven", 0, rev)
    assert candle.trade_count == 4


def test_a_gap_recovered_in_one_record_is_told_once() -> None:
    fold = Fold(1_000)
    fold.take(trades(*run(1, 100)))
    fold.take(trades(*run(6, 200)))
    fold.take(trades((3, 120, 1, 1, 1), (2, 110, 1, 1, 1), (5, 150, 1, 1, 1), (4, 130, 1, 1, 1)))
    states = [(g.state, g.first_id, g.last_id, g.missing) for g in fold.gaps()]
    assert states == [("found", 2, 5, 4), ("recovered", 2, 5, 0)]


def test_a_gap_filled_too_late_is_asked_for() -> None:
    fold = Fold(1_000)
    fold.take(trades(*run(1, 100)))
    fold.take(trades(*run(3, 200)))
    fold.take(trades(*run(4, 60_000)))
    fold.outputs()
    rev = fold.take(trades(*run(2, 150)), source="rest")
    due = fold.outputs()
    assert due["klines"] == []
    (request,) = due["recompute"]
    assert request.rev == rev
    assert request.from_ms <= BASE_MS + 100
    assert request.to_ms >= BASE_MS + 200


def test_what_was_given_up_is_never_proven_again(monkeypatch) -> None:
    monkeypatch.setattr(ids, "MISSING_RANGES_MAX", 1)
    fold = Fold(MINUTE_MS)
    fold.take(trades(*run(1, 0)))
    fold.take(trades(*run(3, 1_000)))
    rev = fold.take(trades(*run(5, 2_000)))
    states = [(g.state, g.first_id, g.rev) for g in fold.gaps()]
    assert states[-1] == ("unrecoverable", 2, rev)
    fold.take(trades(*run(4, 1_500)), source="rest")
    fold.take(trades(*run(6, MINUTE_MS + 100)))
    candle = fold.closed(MINUTE_MS)[0]
    assert (candle.quality, candle.missing) == ("gap", 1)


def test_history_makes_the_first_candles_whole() -> None:
    fold = Fold(1_000)
    fold.take(trades(*run(3, 1_500, 2_500)))
    first = fold.closed()[1_000]
    assert first.quality == "gap"
    rev = fold.take(trades(*run(1, 1_100, 1_400)), source="rest")
    candle = fold.closed()[1_000]
    assert (candle.quality, candle.trade_count, candle.rev) == ("proven", 3, rev)


@pytest.mark.parametrize("again", [[1], [2], [1, 2, 3], [3, 1]])
def test_duplicates_are_counted_and_change_nothing(again) -> None:
    fold = Fold(1_000)
    fold.take(trades(*run(1, 100, 200, 300)))
    fold.take(trades(*(row for row in run(1, 100, 200, 300) if row[0] in again)))
    (candle,) = fold.finish()
    assert (candle.trade_count, candle.rev) == (3, 0)
    assert fold.engine.count_duplicates() == len(again)


def test_a_jump_and_a_recovered_trade_in_one_record_keep_what_was_in_time() -> None:
    """What is too late must not turn on the order within a record."""
    fold = Fold(1_000)
    fold.take(trades(*run(1, 100)))
    fold.take(trades(*run(3, 1_010)))
    rev = fold.take(trades(*run(4, 60_000), (2, 500, 9, 1, 1)))
    candle = fold.closed()[0]
    assert (candle.trade_count, candle.rev, candle.quality) == (2, rev, "proven")
    assert fold.recompute() == []


def test_a_candle_of_years_of_trades_ends_with_the_clock() -> None:
    fold = Fold(30 * 86_400_000)
    fold.take(trades(*run(1, 0)))
    fold.engine.close_quiet(END_OF_TIME_MS, {0})
    assert len(fold.klines()) == 1
