"""Books whose every frame is whole, and frames that say a price twice."""

from ingest.books import BookKeeper
from ingest.books.keeper import GONE_BACK_MS, NOTHING
from ingest.exchanges.base import BookRow, BookRule, Chain


def always(_last_id: int, _row: BookRow, _is_first: bool) -> Chain:
    return Chain.NEXT


def snap(id_: int, bids=(("100", "1"),), **more) -> BookRow:
    return BookRow("S", id_, True, id_, id_, None, list(bids), [("101", "1")], **more)


def test_of_whole_frames_an_older_one_came_late_unless_the_venues_clock_was_set_back() -> None:
    keeper = BookKeeper("S", BookRule(chain=always, is_whole=True))
    keeper.take(snap(10), 0)
    keeper.take(snap(20, bids=[("7", "1")]), 100)
    assert keeper.take(snap(15, bids=[("6", "1")]), 200) == NOTHING
    assert keeper.book.bids.all() == [(7, 1)]
    assert keeper.take(snap(16, bids=[("5", "1")]), 101 + GONE_BACK_MS).updates
    assert keeper.book.bids.all() == [(5, 1)]


def test_a_price_twice_in_a_snapshot_is_as_the_second_says() -> None:
    keeper = BookKeeper("S", BookRule(chain=always, checksum=lambda bids, asks: len(bids)))
    out = keeper.take(snap(1, checksum=1, bids=[("7", "1"), ("6", "2"), ("7", "0")]), 1)
    assert out.updates[0].bids == [(6, 2)]
