"""Binance's books: what a frame becomes, how updates chain, and whole books out of recordings."""

import gzip
import json
import re
from collections.abc import Iterator
from decimal import Decimal

import pytest
from venue_frames import BINANCE_LINEAR_DEPTH, BINANCE_SPOT_DEPTH, CAPTURES, packed

from ingest.exchanges.base import BookRow, Chain, Other, Ticker
from ingest.exchanges.binance import LINEAR, SPOT, parse
from runtime.errors import Poison

RECV_MS = 1_770_000_000_123
SNAPSHOT = {"lastUpdateId": 1027024, "bids": [["4.00", "431.0"]], "asks": [["4.01", "12"]]}
RECORDED = "usdm_btcusdt_20230404.jsonl.gz"


def streamed(event: object, stream: str = "x@depth@100ms") -> bytes:
    return packed({"stream": stream, "data": event})


def update(first_id: int, last_id: int, prev_id: int | None = None) -> BookRow:
    return BookRow("X", 1, False, first_id, last_id, prev_id, [], [])


@pytest.mark.parametrize("pack", [streamed, packed], ids=["combined", "raw"])
def test_a_spot_update_keeps_its_texts_and_the_event_time(pack) -> None:
    assert list(parse(pack(BINANCE_SPOT_DEPTH))) == [
        BookRow("BNBBTC", BINANCE_SPOT_DEPTH["E"], False, 157, 160, None,
                [("0.0024", "10"), ("0.0023", "0.000")], [])
    ]  # fmt: skip


def test_a_futures_update_has_the_matching_time_and_the_event_before() -> None:
    (row,) = parse(streamed(BINANCE_LINEAR_DEPTH))
    assert (row.ts, row.prev_id) == (BINANCE_LINEAR_DEPTH["T"], 149)


def test_coin_m_fields_are_no_reason_to_refuse() -> None:
    (row,) = parse(streamed(BINANCE_LINEAR_DEPTH | {"s": "BTCUSD_PERP", "ps": "BTCUSD"}))
    assert row.symbol == "BTCUSD_PERP"
    assert parse(streamed(BINANCE_LINEAR_DEPTH | {"st": 2})) == (Other("coin_m_depthUpdate"),)


@pytest.mark.parametrize("stream", ["btcusdt@depth5", "btcusdt@depth20@500ms"])
def test_the_best_levels_alone_are_no_update(stream: str) -> None:
    assert parse(streamed(BINANCE_LINEAR_DEPTH, stream)) == (Other("partial_depth"),)


@pytest.mark.parametrize(
    "broken",
    [
        {"b": [["1"]]},
        {"b": [["1", "2", "3"]]},
        {"b": [[1, "2"]]},
        {"b": [["1", "x"]]},
        {"b": [["1", ""]]},
        {"b": [["", ""]]},
        {"b": [["1,2", "3"]]},
        {"b": [["1", "-2"]]},
        {"b": [["1", " 2"]]},
        {"b": [["NaN", "2"]]},
        {"b": [["1e5", "2"]]},
        {"b": [["1", "9" * 30]]},
        {"a": None},
        {"U": 161},
        {"u": 1.5},
        {"pu": -2},
        {"T": 1},
        {"s": ""},
    ],
)
def test_a_broken_update_is_refused_whole(broken: dict) -> None:
    with pytest.raises(Poison, match="depthUpdate: "):
        parse(streamed(BINANCE_LINEAR_DEPTH | broken))


@pytest.mark.parametrize(
    ("row", "first", "later"),
    [
        (update(90, 99), Chain.OLD, Chain.OLD),
        (update(90, 100), Chain.OLD, Chain.OLD),
        (update(95, 105), Chain.NEXT, Chain.NEXT),
        (update(100, 101), Chain.NEXT, Chain.NEXT),
        (update(101, 101), Chain.NEXT, Chain.NEXT),
        (update(102, 110), Chain.HOLE, Chain.HOLE),
    ],
)
def test_spot_updates_chain_by_their_first_id(row: BookRow, first: Chain, later: Chain) -> None:
    assert SPOT.book.chain(100, row, True) is first
    assert SPOT.book.chain(100, row, False) is later


@pytest.mark.parametrize(
    ("row", "first", "later"),
    [
        (update(80, 99, 79), Chain.OLD, Chain.OLD),
        (update(90, 100, 89), Chain.NEXT, Chain.OLD),  # its last id equals the snapshot's
        (update(95, 105, 89), Chain.NEXT, Chain.NEXT),  # begins inside the book
        (update(130, 150, 100), Chain.NEXT, Chain.NEXT),  # comes right after it
        (update(101, 105, 99), Chain.NEXT, Chain.NEXT),  # ids between are another symbol's
        (update(95, 105, None), Chain.NEXT, Chain.HOLE),  # only the first is found by its range
        (update(102, 105, 101), Chain.HOLE, Chain.HOLE),
        (update(130, 150, 120), Chain.HOLE, Chain.HOLE),
        (update(130, 150, None), Chain.HOLE, Chain.HOLE),
    ],
)
def test_futures_updates_chain_by_the_event_before(
    row: BookRow, first: Chain, later: Chain
) -> None:
    assert LINEAR.book.chain(100, row, True) is first
    assert LINEAR.book.chain(100, row, False) is later


