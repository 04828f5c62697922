"""One symbol's book: live and right, or void and asking, once."""

import zlib

import pytest

from ingest.books import BookKeeper
from ingest.books.keeper import (
    BACKOFF_MAX_MS,
    CROSSED_MS,
    FIRST_SNAPSHOT_MS,
    GONE_BACK_MS,
    NOTHING,
    PATIENCE_MS,
    QUEUED_UPDATES_MAX,
    SETTLED_MS,
    WAITING_UPDATES_MAX,
)
from ingest.exchanges.base import BookRow, BookRule, Chain, Request


def by_range(last_id: int, row: BookRow, is_first: bool) -> Chain:
    if row.last_id <= last_id:
        return Chain.OLD
    return Chain.NEXT if row.first_id <= last_id + 1 else Chain.HOLE


def signature(bids, asks) -> int:
    return zlib.crc32(repr((list(bids)[:3], list(asks)[:3])).encode())


REST = BookRule(
    chain=by_range,
    snapshot=lambda s: Request(path=f"/depth?symbol={s}", weight=5),
    read_snapshot=lambda body, symbol, ms: snap(int(body)),
)
STREAM = BookRule(chain=by_range)
SIGNED = BookRule(chain=by_range, checksum=signature)


def snap(id_: int, bids=(("100", "1"),), asks=(("101", "1"),), **more) -> BookRow:
    return BookRow("S", id_, True, id_, id_, None, list(bids), list(asks), **more)


def delta(first: int, last: int | None = None, bids=(), asks=(), **more) -> BookRow:
    last = first if last is None else last
    return BookRow("S", last, False, first, last, None, list(bids), list(asks), **more)


def live(rule: BookRule = REST, now_ms: int = 0) -> BookKeeper:
    keeper = BookKeeper("S", rule)
    if rule.snapshot is None:
        keeper.take(snap(10), now_ms)
    else:
        keeper.take(delta(10), now_ms)
        keeper.snapshot(snap(10), now_ms)
    assert keeper.is_live
    return keeper


# -- the normal life


def test_a_rest_snapshot_is_asked_for_by_the_first_update_and_once() -> None:
    keeper = BookKeeper("S", REST)
    assert keeper.take(delta(9), 0).need == "snapshot"
    for i in range(10, 60):
        assert keeper.take(delta(i), 50) == NOTHING


def test_what_waited_is_applied_where_it_continues_the_snapshot() -> None:
    keeper = BookKeeper("S", REST)
    for first, last in ((1, 5), (6, 9), (10, 12), (13, 13)):
        keeper.take(delta(first, last, bids=[(str(first), "1")]), 0)
    out = keeper.snapshot(snap(9), 70)
    assert [(u.type, u.first_id, u.last_id, u.prev_id) for u in out.updates] == [
        ("snapshot", 9, 9, None),
        ("delta", 10, 12, 9),
        ("delta", 13, 13, 12),
    ]
    assert (out.gaps, out.need) == ((), None)
    assert sorted(keeper.book.bids.levels) == [10, 13, 100]


def test_a_snapshot_younger_than_all_that_waited_drops_it() -> None:
    keeper = BookKeeper("S", REST)
    keeper.take(delta(1, 5, bids=[("77", "1")]), 0)
    assert [u.last_id for u in keeper.snapshot(snap(8), 1).updates] == [8]
    assert keeper.take(delta(6, 7, bids=[("78", "1")]), 2) == NOTHING
    (update,) = keeper.take(delta(8, 9, bids=[("79", "1")]), 3).updates
    assert (update.prev_id, update.bids) == (8, [(79, 1)])
    assert 77 not in keeper.book.bids.levels


def test_a_delta_is_published_as_integers_with_the_id_before_it() -> None:
    keeper = live()
    (update,) = keeper.take(delta(11, 14, [("99.5", "0.25")], [("101", "0")]), 5).updates
    assert update.type == "snapshot"  # the scales grew
    (update,) = keeper.take(delta(15, 15, [("99.5", "0")], [("103", "7.5")]), 5).updates
    assert (update.type, update.prev_id, update.first_id, update.ts) == ("delta", 14, 15, 15)
    assert (update.price_scale, update.qty_scale) == (1, 2)
    assert (update.bids, update.asks) == ([(995, 0)], [(1030, 750)])


