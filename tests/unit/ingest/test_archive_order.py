from random import Random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.recovery.archives import order
from ingest.recovery.archives.columns import Columns
from ingest.recovery.archives.order import Places, Spans, Uids, forwards, in_order


def columns(ids, uids=None, ts=None, price_scale=0):
    ids = np.array(ids, np.int64)
    stamps = ids * 10 if ts is None else np.array(ts, np.int64)
    ones = np.ones(len(ids), np.int64)
    return Columns(
        ids, stamps, ids * 10**price_scale, price_scale, ones, 0, ones, ids, ids, None, uids
    )


def ids_of(found):
    return [int(id_) for part in found for id_ in part.id]


def once(parts):
    spans = Spans()
    return ids_of(spans.fresh(part) for part in in_order(iter(parts), by_id=True))


def test_rows_in_order_pass_as_they_are():
    parts = [columns(range(10)), columns(range(10, 20))]
    assert list(in_order(iter(parts), by_id=True)) == parts


def test_interleaved_rows_are_put_in_order():
    assert once([columns([5, 1, 7]), columns([2, 6, 3])]) == [1, 2, 3, 5, 6, 7]


def test_batches_of_different_scales_are_joined_exactly():
    found = list(in_order(iter([columns([5], price_scale=1), columns([2])]), by_id=True))
    assert found[0].price.tolist() == [20, 50]
    assert found[0].price_scale == 1


@settings(max_examples=25, deadline=None)
@given(st.randoms(use_true_random=False))
def test_every_id_comes_once_however_a_file_is_shuffled(random: Random):
    ids = [n for n in range(300) if n % 17]
    told = [*ids, *random.sample(ids, 100)]
    random.shuffle(told)
    parts = [columns(told[at : at + 37]) for at in range(0, len(told), 37)]
    assert once(parts) == ids


def test_memory_is_bounded_and_a_duplicate_beyond_the_window_is_dropped(monkeypatch):
    monkeypatch.setattr(order, "WINDOW_ROWS", 40)
    first = [columns(range(at, at + 10)) for at in range(0, 200, 10)]
    late = columns([3, 1_000])
    found = list(in_order(iter([*first, late]), by_id=True))
    assert max(map(len, found)) <= 60
    spans = Spans()
    assert sorted(ids_of(map(spans.fresh, found))) == [*range(200), 1_000]


def test_a_row_that_comes_later_than_the_window_is_given_late(monkeypatch):
    monkeypatch.setattr(order, "WINDOW_ROWS", 40)
    parts = [columns([n for n in range(at, at + 10) if n != 3]) for at in range(0, 200, 10)]
    assert sorted(once([*parts, columns([3])])) == list(range(200))


def test_spans_are_bounded(monkeypatch):
    monkeypatch.setattr(order, "SPANS_MAX", 5)
    spans = Spans()
    spans.fresh(columns(range(0, 100, 2)))
    assert ids_of([spans.fresh(columns([98]))]) == []
    assert ids_of([spans.fresh(columns([0]))]) == [0]


def test_texts_come_once_within_a_batch_at_its_edge_and_late():
    uids = Uids()
    assert uids.fresh(columns([1, 2, 3], ["a", "b", "a"], [1, 2, 2])).uid == ["a", "b"]
    assert uids.fresh(columns([4, 5], ["b", "c"], [2, 3])).uid == ["c"]
    assert uids.fresh(columns([6, 7], ["d", "e"], [3, 4])).uid == ["d", "e"]
    assert uids.fresh(columns([8, 9], ["a", "f"], [1, 5])).uid == ["f"]


def test_the_oldest_texts_are_forgotten(monkeypatch):
    monkeypatch.setattr(order, "UIDS_REMEMBERED", 4)
    uids = Uids()
    for ts in range(1, 5):
        uids.fresh(columns([0, 0], [f"{ts}a", f"{ts}b"], [ts, ts]))
    assert len(uids.fresh(columns([0], ["4a"], [3]))) == 0
    assert len(uids.fresh(columns([0], ["1a"], [1]))) == 1


def test_places_count_on_from_one_batch_to_the_next():
    places = Places()
    places.fresh(columns([0, 0, 0], ts=[1, 2, 2]))
    assert places.fresh(columns([0, 0, 0], ts=[2, 2, 3])).id.tolist() == [
        200_002,
        200_003,
        300_000,
    ]


def batches(stamps, size):
    table = pa.table({"ts": stamps, "n": range(len(stamps))})
    return iter(table.to_batches(max_chunksize=size))


@pytest.mark.parametrize("size", [3, 100])
def test_a_file_that_runs_backwards_is_turned(tmp_path, size):
    stamps = [9, 8, 8, 7, 7, 7, 3, 2, 1, 1]
    found = [n for b in forwards(batches(stamps, size), "ts", tmp_path) for n in b["n"].to_pylist()]
    assert found == list(range(10))[::-1]
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_runs_forwards_is_passed_on(tmp_path):
    found = list(forwards(batches([1, 2, 2, 1, 5], 2), "ts", tmp_path))
    assert [n for b in found for n in b["n"].to_pylist()] == [0, 1, 2, 3, 4]
