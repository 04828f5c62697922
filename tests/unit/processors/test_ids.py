"""The seen ids as a table of transitions, and against a plain set."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.engine import ids
from processors.engine.ids import Missing, SeenIds


def seen(*trades: tuple[int, int]) -> SeenIds:
    found = SeenIds()
    for id_, ms in trades:
        found.admit(id_, id_, ms)
    return found


A_HOLE = ((10, 100), (15, 150))

TRANSITIONS = {
    "the first trade": ((), (7, 70), (True, None, None), []),
    "in order": (((10, 100),), (11, 110), (True, None, None), []),
    "the same again": (((10, 100),), (10, 100), (False, None, None), []),
    "an old one again": (((10, 100), (11, 110)), (10, 100), (False, None, None), []),
    "a hole": (
        ((10, 100),),
        (15, 150),
        (True, Missing(11, 14, 100, 150), None),
        [Missing(11, 14, 100, 150)],
    ),
    "recovered in the middle": (
        A_HOLE,
        (12, 120),
        (True, None, Missing(11, 14, 100, 150)),
        [Missing(11, 11, 100, 120), Missing(13, 14, 120, 150)],
    ),
    "recovered at the left": (
        A_HOLE,
        (11, 110),
        (True, None, Missing(11, 14, 100, 150)),
        [Missing(12, 14, 110, 150)],
    ),
    "recovered at the right": (
        A_HOLE,
        (14, 140),
        (True, None, Missing(11, 14, 100, 150)),
        [Missing(11, 13, 100, 140)],
    ),
    "recovered wholly": (
        ((10, 100), (12, 120)),
        (11, 110),
        (True, None, Missing(11, 11, 100, 120)),
        [],
    ),
    "recovered with a time outside": (
        A_HOLE,
        (12, 999),
        (True, None, Missing(11, 14, 100, 150)),
        [Missing(11, 11, 100, 150), Missing(13, 14, 150, 150)],
    ),
    "recovered, and again": ((*A_HOLE, (12, 120)), (12, 120), (False, None, None), None),
    "history that joins": (((10, 100),), (9, 90), (True, None, None), []),
    "history with a hole": (
        ((10, 100),),
        (5, 50),
        (True, Missing(6, 9, 50, 100), None),
        [Missing(6, 9, 50, 100)],
    ),
    "a second hole": (
        A_HOLE,
        (20, 200),
        (True, Missing(16, 19, 150, 200), None),
        [Missing(11, 14, 100, 150), Missing(16, 19, 150, 200)],
    ),
    "a hole while times step back": (
        ((10, 100),),
        (12, 80),
        (True, Missing(11, 11, 80, 100), None),
        [Missing(11, 11, 80, 100)],
    ),
    "zero is an id": (((0, 1),), (1, 2), (True, None, None), []),
}


@pytest.mark.parametrize(
    ("before", "trade", "answer", "missing"), TRANSITIONS.values(), ids=TRANSITIONS
)
def test_transition(before, trade, answer, missing) -> None:
    found = seen(*before)
    assert found.admit(trade[0], *trade) == answer
    if missing is not None:
        assert found.missing == missing


def test_missing_counts_what_may_belong_in_a_window() -> None:
    found = seen((10, 100), (15, 150), (20, 300))
    assert found.missing_in(0, 100) == 0  # windows are half open
    assert found.missing_in(0, 101) == 4
    assert found.missing_in(120, 130) == 4
    assert found.missing_in(150, 160) == 8
    assert found.missing_in(151, 152) == 4
    assert found.missing_in(301, 400) == 0


def test_the_oldest_range_is_given_up_at_the_limit_and_stays_unproven(monkeypatch) -> None:
    monkeypatch.setattr(ids, "MISSING_RANGES_MAX", 2)
    found = seen((1, 10), (3, 30), (5, 50))
    assert found.forget_oldest() is None
    found.admit(7, 7, 70)
    assert found.forget_oldest() == Missing(2, 2, 10, 30)
    assert found.forget_oldest() is None
    assert [gap.first for gap in found.missing] == [4, 6]
    assert found.admit(2, 2, 20) == (False, None, None)  # counts as a duplicate from now on
    assert found.missing_in(0, 15) == 1
    assert found.missing_in(35, 45) == 1
    assert found.missing_in(80, 90) == 0


RANGES = {  # of 10..12 and 20..24, so that 13..19 are missing
    "again": (10, 12, False, [(13, 19)]),
    "a part of one": (11, 11, False, [(13, 19)]),
    "half seen, half missing": (12, 14, False, [(13, 19)]),
    "half missing, half seen": (18, 20, False, [(13, 19)]),
    "all that is missing, and more": (12, 20, False, [(13, 19)]),
    "the missing one": (13, 19, True, []),
    "in the middle": (15, 17, True, [(13, 14), (18, 19)]),
    "at the left": (13, 14, True, [(15, 19)]),
    "beyond the end, half seen": (24, 26, False, [(13, 19)]),
    "next": (25, 30, True, [(13, 19)]),
    "with a hole": (27, 27, True, [(13, 19), (25, 26)]),
    "history that joins": (8, 9, True, [(13, 19)]),
    "history, half seen": (8, 10, False, [(13, 19)]),
    "history with a hole": (5, 6, True, [(7, 9), (13, 19)]),
}


@pytest.mark.parametrize(("first", "last", "is_new", "missing"), RANGES.values(), ids=RANGES)
def test_a_trade_of_several_ids_is_taken_when_none_was_seen(first, last, is_new, missing) -> None:
    found = SeenIds()
    found.admit(10, 12, 100)
    found.admit(20, 24, 200)
    assert found.admit(first, last, 150).is_new is is_new
    assert [(gap.first, gap.last) for gap in found.missing] == missing


@given(st.lists(st.integers(0, 40), min_size=1, max_size=60), st.integers())
def test_every_id_is_new_once_and_what_is_missing_is_what_never_came(arrivals, seed) -> None:
    found, came, rng = SeenIds(), set(), Random(seed)
    for id_ in arrivals:
        is_new, _, _ = found.admit(id_, id_, rng.randrange(1_000))
        assert is_new == (id_ not in came)
        came.add(id_)
    missing = {id_ for gap in found.missing for id_ in range(gap.first, gap.last + 1)}
    assert missing == set(range(min(came), max(came) + 1)) - came
    assert found.missing == sorted(found.missing)
    assert all(gap.from_ms <= gap.to_ms for gap in found.missing)
    assert sum(gap.ids for gap in found.missing) == len(missing)