def test_a_stream_snapshot_needs_no_asking_and_replaces_the_book() -> None:
    keeper = live(STREAM)
    out = keeper.take(snap(50, bids=[("7", "1")], asks=[]), 5)
    assert [u.type for u in out.updates] == ["snapshot"]
    assert keeper.book.bids.all() == [(7, 1)]
    assert keeper.take(delta(51), 6).updates[0].prev_id == 50


def test_a_repeated_update_is_ignored() -> None:
    keeper = live()
    keeper.take(delta(11, bids=[("5", "1")]), 1)
    assert keeper.take(delta(11, bids=[("5", "9")]), 2) == NOTHING
    assert keeper.book.bids.levels[5] == 1


def test_a_snapshot_that_nobody_waits_for_is_ignored() -> None:
    keeper = live()
    keeper.take(delta(11), 1)
    assert keeper.snapshot(snap(99), 2) == NOTHING
    assert keeper.take(delta(12), 3).updates


def test_a_successor_takes_the_book_over_with_its_snapshot() -> None:
    keeper = BookKeeper("S", STREAM)
    keeper.take(snap(10), 0, "old")
    assert keeper.take(delta(11, 12), 1, "old").updates
    assert keeper.take(delta(11), 2, "new") == NOTHING
    assert keeper.take(snap(11), 3, "new").updates
    assert keeper.take(delta(13, 14), 4, "old") == NOTHING
    assert keeper.take(delta(12, 13), 5, "new").updates[0].prev_id == 11
    assert keeper.is_live


def test_after_a_rest_snapshot_every_connection_may_continue_the_book() -> None:
    keeper = live()
    assert keeper.take(delta(11, 13), 1, "old").updates
    assert keeper.take(delta(12, 14), 2, "new").updates
    assert keeper.take(delta(14, 14), 3, "old") == NOTHING
    assert keeper.take(delta(15, 15), 4, "old").updates


# -- holes


@pytest.mark.parametrize(("rule", "need"), [(REST, "snapshot"), (STREAM, "subscription")])
def test_a_hole_is_told_once_publishes_nothing_and_asks_once(rule, need) -> None:
    keeper = live(rule)
    keeper.take(delta(11), 900)
    out = keeper.take(delta(13, bids=[("1", "1")]), 1_000)
    assert out.updates == ()
    assert out.need == need
    (gap,) = out.gaps
    assert (gap.symbol, gap.kind, gap.reason, gap.state) == ("S", "books", "hole", "found")
    assert (gap.from_ms, gap.to_ms) == (900, 0)  # the last time that it was right
    assert "13..13" in gap.detail
    for i in range(14, 80):
        assert keeper.take(delta(i), 1_001) == NOTHING
    answer = keeper.snapshot if rule is REST else keeper.take
    out = answer(snap(79), 1_250)
    (gap,) = out.gaps
    assert (gap.reason, gap.state, gap.from_ms, gap.to_ms) == ("hole", "recovered", 900, 1_250)
    assert out.updates[0].type == "snapshot"


def test_the_update_behind_a_hole_waits_for_the_snapshot() -> None:
    keeper = live()
    keeper.take(delta(13, bids=[("1", "1")]), 10)
    keeper.take(delta(14, bids=[("2", "1")]), 20)
    out = keeper.snapshot(snap(12), 30)
    assert [u.last_id for u in out.updates] == [12, 13, 14]


def test_a_snapshot_older_than_the_hole_is_asked_for_again_after_a_second() -> None:
    keeper = live()
    keeper.take(delta(13), 0)
    out = keeper.snapshot(snap(11), 500)
    assert (out, keeper.is_live) == (NOTHING, False)
    assert keeper.due(1_499) == NOTHING
    assert keeper.due(1_500).need == "snapshot"
    assert keeper.due(1_500) == NOTHING
    assert [u.last_id for u in keeper.snapshot(snap(12), 1_700).updates] == [12, 13]


def test_a_second_hole_among_what_waits_keeps_what_is_behind_it() -> None:
    keeper = live()
    keeper.take(delta(13), 0)
    keeper.take(delta(16), 0)
    assert keeper.snapshot(snap(12), 100).updates == ()
    assert not keeper.is_live
    assert [u.last_id for u in keeper.snapshot(snap(15), 2_000).updates] == [15, 16]


def test_ids_that_only_go_back_are_a_hole_after_a_while() -> None:
    keeper = live(STREAM)
    keeper.take(delta(11), 0)
    assert keeper.take(delta(3), 100) == NOTHING
    assert keeper.take(delta(4), 100 + GONE_BACK_MS) == NOTHING
    out = keeper.take(delta(5), 101 + GONE_BACK_MS)
    assert (out.need, out.gaps[0].reason) == ("subscription", "hole")


