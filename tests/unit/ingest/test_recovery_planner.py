"""The plan of recovery: from where, how much at once, what first, and when nothing helps."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.recovery import planner, ranges
from ingest.recovery.capabilities import CAPABILITIES, DAY_MS, Capability
from ingest.recovery.planner import Reach, Step, after_step, choose, exhausted, next_step
from schemas.recovery import Recovery

DAY = 20_000 * DAY_MS
HOUR_MS = 3_600_000
LINEAR = CAPABILITIES["binance", "linear"]


def reach(capability: Capability = LINEAR, *, archive: bool = True, pages_per_s: float = 0.5):
    return Reach(capability=capability, has_archive=archive, pages_per_s=pages_per_s)


def gap(first: int, last: int, from_ms: int = DAY, to_ms: int = 0, **more) -> Recovery:
    return Recovery(
        **{
            "exchange": "binance",
            "channel": "linear",
            "symbol": "BTCUSDT",
            "first_id": first,
            "last_id": last,
            "from_ms": from_ms,
            "to_ms": to_ms or from_ms + 1_000,
            "state": "open",
            "left": [(first, last)],
        }
        | more
    )


def span(from_ms: int, to_ms: int, **more) -> Recovery:
    return gap(0, 0, from_ms, to_ms, left=[], cause="disconnected", **more)


def test_a_fresh_gap_is_asked_of_rest():
    choice = choose(gap(1, 500), reach(), DAY + HOUR_MS)
    assert choice.source == "rest"
    assert choice.deadline_ms == DAY + DAY_MS - planner.HORIZON_MARGIN_MS


def test_what_is_beyond_the_horizon_waits_for_its_file_and_not_a_moment_less():
    old = gap(1, 500)
    choice = choose(old, reach(), DAY + DAY_MS)
    assert choice.source == "archive"
    assert choice.not_before_ms == DAY + DAY_MS + (LINEAR.archive_lag_ms or 0)
    assert next_step([old], lambda _: reach(), "archive", choice.not_before_ms - 1) is None
    assert next_step([old], lambda _: reach(), "archive", choice.not_before_ms) is not None


def test_beyond_the_horizon_rest_is_asked_last_and_then_nothing_helps():
    old = gap(1, 500)
    assert choose(old, reach(archive=False), DAY + DAY_MS).source == "rest"
    assert choose(exhausted(old, "archive"), reach(), DAY + DAY_MS).source == "rest"
    assert choose(exhausted(old, "rest"), reach(archive=False), DAY + DAY_MS).source is None


def test_much_is_the_archives_where_rest_would_take_too_long_and_its_file_comes_in_time():
    spot = CAPABILITIES["binance", "spot"]
    many = gap(1, 10_000_000)
    assert choose(many, reach(spot), DAY + HOUR_MS).source == "archive"
    assert choose(gap(1, 10_000), reach(spot), DAY + HOUR_MS).source == "rest"


def test_much_is_asked_of_rest_where_its_horizon_comes_before_the_file():
    assert choose(gap(1, 10_000_000), reach(), DAY + HOUR_MS).source == "rest"


@pytest.mark.parametrize(("wanted", "source"), [("rest", "rest"), ("archive", "archive")])
def test_a_wanted_source_is_taken(wanted, source):
    assert choose(gap(1, 5), reach(), DAY + HOUR_MS, wanted).source == source


def test_the_gap_that_goes_out_of_reach_first_is_the_first():
    older, newer = gap(1, 5), gap(9_000, 9_005, DAY + HOUR_MS)
    step = next_step([newer, older], lambda _: reach(), "rest", DAY + 2 * HOUR_MS)
    assert step is not None
    assert list(step.gaps) == [older]


def test_near_gaps_are_fetched_together_and_far_ones_are_not():
    near, far = [gap(1, 5), gap(900, 950)], gap(90_000, 90_001)
    step = next_step([*near, far], lambda _: reach(), "rest", DAY + HOUR_MS)
    assert step is not None
    assert list(step.gaps) == near
    assert list(step.wanted) == [(1, 5), (900, 950)]


def test_gaps_of_other_symbols_never_share_a_step():
    other = msgspec.structs.replace(gap(2, 4), symbol="ETHUSDT")
    step = next_step([gap(1, 5), other], lambda _: reach(), "rest", DAY + HOUR_MS)
    assert step is not None
    assert len(step.gaps) == 1


def test_a_long_gap_is_cut_into_steps_that_end():
    left, steps = gap(1, 123_456), 0
    while left.state == "open" and steps < 100:
        step = next_step([left], lambda _: reach(), "rest", DAY + HOUR_MS)
        assert step is not None
        assert ranges.count(step.wanted) <= planner.STEP_PAGES_MAX * LINEAR.page_rows
        left = after_step(left, step, step.wanted)
        steps += 1
    assert left.state == "recovered"
    assert steps == 13


def test_what_a_source_does_not_give_is_asked_of_it_once():
    left, steps = gap(1, 123_456), 0
    while "rest" not in left.exhausted:
        step = next_step([left], lambda _: reach(), "rest", DAY + HOUR_MS)
        assert step is not None
        left = after_step(left, step, ())
        steps += 1
    assert steps == 13
    assert choose(left, reach(), DAY + HOUR_MS).source == "archive"
    assert choose(left, reach(archive=False), DAY + HOUR_MS).source is None


def test_the_archive_is_read_a_day_at_a_time_across_midnight():
    wide = gap(1, 100, DAY - HOUR_MS, DAY + HOUR_MS, exhausted=["rest"])
    days = []
    now_ms = DAY + 9 * DAY_MS
    while step := next_step([wide], lambda _: reach(), "archive", now_ms):
        days.append((step.from_ms, step.to_ms))
        wide = after_step(wide, step, [(1, 40)] if len(days) == 1 else [(41, 100)])
        if wide.state != "open":
            break
    assert days == [(DAY - DAY_MS, DAY - 1), (DAY, DAY + DAY_MS - 1)]
    assert wide.state == "recovered"


def test_a_missing_day_leaves_its_ids_and_the_next_day_is_still_read():
    wide = gap(1, 100, DAY - HOUR_MS, DAY + HOUR_MS, exhausted=["rest"])
    now_ms = DAY + 9 * DAY_MS
    step = next_step([wide], lambda _: reach(), "archive", now_ms)
    assert step is not None
    wide = after_step(wide, step, (), lost="2024-10-03")
    step = next_step([wide], lambda _: reach(), "archive", now_ms)
    assert step is not None
    wide = after_step(wide, step, [(41, 100)])
    assert wide.left == [(1, 40)]
    assert choose(wide, reach(), now_ms).source is None


def test_a_span_of_times_is_recovered_when_all_of_it_was_asked():
    one = span(DAY, DAY + 5_000)
    step = next_step([one], lambda _: reach(CAPABILITIES["bybit", "linear"]), "rest", DAY + 9_000)
    assert step is not None
    assert after_step(one, step, (), trades=3, rev=7).state == "recovered"


def test_a_span_with_a_lost_day_is_not_recovered():
    one = span(DAY, DAY + 5_000, exhausted=["rest"])
    kraken = CAPABILITIES["bybit", "linear"]
    step = next_step([one], lambda _: reach(kraken), "archive", DAY + 9 * DAY_MS)
    assert step is not None
    lost = after_step(one, step, (), lost="a day")
    assert lost.state == "open"
    assert lost.exhausted == ["rest", "archive"]


def test_an_exhausted_source_leaves_the_next_one_all_of_it():
    asked = gap(1, 50, done_until_id=40, tries=3, next_try_ms=DAY)
    after = exhausted(asked, "rest")
    assert (after.done_until_id, after.tries, after.next_try_ms) == (0, 0, 0)


GAPS = st.lists(
    st.tuples(st.integers(1, 200_000), st.integers(0, 60_000), st.integers(0, 20 * HOUR_MS)),
    min_size=1,
    max_size=8,
)


@given(GAPS, st.randoms(use_true_random=False))
def test_whatever_is_missing_every_gap_ends_and_every_id_is_given_or_named(found, chance):
    now_ms = DAY + 21 * HOUR_MS
    open_gaps: list[Recovery] = []
    at = 0
    for apart, length, ms in found:
        first, last = at + apart, at + apart + length
        open_gaps.append(gap(first, last, DAY + ms))
        at = last + 1
    wanted = ranges.count((g.first_id, g.last_id) for g in open_gaps)
    given_ids = named = steps = 0
    while open_gaps:
        steps += 1
        assert steps < 500
        step: Step | None = None
        for lane in ("rest", "archive"):
            step = step or next_step(open_gaps, lambda _: reach(), lane, now_ms)
        if step is None:
            now_ms += DAY_MS
            hopeless = [g for g in open_gaps if choose(g, reach(), now_ms).source is None]
            named += sum(ranges.count(g.left) for g in hopeless)
            open_gaps = [g for g in open_gaps if g not in hopeless]
            continue
        told = [r for r in step.wanted if chance.random() < 0.7]
        kept = []
        for each in open_gaps:
            if each not in step.gaps:
                kept.append(each)
                continue
            after = after_step(each, step, told)
            given_ids += ranges.count(each.left) - ranges.count(after.left)
            if after.state == "open":
                kept.append(after)
        open_gaps = kept
    assert given_ids + named == wanted


RANGES = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 12)).map(lambda t: (t[0], t[0] + t[1])), max_size=8
)


def ids(found) -> set[int]:
    return {i for first, last in found for i in range(first, last + 1)}


@given(RANGES, RANGES)
def test_ranges_are_the_sets_that_they_stand_for(one, other):
    base = ranges.merged(one)
    assert ids(base) == ids(one)
    assert ranges.count(base) == len(ids(one))
    assert ids(ranges.without_all(base, other)) == ids(one) - ids(other)
