from collections.abc import Iterable
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest import dedup
from ingest.dedup import DenseIds, RangeIds, RecentIds, Seen, seen_ids
from ingest.exchanges.base import IdRule, TradeRow

SECOND_NS = 1_000_000_000


def row(id_: int, *, first: int | None = None, uid: str = "") -> TradeRow:
    return TradeRow(
        "trade", "A", id_, 0, 1, 0, 1, 0, 1, 0, id_ if first is None else first, id_, uid
    )


def news(seen: Seen, ids: Iterable[int], recv_ns: int = 0) -> list[bool]:
    return [seen.is_new(row(id_), recv_ns) for id_ in ids]


@pytest.mark.parametrize("rule", get_args(IdRule))
@given(ids=st.lists(st.integers(0, 60)))
def test_an_id_is_new_exactly_once(rule: IdRule, ids: list[int]) -> None:
    seen, truth = seen_ids(rule), set()
    first = ids[0] if ids else 0
    for id_ in ids:
        if id_ >= first:  # below the first nothing is known: see the next test
            assert seen.is_new(row(id_), 0) == (id_ not in truth)
            truth.add(id_)


@pytest.mark.parametrize("kind", [DenseIds, RangeIds])
def test_ids_from_before_the_start_are_passed_on(kind) -> None:
    assert news(kind(), (100, 99, 99, 100)) == [True, True, True, False]


def test_a_late_trade_is_new_once() -> None:
    assert news(DenseIds(), (5, 6, 10, 8, 8, 7, 9, 9, 11)) == [
        True, True, True, True, False, True, True, False, True,
    ]  # fmt: skip


def test_memory_is_bounded_and_what_is_forgotten_is_passed_on(monkeypatch) -> None:
    monkeypatch.setattr(dedup, "MISSING_RANGES_MAX", 3)
    seen = DenseIds()
    assert all(news(seen, range(0, 20, 2)))  # every odd id is missing
    assert news(seen, (1, 17, 17, 18)) == [True, True, False, False]


def test_dense_ids_ignore_what_an_aggregate_holds() -> None:
    seen = DenseIds()
    assert seen.is_new(row(5, first=1), 0)
    assert seen.is_new(row(6, first=2), 0)


@pytest.mark.parametrize(
    ("first", "last", "is_new"),
    [
        (10, 12, False),  # again
        (12, 12, False),  # a part of it, told alone
        (11, 14, False),  # half of it, and more
        (13, 15, True),
        (13, 99, False),  # beyond the hole
        (9, 9, True),  # from before the start: nothing is known
        (9, 10, False),
        (25, 25, True),
    ],
)
def test_a_range_is_new_when_none_of_its_ids_was_seen(first: int, last: int, is_new: bool) -> None:
    seen = RangeIds()
    assert seen.is_new(row(12, first=10), 0)
    assert seen.is_new(row(24, first=20), 0)  # 13 to 19 are missing
    assert seen.is_new(row(last, first=first), 0) is is_new


def test_a_textual_id_counts_and_not_the_number_beside_it() -> None:
    seen = RecentIds()
    assert seen.is_new(row(7, uid="a"), 0)
    assert seen.is_new(row(7, uid="b"), 0)
    assert not seen.is_new(row(8, uid="a"), 0)


def test_recent_ids_are_known_for_a_minute_and_the_last_ones_for_ever() -> None:
    seen = RecentIds()
    assert all(news(seen, range(3_000)))
    assert not any(news(seen, range(3_000), 59 * SECOND_NS))
    news(seen, range(3_000, 3_600), 61 * SECOND_NS)
    assert seen.is_new(row(0), 61 * SECOND_NS), "older than a minute, and forgotten"
    last = range(3_600 - dedup.KEPT_MIN, 3_600)
    assert not any(news(seen, last, 10_000 * SECOND_NS)), "however old, the last ones are known"


def test_a_storm_of_trades_does_not_outgrow_the_limit() -> None:
    seen = RecentIds()
    assert all(news(seen, range(200_000)))
    assert len(seen._kept) <= dedup.KEPT_MAX
    youngest = range(200_000 - dedup.KEPT_MAX + 2 * dedup.GENERATION_IDS, 200_000)
    assert not any(news(seen, youngest))
