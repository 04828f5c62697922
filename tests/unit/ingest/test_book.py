"""The levels of one symbol: exact, cheap at the top, and the same for whoever follows."""

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from ingest.books import Book
from ingest.books.book import Side
from ingest.decimals import Unfit
from schemas.updates import Book as BookUpdate

BIDS = [("100.5", "2"), ("100.0", "1.25"), ("99", "7")]
ASKS = [("101", "3"), ("101.5", "4")]


def book(**options) -> Book:
    made = Book("S", **options)
    made.replace(BIDS, ASKS)
    return made


def levels(of: Book) -> tuple[list, list]:
    return of.bids.all(), of.asks.all()


def update(type_: str, of: Book, bids, asks) -> BookUpdate:
    return BookUpdate(
        symbol="S",
        ts=1,
        type=type_,
        first_id=1,
        last_id=1,
        price_scale=of.price_scale,
        qty_scale=of.qty_scale,
        bids=bids,
        asks=asks,
    )


def test_a_snapshot_is_read_exactly_and_sorted_best_first() -> None:
    it = book()
    assert (it.price_scale, it.qty_scale) == (1, 2)
    assert levels(it) == ([(1005, 200), (1000, 125), (990, 700)], [(1010, 300), (1015, 400)])
    assert (it.bids.best, it.asks.best) == (1005, 1010)
    assert (it.bids.top(2), it.asks.top(9)) == ([(1005, 200), (1000, 125)], it.asks.all())


def test_any_zero_deletes_and_an_unknown_level_may_be_deleted() -> None:
    it = book()
    assert it.change([("100.50", "0.000"), ("42", "0")], [("101.00", "0")]) == (
        [(1005, 0), (420, 0)],
        [(1010, 0)],
    )
    assert (it.bids.best, it.asks.best) == (1000, 1015)
    it.change([("100", "0"), ("99", "0")], [])
    assert it.bids.best is None
    assert not it.is_crossed


def test_a_second_snapshot_forgets_the_first() -> None:
    it = book()
    it.replace([("5", "1"), ("6", "0")], [])
    assert levels(it) == ([(50, 100)], [])


@pytest.mark.parametrize(
    ("bid", "crossed"), [("100.9", False), ("101", True), ("101.2", True)], ids=str
)
def test_best_prices_that_meet_are_crossed(bid: str, crossed: bool) -> None:
    it = book()
    it.change([(bid, "1")], [])
    assert it.is_crossed is crossed


def test_a_finer_text_widens_the_scales_and_changes_no_value() -> None:
    it = book(scales=(2, 3))
    assert it.change([("100.123", "0.00001")], []) == ([(100123, 1)], [])
    assert (it.price_scale, it.qty_scale) == (3, 5)
    assert it.bids.all()[0] == (100500, 200000)
    assert it.bids.best == 100500
    it.change([("100.5", "0")], [])
    assert it.bids.best == 100123


def test_trailing_zeros_widen_nothing() -> None:
    it = book(scales=(1, 2))
    it.change([("100.60000000", "1.50000000")], [])
    assert (it.price_scale, it.qty_scale) == (1, 2)
    assert it.bids.top(1) == [(1006, 150)]


@pytest.mark.parametrize(
    "level", [("x", "1"), ("1", ""), ("1", "-1"), ("1e5", "1"), ("NaN", "1"), ("9" * 30, "1")]
)
def test_what_cannot_be_read_changes_nothing(level) -> None:
    it = book()
    before = levels(it)
    for change in (it.change, it.replace):
        with pytest.raises(ValueError, match=r"number|64 bits"):
            change([("100.4", "9")], [("102", "1"), level])
    assert levels(it) == before


def test_a_level_that_the_scale_of_another_pushes_out_of_64_bits_is_refused() -> None:
    it = Book("S")
    it.replace([("1", "9000000000000000000")], [])
    with pytest.raises(Unfit):
        it.change([("1", "0.1")], [])
    assert it.bids.all() == [(1, 9000000000000000000)]


