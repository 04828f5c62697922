from hypothesis import given
from hypothesis import strategies as st

from ingest import dedup
from ingest.dedup import SeenIds


@given(st.lists(st.integers(0, 60)))
def test_an_id_is_new_exactly_once(ids: list[int]) -> None:
    seen, truth = SeenIds(), set()
    first = ids[0] if ids else 0
    for id_ in ids:
        if id_ >= first:  # below the first nothing is known: see the next test
            assert seen.is_new(id_) == (id_ not in truth)
            truth.add(id_)


def test_ids_from_before_the_start_are_passed_on() -> None:
    seen = SeenIds()
    assert seen.is_new(100)
    assert seen.is_new(99)
    assert not seen.is_new(100)


def test_a_late_trade_is_new_once() -> None:
    seen = SeenIds()
    assert [seen.is_new(i) for i in (5, 6, 10, 8, 8, 7, 9, 9, 11)] == [
        True, True, True, True, False, True, True, False, True,
    ]  # fmt: skip


def test_memory_is_bounded_and_what_is_forgotten_is_passed_on(monkeypatch) -> None:
    monkeypatch.setattr(dedup, "MISSING_RANGES_MAX", 3)
    seen = SeenIds()
    for id_ in range(0, 20, 2):  # every odd id is missing
        assert seen.is_new(id_)
    assert seen.is_new(1), "forgotten, so it may be new"
    assert seen.is_new(17), "remembered as missing"
    assert not seen.is_new(17)
    assert not seen.is_new(18)
