"""Books followed, published from the top, void where they cannot be right."""

import random
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from replaying import PARTITION, Seen, assert_same_story, killed, straight, written

from processors.books import Books, Side
from processors.fold import Unreadable
from schemas.snapshots import BookSnapshot, decode_book_snapshots
from schemas.topics import BOOKS, symbol_key
from schemas.updates import Book, BookUpdates, Level, encode_updates

MS = 1_680_652_700_452
KEY = symbol_key("bybit", "linear", "BTCUSDT")


def record(*rows: Book, recv_ms: int = MS) -> bytes:
    return encode_updates(
        BookUpdates(exchange="bybit", channel="linear", recv_ns=recv_ms * 10**6, data=[*rows])
    )


def snapshot(last_id: int, bids: list[Level], asks: list[Level], **changes) -> Book:
    fields = {"symbol": "BTCUSDT", "ts": MS, "price_scale": 1, "qty_scale": 3}
    return Book(
        **{**fields, **changes},
        type="snapshot",
        first_id=last_id,
        last_id=last_id,
        bids=bids,
        asks=asks,
    )


def delta(prev_id: int, last_id: int, bids=(), asks=(), **changes) -> Book:
    fields = {"symbol": "BTCUSDT", "ts": MS + last_id, "price_scale": 1, "qty_scale": 3}
    return Book(
        **{**fields, **changes},
        type="delta",
        first_id=prev_id + 1,
        last_id=last_id,
        bids=list(bids),
        asks=list(asks),
        prev_id=prev_id,
    )


def fold_of(*records: bytes, depth: int = 3) -> Books:
    fold = Books(250, depth)
    for offset, value in enumerate(records):
        fold.apply(BOOKS, PARTITION, offset, value)
    return fold


def rows(fold: Books, now_ms: int = 10_000) -> list[BookSnapshot]:
    found = [decode_book_snapshots(o.value) for o in fold.outputs(now_ms, {PARTITION})]
    return [row for envelope in found for row in envelope.data]


FULL = snapshot(7, [(1001, 2000), (1000, 1), (999, 5), (998, 9)], [(1004, 500), (1005, 3)])


def test_the_best_levels_stand_first_with_what_they_tell() -> None:
    (row,) = rows(fold_of(record(FULL)))
    d = Decimal
    assert row.bids == [(d("100.1"), d("2.000")), (d("100.0"), d("0.001")), (d("99.9"), d("0.005"))]
    assert row.asks == [(d("100.4"), d("0.500")), (d("100.5"), d("0.003"))]
    assert (row.bid_price, row.bid_qty) == (d("100.1"), d("2.000"))
    assert (row.ask_price, row.ask_qty) == (d("100.4"), d("0.500"))
    assert (row.spread, row.mid) == (d("0.3"), d("100.25"))
    # (2006 - 503) / (2006 + 503), of the levels that are shown
    assert row.imbalance == d("0.599043")
    assert (row.update_id, row.ts, row.rev) == (7, MS, 0)


def test_a_delta_changes_adds_and_takes_out() -> None:
    changes = delta(7, 8, bids=[(1001, 0), (1002, 4), (990, 0)], asks=[(1005, 8)])
    (row,) = rows(fold_of(record(FULL), record(changes)))
    assert [price for price, _ in row.bids] == [Decimal("100.2"), Decimal(100), Decimal("99.9")]
    assert row.asks[1] == (Decimal("100.5"), Decimal("0.008"))
    assert (row.update_id, row.ts, row.rev) == (8, MS + 8, 1)


def test_an_empty_side_has_no_best_and_no_spread() -> None:
    (row,) = rows(fold_of(record(snapshot(1, [(10, 5)], []))))
    assert (row.ask_price, row.ask_qty, row.spread, row.mid) == (None, None, None, None)
    assert (row.bid_price, row.imbalance) == (Decimal(1), Decimal(1))
    (row,) = rows(fold_of(record(snapshot(1, [], []))))
    assert (row.bids, row.asks, row.imbalance) == ([], [], None)


@pytest.mark.parametrize(
    ("bought", "sold", "wanted"),
    [(1, 2, "-0.333333"), (2, 1, "0.333333"), (1, 0, "1.000000"), (1, 1, "0.000000")],
)
def test_the_imbalance_is_rounded_to_the_nearest(bought, sold, wanted) -> None:
    value = record(snapshot(1, [(10, bought)], [(11, sold)] if sold else []))
    (out,) = fold_of(value).outputs(0, {PARTITION})
    assert f'"imbalance":{wanted}'.encode() in out.value


def test_a_delta_before_any_snapshot_is_no_book() -> None:
    fold = fold_of(record(delta(7, 8, bids=[(1, 1)])))
    assert rows(fold) == []
    fold.apply(BOOKS, PARTITION, 1, record(FULL))
    assert [row.rev for row in rows(fold)] == [1]