def test_a_book_whose_own_connection_fell_silent_is_void_while_another_one_speaks() -> None:
    keeper = BookKeeper("S", STREAM)
    keeper.take(snap(10), 0, "a")
    for i in range(11, 14):
        assert keeper.take(delta(i), i * GONE_BACK_MS, "b") == NOTHING
        assert keeper.take(delta(i), i * GONE_BACK_MS + 50, "a").updates
    assert keeper.take(delta(14), 50_000, "b") == NOTHING
    assert keeper.take(delta(15), 50_001 + GONE_BACK_MS, "b").need == "subscription"


def test_late_repeats_between_new_updates_are_no_hole() -> None:
    keeper = live()
    for i in range(11, 40):
        assert keeper.take(delta(i), i * GONE_BACK_MS).updates
        assert keeper.take(delta(i), i * GONE_BACK_MS + 1) == NOTHING


@pytest.mark.parametrize("is_snapshot", [True, False])
def test_an_unreadable_level_voids_the_book(is_snapshot: bool) -> None:
    keeper = live(STREAM)
    bad = [("1", "9" * 40)]
    row = snap(11, bids=bad) if is_snapshot else delta(11, bids=bad)
    out = keeper.take(row, 7)
    assert (out.updates, out.need, out.gaps[0].reason) == ((), "subscription", "hole")
    assert "unreadable" in out.gaps[0].detail


# -- asking again


def asks(keeper: BookKeeper, until_ms: int, step_ms: int = 100) -> list[int]:
    return [ms for ms in range(0, until_ms, step_ms) if keeper.due(ms).need]


def test_a_snapshot_that_never_comes_is_asked_for_with_a_growing_pause() -> None:
    keeper = live(STREAM)
    keeper.take(delta(13), 0)
    times = asks(keeper, 200_000)
    pauses = [b - a for a, b in zip([0, *times], times, strict=False)]
    assert pauses[:6] == [PATIENCE_MS, PATIENCE_MS, PATIENCE_MS, 8_000, 16_000, BACKOFF_MAX_MS]
    assert set(pauses[5:]) == {BACKOFF_MAX_MS}


def test_a_failing_venue_is_asked_with_a_pause_that_doubles() -> None:
    keeper = BookKeeper("S", REST)
    now_ms, pauses = 0, []
    assert keeper.take(delta(1), 0).need
    for _ in range(8):
        keeper.failed(now_ms)
        failed_ms = now_ms
        while not keeper.due(now_ms).need:
            now_ms += 100
        pauses.append(now_ms - failed_ms)
    assert pauses == [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]


def test_a_hole_right_after_a_recovery_waits_for_its_turn() -> None:
    keeper = live(STREAM, 0)
    assert keeper.take(delta(13), 10).need
    keeper.take(snap(13), 200)
    assert keeper.take(delta(20), 300).need is None  # asked 290 ms ago
    assert keeper.due(1_009).need is None
    assert keeper.due(1_010).need


def test_a_book_that_stood_for_long_is_asked_for_at_once() -> None:
    keeper = live(STREAM)
    keeper.take(delta(13), 0)
    asks(keeper, 100_000)
    keeper.take(snap(13), 100_000)
    assert keeper.take(delta(20), 100_000 + SETTLED_MS).need == "subscription"


def test_a_clock_set_back_delays_no_asking_for_long() -> None:
    keeper = live(STREAM, 10**12)
    keeper.take(delta(13), 10**12)
    assert keeper.due(10**12 - 3_600_000).need == "subscription"


def test_a_subscription_without_a_snapshot_is_renewed_and_told() -> None:
    keeper = BookKeeper("S", STREAM)
    assert keeper.take(delta(1), 0) == NOTHING
    assert keeper.due(PATIENCE_MS - 1) == NOTHING
    assert keeper.due(PATIENCE_MS).need == "subscription"
    gaps = [g for ms in range(0, 60_000, 500) for g in keeper.due(ms).gaps]
    assert [(g.reason, g.state, g.from_ms) for g in gaps] == [("hole", "found", 0)]
    (recovered,) = keeper.take(snap(5), 60_000).gaps
    assert (recovered.state, recovered.to_ms) == ("recovered", 60_000)


