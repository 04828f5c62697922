"""The truth's book: it follows the market, and its changes tell all of it."""

import pytest

from simulator.book import LEVELS_MAX, STEP_MS, Book, DepthView
from simulator.symbols import Symbol

BTC = Symbol("BTCUSDT", "BTC", "USDT", 2, 1, 3, 6_800_000)
CHEAP = Symbol("X", "X", "USDT", 4, 10, 0, 1_000, lot=5)


def _apply(sides, change):
    for side, levels in zip(sides, (change.bids, change.asks), strict=True):
        for price, qty in levels:
            if qty:
                side[price] = qty
            else:
                side.pop(price, None)


def _walk(book, bids):
    return [book.step(bid, STEP_MS * at) for at, bid in enumerate(bids, 1)]


WILD = [6_800_000 + 137 * ((at * 7919) % 23 - 11) for at in range(300)]


def test_the_changes_are_the_book():
    book = Book(BTC, 6_800_000, "s")
    sides = [dict(side) for side in book.top(10**6)]
    for at, bid in enumerate(WILD, 1):
        _apply(sides, book.step(bid, STEP_MS * at))
        assert [dict(side) for side in book.top(10**6)] == sides


@pytest.mark.parametrize(("symbol", "bids"), [(BTC, WILD), (CHEAP, [1_000, 500, 30, 10, 4_000])])
def test_the_best_prices_are_the_markets_and_never_cross(symbol, bids):
    book = Book(symbol, bids[0], "s")
    for at, bid in enumerate(bids, 1):
        book.step(bid, STEP_MS * at)
        (best_bid, _), (best_ask, _) = book.best()
        assert (best_bid, best_ask) == (bid, bid + symbol.tick)
        bids_now, asks_now = book.top(10**6)
        assert [p for p, _ in bids_now] == sorted((p for p, _ in bids_now), reverse=True)
        assert [p for p, _ in asks_now] == sorted(p for p, _ in asks_now)
        assert all(
            p > 0 and p % symbol.tick == 0 and q > 0 and q % symbol.lot == 0
            for p, q in bids_now + asks_now
        )
        assert len(asks_now) <= LEVELS_MAX


def test_ids_grow_by_one_for_each_change_and_follow_one_another():
    book = Book(BTC, 6_800_000, "s")
    first = book.last_id
    changes = _walk(book, WILD[:50])
    for change in changes:
        assert (change.prev_id, change.first_id) == (first, first + 1)
        assert change.last_id - change.prev_id == max(len(change.bids) + len(change.asks), 1)
        first = change.last_id
    assert [c.number for c in changes] == list(range(1, 51))
    assert book.last_id == first


def test_the_same_seed_gives_the_same_book():
    assert _walk(Book(BTC, 6_800_000, "s"), WILD) == _walk(Book(BTC, 6_800_000, "s"), WILD)
    assert _walk(Book(BTC, 6_800_000, "s"), WILD) != _walk(Book(BTC, 6_800_000, "t"), WILD)


def test_a_crossed_book_stands_for_its_time_and_is_told():
    book = Book(BTC, 6_800_000, "s")
    sides = [dict(side) for side in book.top(10**6)]
    book.crossed_until_ms = 10 * STEP_MS
    for at, bid in enumerate(WILD[:20], 1):
        _apply(sides, book.step(bid, STEP_MS * at))
        assert (max(sides[0]) >= min(sides[1])) == (at < 10)


def test_a_restart_begins_the_numbers_anew_and_keeps_the_levels():
    book = Book(BTC, 6_800_000, "s")
    _walk(book, WILD[:5])
    before = book.top(10**6)
    book.restart(0)
    assert book.top(10**6) == before
    change = book.step(6_800_000, 600)
    assert (change.number, change.prev_id, change.first_id) == (1, 0, 1)


def test_a_deep_book_comes_in_one_change_and_goes_again():
    book = Book(BTC, 6_800_000, "s")
    book.deepen(20_000, until_ms=500)
    book.deepen(20_000, until_ms=900)  # one at a time
    sizes = [len(change.asks) for change in _walk(book, [6_800_000] * 6)]
    assert sizes[0] >= 20_000
    assert sizes[4] >= 20_000
    assert max(sizes[1:4]) < 100
    assert len(book.top(10**6)[1]) <= LEVELS_MAX


def test_a_view_tells_what_enters_changes_and_leaves_it():
    book = Book(BTC, 6_800_000, "s")
    view = DepthView(book, 20)
    sides = [dict(side) for side in view.now()]
    for at, bid in enumerate(WILD, 1):
        book.step(bid, STEP_MS * at)
        for side, levels in zip(sides, view.changes(), strict=True):
            for price, qty in levels:
                if qty:
                    side[price] = qty
                else:
                    del side[price]
        assert [sorted(side.items()) for side in sides] == [sorted(s) for s in book.top(20)]
    assert view.changes() == ([], [])
