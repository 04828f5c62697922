"""The truth's columns: dense ids, whole aggregates, copies that stay."""

from simulator.ledger import FillLedger, Ledger, Row
from simulator.symbols import Symbol

BTC = Symbol("BTCUSDT", "BTC", "USDT", 2, 1, 3, 6_800_000)


def _spot(aggregates: list[int]) -> FillLedger:
    """Aggregates of so many trades each, one millisecond apart."""
    ledger = FillLedger(BTC, next_id=100, next_trade_id=100)
    for at_ms, fills in enumerate(aggregates):
        ledger.open_aggregate()
        for fill in range(fills):
            ledger.append(at_ms, 10 + at_ms, fill + 1, 1, 1)
    return ledger


def test_ids_and_trade_ids_are_dense():
    ledger = Ledger(BTC, next_id=50, next_trade_id=900)
    ledger.append(1, 10, 5, 1, 3)
    ledger.append(1, 11, 6, -1, 2)
    assert ledger.rows(0, 10**9) == [
        Row(50, 1, 10, 5, 1, 900, 902),
        Row(51, 1, 11, 6, -1, 903, 904),
    ]
    assert ledger.rows(51, 52) == ledger.aggregates(51, 52) == [Row(51, 1, 11, 6, -1, 903, 904)]
    assert ledger.rows(52, 60) == ledger.rows(40, 50) == []


def test_rows_are_found_by_time():
    ledger = _spot([1, 1, 2, 1])
    assert [ledger.id_at(t) for t in (0, 1, 2, 3, 4)] == [100, 101, 102, 104, 105]
    assert ledger.aggregate_at(3) == ledger.first_aggregate_id + 3


def test_spot_aggregates_sum_their_trades():
    ledger = _spot([1, 3])
    first, second = ledger.aggregates(0, 10**9)
    assert (first.first, first.last, first.qty) == (100, 100, 1)
    assert (second.first, second.last, second.qty) == (101, 103, 6)
    assert second.id == first.id + 1 == ledger.next_aggregate_id - 1


def test_forgetting_drops_whole_aggregates_and_says_from_when_all_is_kept():
    ledger = _spot([2, 3, 1])
    assert ledger.forget(3) == 2
    assert ledger.first_kept_id == 102
    assert ledger.complete_from_ms == 1
    assert [row.qty for row in ledger.aggregates(0, 10**9)] == [6, 1]
    assert ledger.rows(100, 103) == [Row(102, 1, 11, 1, 1, 102, 102)]


def test_forgetting_nothing_is_allowed():
    ledger = _spot([5])
    assert ledger.forget(4) == 0
    assert Ledger(BTC, next_id=1, next_trade_id=1).forget(0) == 0


def test_a_row_is_sent_once():
    ledger = _spot([1])
    assert ledger.mark_sent(100, 77)
    assert not ledger.mark_sent(100, 99)
    assert not ledger.mark_sent(99, 99)  # forgotten
    assert ledger.sent_ns.tolist() == [77]


def test_a_copy_does_not_change_with_the_original():
    ledger = _spot([1, 1, 1])
    part = ledger.copy(101, 102)
    ledger.forget(2)
    assert part.rows(0, 10**9) == [Row(101, 1, 11, 1, 1, 101, 101)]
