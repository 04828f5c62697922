"""Books of OKX: the chain of ids, and the checksum of recordings that are older than ids."""

import gzip
from decimal import Decimal
from pathlib import Path
from zlib import crc32

import pytest

from ingest.exchanges.base import BookRow, Chain
from ingest.exchanges.okx import EXCHANGE
from ingest.exchanges.okx.frames import parse

CAPTURES = Path(__file__).parents[4] / "shared" / "captures" / "okx"
RULE = EXCHANGE.markets["linear"].book


def update(prev_id: int | None, last_id: int) -> BookRow:
    return BookRow("BTC-USDT", 1, False, last_id, last_id, prev_id, [], [])


@pytest.mark.parametrize(
    ("book_id", "row", "place"),
    [
        (10, update(10, 15), Chain.NEXT),
        (15, update(15, 15), Chain.NEXT),  # a keep-alive
        (15, update(15, 3), Chain.NEXT),  # the venue reset its ids for maintenance
        (3, update(3, 5), Chain.NEXT),
        (15, update(10, 15), Chain.OLD),  # the last one again
        (3, update(15, 3), Chain.OLD),
        (15, update(17, 18), Chain.HOLE),
        (15, update(3, 5), Chain.HOLE),  # it may follow a reset that was missed
        (15, update(None, 1), Chain.NEXT),  # before 2023
    ],
)
def test_an_update_has_one_place(book_id: int, row: BookRow, place: Chain) -> None:
    assert RULE.chain(book_id, row, False) is place


def test_the_documented_example_is_one_chain() -> None:
    book_id, places = 10, []
    for row in (update(10, 15), update(15, 15), update(15, 3), update(3, 5)):
        places.append(RULE.chain(book_id, row, False))
        book_id = row.last_id
    assert places == [Chain.NEXT] * 4


def test_the_checksum_takes_a_bid_and_an_ask_in_turns() -> None:
    asks = [("3366.8", "9"), ("3368", "8"), ("3372", "8")]
    told = RULE.checksum([("3366.1", "7")], asks)
    assert told % 2**32 == crc32(b"3366.1:7:3366.8:9:3368:8:3372:8")  # the documents' example


def test_the_checksum_is_signed() -> None:
    told = [RULE.checksum([(str(n), "1")], []) for n in range(64)]
    assert min(told) < 0 < max(told) < 2**31


def test_the_checksum_ends_at_25_levels() -> None:
    bids = [(str(100 - i), "1") for i in range(30)]
    assert RULE.checksum(bids, []) == RULE.checksum(bids[:25], [])
    assert RULE.checksum(bids, []) != RULE.checksum(bids[:24], [])


class Book:
    def __init__(self) -> None:
        self.bids: dict[str, str] = {}
        self.asks: dict[str, str] = {}

    def apply(self, row: BookRow) -> None:
        if row.is_snapshot:
            self.bids, self.asks = {}, {}
        for side, levels in ((self.bids, row.bids), (self.asks, row.asks)):
            for price, qty in levels:
                if Decimal(qty):
                    side[price] = qty
                else:
                    side.pop(price, None)

    def checksum(self) -> int:
        def by_price(level: tuple[str, str]) -> Decimal:
            return Decimal(level[0])

        bids = sorted(self.bids.items(), key=by_price, reverse=True)
        return RULE.checksum(bids, sorted(self.asks.items(), key=by_price))


@pytest.mark.parametrize(
    ("name", "frames"), [("cf_20220227_ws.jsonl.gz", 3679), ("cf_20220513_ws.jsonl.gz", 290)]
)
def test_every_checksum_of_a_recording_is_reproduced(name: str, frames: int) -> None:
    path = CAPTURES / name
    if not path.exists():
        pytest.skip(f"no recording at {path}")
    books: dict[str, Book] = {}
    checked = 0
    with gzip.open(path) as lines:
        for line in lines:
            for row in parse(line.strip()):
                if isinstance(row, BookRow):
                    book = books.setdefault(row.symbol, Book())
                    book.apply(row)
                    assert row.checksum == book.checksum()
                    checked += 1
    assert checked == frames
