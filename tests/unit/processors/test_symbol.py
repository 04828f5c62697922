"""What one symbol's candles do: closing, correcting, proving, rescaling."""

import pytest
from folding import BASE_MS, END_OF_TIME_MS, GRACE_MS, MINUTE_MS, Fold, run, trades

from processors.engine.windows import CORRECTION_MS
from schemas.trades import Flag, SymbolTrades


def ranges(*rows: tuple[int, int, int], **changes: object) -> SymbolTrades:
    """Trades of (first id, last id, time), a unit each."""
    return trades(
        *((last, ms, 100 + last, 1, 1) for _, last, ms in rows),
        first=[first for first, _, _ in rows],
        last=[last for _, last, _ in rows],
        ids="range",
        **changes,
    )


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
    fold.engine.tick(END_OF_TIME_MS, {0})
    assert len(fold.klines()) == 1


# -- other rules of ids


def test_ranges_are_whole_when_each_begins_where_the_one_before_ended() -> None:
    fold = Fold(1_000)
    fold.take(ranges((1, 3, 100), (4, 4, 200)))
    fold.take(ranges((5, 9, 1_000)))
    fold.take(ranges((10, 10, 2_100)))
    counts = {at: (k.quality, k.trade_count, k.last_id) for at, k in fold.closed().items()}
    assert counts == {0: ("proven", 4, 4), 1_000: ("proven", 5, 9)}


def test_a_missing_range_is_counted_in_ids_and_shrinks_by_what_is_recovered() -> None:
    fold = Fold(1_000)
    fold.take(ranges((1, 3, 100)))
    fold.take(ranges((10, 12, 1_200)))
    (gap,) = fold.gaps()
    assert (gap.state, gap.first_id, gap.last_id, gap.missing) == ("found", 4, 9, 6)
    fold.take(ranges((3, 5, 150)), source="rest")  # half of it was seen: it cannot be divided
    assert fold.gaps() == []
    fold.take(ranges((4, 5, 150)), source="rest")
    (gap,) = fold.gaps()
    assert (gap.state, gap.missing) == ("recovering", 4)
    assert fold.engine.count_duplicates() == 1


@pytest.mark.parametrize("more", [0, 20])
def test_a_hole_inside_a_group_is_seen(more) -> None:
    fold = Fold(1_000)
    fold.take(ranges((1, 2, 100)))
    fold.take(ranges((3, 4, 100), (6, 7, 200), *((n, n, 300) for n in range(8, 8 + more))))
    (gap,) = fold.gaps()
    assert (gap.first_id, gap.last_id) == (5, 5)


@pytest.mark.parametrize("count", [1, 3, 20])
def test_a_whole_group_of_ranges_is_folded_like_its_trades_one_by_one(count) -> None:
    one, other = Fold(1_000, MINUTE_MS), Fold(1_000, MINUTE_MS)
    rows = [(n * 3 + 1, n * 3 + 3, n * 170) for n in range(count)]
    one.take(ranges(*rows))
    for row in rows:
        other.take(ranges(row))
    facts = [
        (k.timestamp, k.interval, k.volume, k.trade_count, k.open, k.close) for k in one.finish()
    ]
    assert facts == [
        (k.timestamp, k.interval, k.volume, k.trade_count, k.open, k.close) for k in other.finish()
    ]


@pytest.mark.parametrize("cut", [1, 2, 3, 4])
def test_without_an_order_of_ids_open_and_close_are_told_by_time_and_arrival(cut) -> None:
    rows = [(5, 500, 50, 1, 1), (3, 500, 30, 1, 1), (9, 500, 90, 1, 1), (4, 500, 40, 1, 1)]
    fold = Fold(1_000)
    for part in (rows[:cut], rows[cut:]):
        if part:
            fold.take(trades(*part, ids="unique"))
            fold.outputs(10_000 * cut)  # merges the second
    (candle,) = fold.finish()
    assert (candle.open, candle.close, candle.first_id, candle.last_id) == (50, 40, 5, 4)


@pytest.mark.parametrize("cut", [2, 5])
def test_a_late_trade_is_the_open_only_when_it_is_older(cut) -> None:
    rows = [(5, 500, 50, 1, 1), (7, 600, 70, 1, 1)]
    rows += [(1, 500, 10, 1, 1), (2, 600, 20, 1, 1), (3, 550, 5, 1, 1)]
    fold = Fold(1_000)
    for part in filter(None, (rows[:cut], rows[cut:])):
        fold.take(trades(*part, ids="unique"))
    (candle,) = fold.finish()
    assert (candle.open, candle.close, candle.low, candle.trade_count) == (50, 20, 5, 5)


def test_unique_ids_prove_nothing_and_a_quiet_candle_is_told_once() -> None:
    fold = Fold(1_000)
    fold.take(trades((8, 100, 1, 1, 1), (2, 1_100, 1, 1, 1), ids="unique"))
    fold.close_quiet(3_000)
    told = {k.timestamp - BASE_MS: (k.quality, k.missing) for k in fold.klines()}
    assert told == {0: ("gap", 0), 1_000: ("assumed", 0)}
    fold.take(trades((5, 9_000, 1, 1, 1), ids="unique"))
    due = fold.outputs(10_000)
    assert due["klines-live"]
    assert due["klines"] == [], "a trade beyond its end proves nothing here"
    assert due["gaps"] == []


@pytest.mark.parametrize("uid", [["a", "b"], None])
def test_what_a_venue_sends_again_counts_once(uid) -> None:
    fold = Fold(1_000)
    one = trades((1, 100, 5, 1, 1), (2, 200, 5, 1, 1), ids="unique", uid=uid)
    fold.take(one)
    fold.take(one)
    more = trades((2, 200, 5, 1, 1), (1, 300, 5, 1, 1), ids="unique", uid=uid and ["b", "c"])
    fold.take(more)
    (candle,) = fold.finish()
    assert candle.trade_count == (3 if uid else 2)
    assert fold.engine.count_duplicates() == (3 if uid else 4)


def test_a_trade_of_no_market_moves_no_candle_whatever_the_rule() -> None:
    fold = Fold(1_000)
    fold.take(trades((1, 100, 5, 1, 1), ids="unique"))
    flags = [Flag.NON_MARKET, Flag.RPI]
    fold.take(trades((2, 200, 9, 1, 1), (3, 300, 6, 1, 1), ids="unique", flags=flags))
    (candle,) = fold.finish()
    assert (candle.high, candle.trade_count) == (6, 2)


def test_a_venue_that_changes_its_rule_of_ids_begins_again() -> None:
    fold = Fold(1_000, MINUTE_MS)
    fold.take(trades(*run(1, 100)))
    fold.take(trades(*run(5, 1_100)))
    before = fold.outputs(1)
    rev = fold.take(trades((900, 1_200, 7, 1, 1), (4, 2_300, 8, 1, 1), ids="unique"))
    due = fold.outputs(1_000)
    assert [(g.state, g.first_id) for g in due["gaps"]] == [("unrecoverable", 2)]
    assert {(k.quality, k.rev) for k in due["klines-live"]} == {("gap", rev), ("assumed", rev)}
    assert before["klines-live"] != due["klines-live"]
    closed = {k.timestamp - BASE_MS: (k.quality, k.rev) for k in due["klines"]}
    assert closed == {0: ("gap", rev), 1_000: ("gap", rev)}
