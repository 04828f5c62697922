"""Recent ids: what is remembered, and what of it reaches the changelog."""

import pytest
from folding import trades
from hypothesis import given
from hypothesis import strategies as st

from processors.engine import recent
from processors.engine.bars import ASSUMED, BEGAN_INSIDE
from processors.engine.recent import CHUNK_IDS, KEPT_MAX, KEPT_MIN, KEPT_MS, RecentIds, keys_of


def admit(ids: RecentIds, keys, ms: int = 0) -> bool:
    return ids.admit_all(list(keys), [ms] * len(keys))


class Changelog:
    """The records that were written last under each slot, and the last state."""

    def __init__(self) -> None:
        self.records: dict[int, bytes] = {}
        self.state: dict = {}

    def save(self, ids: RecentIds) -> int:
        """Write what is due; return how many bytes of ids that were."""
        records = ids.take_records()
        self.records |= dict(records)
        self.state = ids.dump()
        return sum(len(value) for _, value in records)

    def load(self) -> RecentIds:
        return RecentIds.load(self.state, self.records)


def test_many_are_taken_only_when_all_of_them_are_new() -> None:
    ids = RecentIds()
    assert admit(ids, [1, 2, 3])
    assert not admit(ids, [4, 2])
    assert not admit(ids, [5, 5])
    assert admit(ids, [4, 5])
    assert len(ids) == 5


def test_what_is_a_minute_old_is_forgotten_but_for_the_last_ones() -> None:
    ids = RecentIds()
    admit(ids, range(3_000))
    admit(ids, range(3_000, 3_000 + KEPT_MIN), KEPT_MS + 1)
    admit(ids, [-1], KEPT_MS + 1)
    assert admit(ids, [0], KEPT_MS + 1), "forgotten, so it counts again"
    assert not any(admit(ids, [key], 10**9) for key in range(3_000, 3_000 + KEPT_MIN))


def test_memory_is_bounded() -> None:
    ids = RecentIds()
    for key in range(0, KEPT_MAX * 2, 100):
        admit(ids, range(key, key + 100))
    assert len(ids) <= KEPT_MAX + 100
    assert not admit(ids, [KEPT_MAX * 2 - KEPT_MAX // 2])


def test_the_window_in_which_the_first_trade_came_is_a_gap() -> None:
    ids = RecentIds()
    admit(ids, [1], 1_500)
    admit(ids, [2], 300)  # older, and later
    assert ids.claim(1_000) == BEGAN_INSIDE
    assert ids.claim(0) == BEGAN_INSIDE
    assert ids.claim(2_000) == ASSUMED


def test_each_id_is_written_about_once() -> None:
    """A symbol of 100 trades/s with a checkpoint each second."""
    ids, log, written = RecentIds(), Changelog(), 0
    for second in range(300):
        admit(ids, range(second * 100, second * 100 + 100), second * 1_000)
        written += log.save(ids)
    assert written / (300 * 100) < 2 * 8, "bytes an id"
    assert len(log.records) < 2 * 6_000 / CHUNK_IDS, "slots are used again"
    assert len(ids) < 6_300


def test_what_is_loaded_knows_exactly_the_same(monkeypatch) -> None:
    monkeypatch.setattr(recent, "KEPT_MIN", 5)
    ids, log = RecentIds(), Changelog()
    for n in range(400):
        admit(ids, [n], n * 700)
        if n % 7 == 0:
            log.save(ids)
            other = log.load()
            assert other.dump() == ids.dump()
            assert other._seen == ids._seen
            if n % 3 == 0:
                ids = other


@given(st.integers(1, 200), st.integers(1, 200))
def test_a_state_fits_the_records_of_a_checkpoint_that_was_never_finished(before, after) -> None:
    ids, log = RecentIds(), Changelog()
    admit(ids, range(before), 1)
    log.save(ids)
    admit(ids, range(before, before + after), 2)
    log.records |= dict(ids.take_records())  # the state after them is not written
    found = log.load()
    assert len(found) == before
    assert found.dump() == log.state
    assert admit(found, range(before, before + after), 2)


def test_a_slot_is_used_again_only_after_the_state_that_left_it(monkeypatch) -> None:
    for name, value in (("KEPT_MIN", 0), ("KEPT_MS", 0), ("CHUNK_IDS", 1)):
        monkeypatch.setattr(recent, name, value)
    ids, log = RecentIds(), Changelog()
    admit(ids, [1], 1)
    log.save(ids)
    admit(ids, [2], 2)
    admit(ids, [3], 3)  # forgets 1
    log.records |= dict(ids.take_records())
    assert log.load()._seen == {1}, "the last state that was written still finds its ids"


@pytest.mark.parametrize("record", [b"", b"1234567"])
def test_a_damaged_record_is_refused(record) -> None:
    ids, log = RecentIds(), Changelog()
    admit(ids, [1])
    log.save(ids)
    with pytest.raises((KeyError, TypeError, ValueError)):
        RecentIds.load(log.state, {})
    log.records[0] = record
    with pytest.raises((KeyError, TypeError, ValueError)):
        log.load()


def test_keys_of_text_are_the_same_in_every_process_and_numbers_are_themselves() -> None:
    group = trades((7, 0, 1, 1, 1), (7, 0, 1, 1, 1), ids="unique")
    assert keys_of(group) == [7, 7]
    group.uid = ["a", "b"]
    assert keys_of(group) == [3405396810240292928, 8453121595177857668]