def test_a_first_snapshot_in_time_is_no_gap() -> None:
    keeper = BookKeeper("S", REST)
    keeper.take(delta(1), 0)
    assert not keeper.due(FIRST_SNAPSHOT_MS - 1).gaps
    assert keeper.snapshot(snap(5), FIRST_SNAPSHOT_MS - 1).gaps == ()


def test_after_a_disconnect_the_book_is_void_without_a_gap_of_its_own() -> None:
    keeper = live()
    keeper.take(delta(13), 5)
    keeper.drop()
    assert not keeper.is_live
    assert keeper.due(10**6) == NOTHING
    assert keeper.take(delta(100), 10**6).need == "snapshot"
    assert [u.last_id for u in keeper.snapshot(snap(99), 10**6).updates] == [99, 100]


# -- what waits is bounded


def test_while_a_request_waits_for_its_turn_few_updates_are_kept() -> None:
    keeper = BookKeeper("S", REST)
    for i in range(1_000):
        keeper.take(delta(i), 0)
    assert len(keeper._waiting) == QUEUED_UPDATES_MAX
    keeper.fetching()
    for i in range(1_000, 20_000):
        keeper.take(delta(i), 0)
    assert len(keeper._waiting) == WAITING_UPDATES_MAX
    assert keeper._waiting[-1].last_id == 19_999


def test_an_overflow_makes_the_snapshot_too_old_and_it_is_asked_for_again() -> None:
    keeper = BookKeeper("S", REST)
    keeper.fetching()
    for i in range(10, 10 + WAITING_UPDATES_MAX + 5):
        keeper.take(delta(i), 0)
    assert keeper.snapshot(snap(10), 100) == NOTHING
    assert keeper.due(1_100).need == "snapshot"


# -- crossed and signed books


def test_a_book_may_cross_for_a_moment() -> None:
    keeper = live()
    assert keeper.take(delta(11, bids=[("102", "1")]), 0).updates
    assert keeper.due(CROSSED_MS - 1) == NOTHING
    assert keeper.take(delta(12, bids=[("102", "0")]), CROSSED_MS - 1).updates
    assert keeper.due(10 * CROSSED_MS) == NOTHING
    assert keeper.is_live


@pytest.mark.parametrize("by", ["update", "time"])
def test_a_book_that_stays_crossed_is_given_up(by: str) -> None:
    keeper = live()
    keeper.take(delta(11, bids=[("102", "1")]), 50)
    now_ms = 50 + CROSSED_MS
    out = keeper.due(now_ms) if by == "time" else keeper.take(delta(12), now_ms)
    assert (out.updates, out.need) == ((), "snapshot")
    (gap,) = out.gaps
    assert (gap.reason, gap.from_ms) == ("crossed", 50)
    assert not keeper.is_live


def test_a_one_sided_book_is_never_crossed() -> None:
    keeper = live()
    keeper.take(delta(11, asks=[("101", "0")], bids=[("999", "1")]), 0)
    assert keeper.due(10**6) == NOTHING


def signed(first: int, keeper: BookKeeper, bids) -> BookRow:
    twin = keeper.book.copy()
    twin.change(bids, [])
    return delta(first, bids=bids, checksum=signature(*twin.top_texts(25)))


def test_a_signed_book_is_compared_after_every_update() -> None:
    keeper = BookKeeper("S", SIGNED)
    whole = signature([("100", "1")], [("101", "1")])
    assert keeper.take(snap(10, checksum=whole), 0).updates
    assert keeper.take(signed(11, keeper, [("99.0", "2.50")]), 1).updates
    out = keeper.take(delta(12, bids=[("98", "1")], checksum=1), 700)
    assert (out.updates, out.need) == ((), "subscription")
    assert (out.gaps[0].reason, out.gaps[0].from_ms) == ("checksum", 1)
    assert keeper.take(snap(13, checksum=1), 800).updates == ()  # nor is a wrong snapshot taken
    (gap,) = keeper.take(snap(13, checksum=whole), 900).gaps
    assert gap.state == "recovered"


def test_an_update_fits_where_it_continues_and_signs_the_book() -> None:
    keeper = live(SIGNED)
    right = signed(11, keeper, [("99", "1")])
    assert keeper.fits(right)
    assert not keeper.fits(delta(11, bids=[("99", "2")], checksum=right.checksum))
    assert not keeper.fits(delta(12))
    assert not keeper.fits(delta(11, bids=[("x", "1")], checksum=1))
    twin = keeper.copy()
    twin.take(right, 1)
    assert (keeper.book.bids.levels, twin.book.bids.levels) == ({100: 1}, {100: 1, 99: 1})