def test_a_delta_that_does_not_follow_makes_the_book_void_until_a_snapshot() -> None:
    fold = fold_of(record(FULL), record(delta(9, 10, bids=[(1001, 1)])))
    assert rows(fold) == []
    fold.apply(BOOKS, PARTITION, 2, record(delta(10, 11, bids=[(1001, 2)])))
    assert rows(fold) == []
    fold.apply(BOOKS, PARTITION, 3, record(snapshot(12, [(5, 5)], [])))
    (row,) = rows(fold)
    assert (row.bids, row.rev) == ([(Decimal("0.5"), Decimal("0.005"))], 3)


def test_a_delta_that_is_told_twice_is_in_the_book_already() -> None:
    once = record(delta(7, 8, bids=[(1001, 1)]))
    fold = fold_of(record(FULL), once, record(delta(8, 9, bids=[(1001, 2)])), once)
    (row,) = rows(fold)
    assert (row.update_id, row.bids[0][1], row.rev) == (9, Decimal("0.002"), 2)


def test_scales_change_with_snapshots_only() -> None:
    assert rows(fold_of(record(FULL), record(delta(7, 8, price_scale=2)))) == []
    finer = snapshot(8, [(100_15, 1)], [], price_scale=2)
    (row,) = rows(fold_of(record(FULL), record(finer)))
    assert row.bids == [(Decimal("100.15"), Decimal("0.001"))]


def test_updates_of_a_while_become_one_record() -> None:
    fold = fold_of(record(FULL))
    assert len(rows(fold, 1_000)) == 1
    for n in range(7, 20):
        fold.apply(BOOKS, PARTITION, n, record(delta(n, n + 1, bids=[(1001, n)])))
        assert rows(fold, 1_249) == []
    assert [row.update_id for row in rows(fold, 1_250)] == [20]


def test_a_book_that_became_void_while_it_waited_is_not_published() -> None:
    fold = fold_of(record(FULL))
    fold.apply(BOOKS, PARTITION, 1, record(delta(8, 9)))
    assert rows(fold) == []


def test_after_a_restart_a_book_is_void_until_its_next_snapshot() -> None:
    fold = fold_of(record(FULL))
    assert written(fold) == {}
    again = Books(250, 3)
    again.restore(PARTITION, {})
    again.apply(BOOKS, PARTITION, 1, record(delta(7, 8, bids=[(1001, 1)])))
    assert rows(again) == []
    again.apply(BOOKS, PARTITION, 2, record(snapshot(8, [(1001, 1)], [])))
    assert [row.rev for row in rows(again)] == [2]


@pytest.mark.parametrize(
    "value", [b"", b"[]", record(FULL)[:-2], record(FULL).replace(b"[1001,2000]", b"[1001]")]
)
def test_what_is_no_book_is_refused_and_changes_nothing(value) -> None:
    fold = fold_of(record(FULL))
    with pytest.raises(Unreadable):
        fold.apply(BOOKS, PARTITION, 1, value)
    assert [row.rev for row in rows(fold)] == [0]


def test_a_partition_that_is_gone_is_forgotten() -> None:
    fold = fold_of(record(FULL))
    fold.drop(PARTITION)
    assert rows(fold) == []
    fold.apply(BOOKS, PARTITION, 1, record(delta(7, 8)))
    assert rows(fold) == []


LEVELS = st.lists(st.tuples(st.integers(-9, 9), st.integers(0, 3)), max_size=30)


@given(LEVELS, LEVELS, st.booleans(), st.integers(1, 25))
def test_a_side_is_what_a_sorted_dict_is(whole, changes, is_bids, n) -> None:
    side = Side(is_bids=is_bids)
    plain = {price: qty for price, qty in whole if qty}
    side.replace(list(plain.items()))
    side.change(changes)
    plain |= dict(changes)
    wanted = sorted(((p, q) for p, q in plain.items() if q), reverse=is_bids)
    assert side.top(n) == wanted[:n]


def story(rng: random.Random) -> list[bytes]:
    last = {"A": 0, "B:C": 0}

    def levels() -> list[Level]:
        return [(rng.randrange(20), rng.randrange(3)) for _ in range(rng.randrange(5))]

    def update(symbol: str) -> Book:
        prev = last[symbol] + (not rng.randrange(8))  # a hole, now and then
        last[symbol] = prev + 1
        of = {"symbol": symbol, "ts": MS + prev}
        if not rng.randrange(4):
            return snapshot(prev + 1, list(dict(levels()).items()), [], **of)
        return delta(prev, prev + 1, levels(), levels(), **of)

    made = []
    for n in range(rng.randint(1, 25)):
        some = [update(rng.choice(list(last))) for _ in range(rng.randint(1, 3))]
        made.append(record(*some, recv_ms=MS + n))
    whole = [snapshot(last[s] + 1, [(1, 1)], [(2, 2)], symbol=s) for s in last]
    return [*made, record(*whole, recv_ms=MS + 99)]


stories = st.integers(0, 2**32).map(random.Random).map(story)


@given(stories, st.integers(0, 2**32))
def test_any_crash_and_replay_publishes_no_other_book(records, seed) -> None:
    wanted: Seen = straight(lambda: Books(0, 4), records)
    assert_same_story(killed(lambda: Books(250, 4), records, seed), wanted)