def test_a_snapshot_is_asked_for_by_symbol_with_the_weight_of_its_depth() -> None:
    spot, linear = SPOT.book.snapshot("BTCUSDT"), LINEAR.book.snapshot("BTCUSDT")
    assert (spot.path, spot.weight) == ("/api/v3/depth?symbol=BTCUSDT&limit=1000", 50)
    assert (linear.path, linear.weight) == ("/fapi/v1/depth?symbol=BTCUSDT&limit=1000", 20)
    assert SPOT.book.snapshot("币安人生USDT").path.isascii()


def test_a_snapshot_is_a_row_of_its_symbol() -> None:
    row = SPOT.book.read_snapshot(packed(SNAPSHOT), "BNBBTC", RECV_MS)
    assert row == BookRow("BNBBTC", RECV_MS, True, 1027024, 1027024, None, [("4.00", "431.0")],
                          [("4.01", "12")])  # fmt: skip
    timed = SNAPSHOT | {"E": RECV_MS - 9, "T": RECV_MS - 11}
    assert LINEAR.book.read_snapshot(packed(timed), "X", RECV_MS).ts == RECV_MS - 11


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"\xff",
        packed({"code": -1121, "msg": "Invalid symbol."}),
        packed(SNAPSHOT | {"bids": [["1", "many"]]}),
        packed(SNAPSHOT | {"lastUpdateId": "1"}),
    ],
)
def test_a_body_that_is_no_book_is_refused(body: bytes) -> None:
    with pytest.raises(Poison, match="not a book of Binance"):
        SPOT.book.read_snapshot(body, "BNBBTC", RECV_MS)


def test_a_snapshot_inside_a_recording_is_named() -> None:
    assert parse(packed(SNAPSHOT)) == (Other("depth_snapshot"),)
    assert parse(streamed(SNAPSHOT, "x@depth20")) == (Other("partial_depth"),)


def recorded() -> Iterator[bytes]:
    path = CAPTURES / "binance" / RECORDED
    if not path.exists():
        pytest.skip(f"no recordings in {CAPTURES}")
    with gzip.open(path, "rb") as lines:
        yield from (line.strip() for line in lines)


class Book:
    """Just enough of a book to say what its best prices are."""

    def __init__(self, snapshot: BookRow) -> None:
        self.last_id, self.is_first = snapshot.last_id, True
        self.sides: tuple[dict[Decimal, Decimal], ...] = ({}, {})
        self._fill(snapshot)

    def apply(self, row: BookRow) -> bool:
        place = LINEAR.book.chain(self.last_id, row, self.is_first)
        assert place is not Chain.HOLE, row
        if place is Chain.NEXT:
            self.last_id, self.is_first = row.last_id, False
            self._fill(row)
        return place is Chain.NEXT

    def _fill(self, row: BookRow) -> None:
        for side, levels in zip(self.sides, (row.bids, row.asks), strict=True):
            for price, qty in levels:
                side[Decimal(price)] = Decimal(qty)
                if not Decimal(qty):
                    del side[Decimal(price)]

    def top(self) -> tuple[Decimal, Decimal, Decimal, Decimal]:
        bid, ask = max(self.sides[0]), min(self.sides[1])
        return bid, self.sides[0][bid], ask, self.sides[1][ask]


def test_a_recorded_book_agrees_with_the_best_prices_after_every_update() -> None:
    waiting, tops, best, book = [], {}, {}, None
    for line in recorded():
        for event in parse(line):
            if event == Other("depth_snapshot"):
                book = Book(LINEAR.book.read_snapshot(line, "BTCUSDT", RECV_MS))
            elif type(event) is BookRow:
                waiting.append(event)
            elif type(event) is Ticker:
                best[event.update_id] = (
                    event.bid1_price, event.bid1_size, event.ask1_price, event.ask1_size
                )  # fmt: skip
        while book is not None and waiting:
            if book.apply(row := waiting.pop(0)):
                tops[row.last_id] = book.top()
    assert len(tops) > 4_000
    told = {last_id: top for last_id, top in tops.items() if last_id > min(best)}
    ids = sorted(best)
    at = 0
    for last_id, top in sorted(told.items()):
        while at + 1 < len(ids) and ids[at + 1] <= last_id:
            at += 1
        assert best[ids[at]] == top, last_id


@pytest.mark.parametrize(
    ("file", "market", "events"),
    [("cf_spot_20211012", SPOT, 170), ("cf_usdm_20210722", LINEAR, 700)],
    ids=["spot", "linear"],
)
def test_recorded_updates_chain_without_a_hole_from_their_snapshots(file, market, events) -> None:
    folder = CAPTURES / "binance"
    if not folder.exists():
        pytest.skip(f"no recordings in {CAPTURES}")
    lines = gzip.decompress((folder / f"{file}_ws.jsonl.gz").read_bytes()).splitlines()
    updates = [row for line in lines for row in parse(line) if type(row) is BookRow]
    assert len(updates) >= events
    books = 0
    for line in gzip.decompress((folder / f"{file}_rest.jsonl.gz").read_bytes()).splitlines():
        told = json.loads(line)
        name = re.search(r"/depth\?symbol=(\w+)", told["url"])
        if name is None:
            continue
        row = market.book.read_snapshot(told["raw"].encode(), name[1], RECV_MS)
        assert row.bids
        assert row.asks
        last_id, is_first = row.last_id, True
        for update_row in updates:
            if update_row.symbol == row.symbol:
                place = market.book.chain(last_id, update_row, is_first)
                assert place is not Chain.HOLE, (last_id, update_row)
                if place is Chain.NEXT:
                    last_id, is_first = update_row.last_id, False
        books += not is_first
    assert books >= 3
