"""Spans, windows and edges: every window whole, every query bounded, every overlap judged."""

import random
from itertools import pairwise

import pytest

from processors.engine.ids import SeenIds
from processors.recompute import plan
from processors.recompute.ids import refused
from processors.recompute.plan import Asked, blocks, coalesced, windows
from processors.recompute.requests import read
from runtime.errors import Poison
from schemas.clickhouse.candles import Taken
from schemas.intervals import HOUR_MS, parse_interval, parse_intervals

BASE_MS = 1_700_000_040_000
INTERVALS = parse_intervals(("5s", "1m", "173m", "1w@mon", "1M", "1D@tz=Asia/Tokyo"))
END_OF_TIME_MS = 2**50


def asked(from_ms: int, to_ms: int, rev: int, symbol: str = "S") -> Asked:
    return Asked("binance", "linear", symbol, "dense", from_ms, to_ms, rev)


def test_overlapping_spans_are_one_as_of_the_highest_revision() -> None:
    assert coalesced([asked(5, 9, 3), asked(0, 5, 7), asked(10, 11, 4)]) == [
        asked(10, 11, 4),
        asked(0, 9, 7),
    ]


def test_spans_of_two_symbols_are_never_one() -> None:
    assert len(coalesced([asked(0, 5, 1), asked(0, 5, 1, "T")])) == 2


def test_a_span_within_another_is_read_once() -> None:
    assert coalesced([asked(0, 100, 9), asked(5, 6, 3), asked(50, 60, 12)]) == [asked(0, 100, 12)]


@pytest.mark.parametrize("text", ["1s", "173m", "1w@mon", "1M", "1D@tz=Europe/Berlin"])
def test_windows_are_those_that_overlap_the_span_and_follow_each_other(text) -> None:
    interval = parse_interval(text)
    to_ms = BASE_MS + 3 * interval.length_ms
    found = list(windows(interval, BASE_MS, to_ms, END_OF_TIME_MS))
    assert found[0][0] <= BASE_MS < found[0][1]
    assert found[-1][0] <= to_ms < found[-1][1]
    assert all(end == opened for (_, end), (opened, _) in pairwise(found))
    assert all(interval.window(opened) == (opened, end) for opened, end in found)


def test_a_window_that_the_engine_still_owns_is_left_to_it() -> None:
    second = parse_interval("1s")
    found = list(windows(second, BASE_MS, BASE_MS + 5_000, BASE_MS + 3_000))
    assert found[-1] == (BASE_MS + 2_000, BASE_MS + 3_000)


def test_blocks_hold_every_edge_once_and_join() -> None:
    to_ms = BASE_MS + 3 * HOUR_MS
    found = list(blocks(INTERVALS, BASE_MS, to_ms, END_OF_TIME_MS))
    edges = {
        edge
        for interval in INTERVALS
        for window in windows(interval, BASE_MS, to_ms, END_OF_TIME_MS)
        for edge in window
    }
    assert edges <= {edge for block in found for edge in block}
    assert all(block == sorted(set(block)) for block in found)
    assert all(before[-1] == after[0] for before, after in pairwise(found))


def test_no_query_is_wider_or_longer_than_the_limits() -> None:
    for block in blocks(INTERVALS, BASE_MS, BASE_MS + 8 * HOUR_MS, END_OF_TIME_MS):
        assert 2 <= len(block) <= plan.EDGES_MAX + 1
        assert block[-1] - block[0] <= plan.QUERY_MS_MAX + plan.QUERY_MS_MAX


def test_a_month_around_one_moment_is_cut_into_queries() -> None:
    month = parse_interval("1M")
    found = list(blocks([month], BASE_MS, BASE_MS, END_OF_TIME_MS))
    assert all(block[-1] - block[0] <= plan.QUERY_MS_MAX for block in found)
    assert (found[0][0], found[-1][-1]) == month.window(BASE_MS)


def test_nothing_closed_is_nothing_to_read() -> None:
    assert list(blocks(INTERVALS, BASE_MS, BASE_MS, BASE_MS)) == []


def test_overlapping_messages_are_refused_as_the_engine_refuses_them() -> None:
    for seed in range(300):
        pick = random.Random(seed)
        ids, trades = SeenIds(), []
        expected = set()
        for rev in range(pick.randrange(1, 30)):
            first = pick.randrange(40)
            last = first + pick.randrange(5)
            trades.append(Taken(first, last, rev, 0))
            if not ids.admit(first, last, 0).is_new:
                expected.add((rev, 0))
        assert set(refused(sorted(trades))) == expected, seed


def test_a_request_tells_its_rule_of_ids_and_an_old_one_means_dense() -> None:
    value = (
        b'{"exchange":"okx","channel":"spot","data_type":"recompute","data":['
        b'{"symbol":"A","from_ms":5,"to_ms":3,"rev":9,"ids":"range"},'
        b'{"symbol":"B","from_ms":1,"to_ms":2,"rev":9}]}'
    )
    assert list(read(value)) == [
        Asked("okx", "spot", "A", "range", 3, 5, 9),
        Asked("okx", "spot", "B", "dense", 1, 2, 9),
    ]


@pytest.mark.parametrize("value", [b"", b"{}", b"[1]", b"\xff"])
def test_what_is_no_request_is_poison(value) -> None:
    with pytest.raises(Poison):
        read(value)
