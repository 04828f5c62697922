"""The books of one market: what is drained, in which order, and how the full ones spread."""

import itertools
from collections import Counter

from ingest.books import Book, BookKeeping
from ingest.books.keeping import FULL_EVERY_MS
from ingest.exchanges.base import BookRow, BookRule, Chain, Instrument, Request

MS = 1_000_000
START_NS = 1_700_000_000_000 * MS


def by_range(last_id: int, row: BookRow, is_first: bool) -> Chain:
    if row.last_id <= last_id:
        return Chain.OLD
    return Chain.NEXT if row.first_id <= last_id + 1 else Chain.HOLE


REST = BookRule(chain=by_range, snapshot=lambda s: Request(path=s, weight=1))
STREAM = BookRule(chain=by_range)


def row(symbol: str, id_: int, *, is_snapshot: bool = False, qty: str = "1") -> BookRow:
    return BookRow(symbol, id_, is_snapshot, id_, id_, None, [("100", qty)], [("101", "1")])


def instrument(symbol: str) -> Instrument:
    return Instrument(
        symbol=symbol,
        unified=symbol,
        status="live",
        is_streamed=True,
        price_scale=2,
        qty_scale=3,
        contract_size="0.01",
    )


def test_what_comes_up_is_drained_once_and_in_order() -> None:
    keeping = BookKeeping(REST)
    keeping.take(row("A", 5), START_NS)
    keeping.take(row("B", 7), START_NS)
    out = keeping.drain()
    assert (out.fetch, out.updates, out.gaps) == (["A", "B"], [], [])
    keeping.snapshot(row("A", 4, is_snapshot=True), START_NS + 1)
    keeping.take(row("A", 6), START_NS + 2)
    out = keeping.drain()
    assert [(u.symbol, u.type, u.last_id) for u in out.updates] == [
        ("A", "snapshot", 4),
        ("A", "delta", 5),
        ("A", "delta", 6),
    ]
    assert out.recv_ns == START_NS + 2
    assert keeping.drain().updates == []


def test_a_hole_names_the_symbol_to_subscribe_again_and_no_other() -> None:
    keeping = BookKeeping(STREAM)
    for symbol in "ABC":
        keeping.take(row(symbol, 5, is_snapshot=True), START_NS)
    keeping.drain()
    keeping.take(row("B", 9), START_NS)
    keeping.take(row("C", 6), START_NS)
    out = keeping.drain()
    assert (out.resubscribe, out.fetch) == (["B"], [])
    assert [(g.symbol, g.reason) for g in out.gaps] == [("B", "hole")]
    assert [u.symbol for u in out.updates] == ["C"]


def test_scales_start_at_the_instruments_and_contracts_become_base_coins() -> None:
    keeping = BookKeeping(STREAM, instrument=instrument)
    keeping.take(row("A", 5, is_snapshot=True, qty="150"), START_NS)
    (update,) = keeping.drain().updates
    assert (update.price_scale, update.qty_scale) == (2, 3)
    assert update.bids == [(10_000, 1_500)]


def test_every_live_book_is_told_whole_every_30_s_and_never_all_at_once() -> None:
    keeping = BookKeeping(STREAM)
    symbols = [f"S{i}" for i in range(300)]
    for symbol in symbols:
        keeping.take(row(symbol, 5, is_snapshot=True), START_NS)
    keeping.take(row("void", 5), START_NS)
    keeping.drain()
    told: dict[int, list[str]] = {}
    for second in range(1, 91):
        keeping.pulse(START_NS + second * 1_000 * MS)
        updates = keeping.drain().updates
        assert all(u.type == "snapshot" and u.last_id == 5 for u in updates)
        told[second] = [u.symbol for u in updates]
    counts = Counter(symbol for each in told.values() for symbol in each)
    assert counts == dict.fromkeys(symbols, 3)
    assert max(len(each) for each in told.values()) < 30
    for symbol in symbols:
        at = [second for second, each in told.items() if symbol in each]
        assert [b - a for a, b in itertools.pairwise(at)] == [FULL_EVERY_MS // 1_000] * 2


def test_a_reader_may_start_at_any_full_book() -> None:
    keeping = BookKeeping(STREAM)
    reader, has_begun = Book("A"), False
    keeping.take(row("A", 1, is_snapshot=True), START_NS)
    keeping.drain()
    for i in range(2, 700):
        now_ns = START_NS + i * 100 * MS
        keeping.take(row("A", i, qty=str(i)), now_ns)
        keeping.pulse(now_ns)
        for update in keeping.drain().updates:
            has_begun = has_begun or update.type == "snapshot"
            if has_begun:
                reader.follow(update)
    assert reader.bids.all() == [(100, 699)]


def test_a_void_book_is_not_told() -> None:
    keeping = BookKeeping(STREAM)
    keeping.take(row("A", 5, is_snapshot=True), START_NS)
    keeping.take(row("A", 9), START_NS)
    keeping.drain()
    for second in range(60):
        keeping.pulse(START_NS + second * 1_000 * MS)
    out = keeping.drain()
    assert out.updates == []
    assert len(out.resubscribe) > 1


def test_a_lost_connection_voids_its_books_and_a_forgotten_symbol_is_gone() -> None:
    keeping = BookKeeping(STREAM)
    for symbol in "AB":
        keeping.take(row(symbol, 5, is_snapshot=True), START_NS)
    keeping.drop(["A", "unknown"])
    keeping.forget(["B", "unknown"])
    assert not keeping.keepers["A"].is_live
    assert set(keeping.keepers) == {"A"}
    keeping.drain()
    keeping.pulse(START_NS + 60_000 * MS)
    assert keeping.drain().updates == []
    keeping.take(row("A", 6, is_snapshot=True), START_NS)
    assert [u.type for u in keeping.drain().updates] == ["snapshot"]


def test_what_the_fetcher_tells_of_an_unknown_symbol_is_ignored() -> None:
    keeping = BookKeeping(REST)
    keeping.fetching("A")
    keeping.failed("A", START_NS)
    keeping.snapshot(row("A", 5, is_snapshot=True), START_NS)
    assert not keeping.is_waiting("A")
    assert keeping.drain().updates == []