@pytest.mark.parametrize(
    ("size", "qty", "base"),
    [("0.01", "15", (15, 2)), ("10", "1.5", (150, 1)), ("0.10", "3", (30, 2)), ("1000", "2", 2000)],
)
def test_contracts_become_base_coins(size, qty, base) -> None:
    value, scale = base if isinstance(base, tuple) else (base, 0)
    it = Book("S", contract_size=size)
    it.replace([("5", qty)], [])
    ((_, told),) = it.bids.all()
    assert told * 10**scale == value * 10**it.qty_scale


def test_a_tiny_contract_of_many_decimals_is_exact_or_refused() -> None:
    it = Book("S", contract_size="0.0000000001")
    it.replace([("5", "10.0000000000")], [])
    assert (it.bids.all(), it.qty_scale) == ([(5, 1)], 9)
    with pytest.raises(Unfit):
        it.change([("5", "0.0000000001")], [])


def test_levels_below_the_depth_leave_the_book_and_the_reader_is_told() -> None:
    it = book(depth=3)
    bids, asks = it.change([("100.7", "1")], [("100.9", "1")])
    assert (sorted(bids), asks) == ([(990, 0), (1007, 100)], [(1009, 100)])
    assert [price for price, _ in it.bids.all()] == [1007, 1005, 1000]
    bids, _ = it.change([("50", "1")], [])
    assert bids == [(500, 0)]


def test_a_snapshot_deeper_than_the_rule_is_kept_whole() -> None:
    it = book(depth=1)
    assert len(it.bids.all()) == 3


def test_texts_are_kept_as_the_venue_wrote_them() -> None:
    it = book(keeps_texts=True, depth=3)
    it.change([("100.50", "2.000"), ("100.7", "1"), ("100.0", "0")], [("101", "0.0")])
    assert it.top_texts(2) == ([("100.7", "1"), ("100.50", "2.000")], [("101.5", "4")])
    it.change([("100.123", "5")], [])  # widens the scale
    assert it.top_texts(3)[0] == [("100.7", "1"), ("100.50", "2.000"), ("100.123", "5")]
    assert set(it.bids.texts) == set(it.bids.levels)


def test_a_copy_lives_its_own_life() -> None:
    it = book(keeps_texts=True)
    twin = it.copy()
    twin.change([("100.9", "1"), ("100.5", "0")], [("101", "9")])
    assert levels(it) == levels(book())
    assert it.bids.best == 1005
    assert it.top_texts(1) == ([("100.5", "2")], [("101", "3")])


def test_a_reader_refuses_scales_that_change_within_deltas() -> None:
    it, reader = book(), Book("S")
    reader.follow(update("snapshot", it, *levels(it)))
    assert levels(reader) == levels(it)
    it.qty_scale += 1
    with pytest.raises(ValueError, match="scales"):
        reader.follow(update("delta", it, [], []))


CHANGES = st.lists(st.tuples(st.integers(1, 30), st.integers(0, 3)), max_size=12)


@given(st.lists(CHANGES, max_size=60), st.sampled_from([1, -1]))
@hypothesis_settings(max_examples=200, deadline=None)
def test_the_best_is_the_best_of_a_plain_dict_after_every_change(updates, sign) -> None:
    side, plain = Side(sign), {}
    for changes in updates:
        side.change(changes)
        for price, qty in changes:
            plain[price] = qty
            if not qty:
                del plain[price]
        best = min if sign > 0 else max
        assert side.levels == plain
        assert side.best == best(plain, default=None)
        assert side.all() == sorted(plain.items(), reverse=sign < 0)
        assert side.top(3) == side.all()[:3]


def test_prices_that_come_and_go_do_not_fill_the_memory() -> None:
    side = Side(1)
    for i in range(10_000):
        side.change([(5, 1)])
        side.change([(5, 0), (1_000 + i % 7, i % 2)])
    assert len(side._ranks) < 200
