from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest import batches
from ingest.batches import Collector
from ingest.decimals import Unfit, digits
from ingest.exchanges.base import TradeRow
from schemas.trades import decode_batch, encode_batch, rows


def trade(
    id_: int = 1, price: str = "1.5", qty: str = "2", *, symbol: str = "A", side: int = 1, flags=0,
    first: int | None = None, last: int | None = None, uid: str = "",
) -> TradeRow:  # fmt: skip
    return TradeRow(
        "trade",
        symbol,
        id_,
        1_700_000_000_000 + id_,
        *digits(price),
        *digits(qty),
        side,
        flags,
        id_ if first is None else first,
        id_ if last is None else last,
        uid,
    )


def collector(partition_of=lambda _: 0, **scales: tuple[int, int]) -> Collector:
    return Collector("binance", "spot", partition_of=partition_of, scales=scales)


NUMBER = st.decimals(0, 10**6, places=6).map(lambda d: format(d, "f"))


@given(
    st.lists(
        st.tuples(NUMBER, NUMBER, st.sampled_from("ABC"), st.sampled_from([1, -1]),
                  st.sampled_from([0, 1])),
        min_size=1, max_size=30,
    )
)  # fmt: skip
def test_what_goes_in_comes_out_whatever_the_scales(trades) -> None:
    it = collector(lambda s: ord(s) % 2, A=(2, 3), B=(8, 0))
    expected = {}
    for i, (price, qty, symbol, side, flags) in enumerate(trades):
        it.add(trade(i, price, qty, symbol=symbol, side=side, flags=flags), i)
        expected[symbol, i] = (Decimal(price), Decimal(qty), side, flags)
    assert it.rows == len(trades)
    found = {}
    for partition, batch in it.drain():
        for t in rows(decode_batch(encode_batch(batch))):
            assert ord(t.symbol) % 2 == partition
            found[t.symbol, t.id] = (t.price, t.qty, t.side, t.flags)
    assert found == expected
    assert it.rows == 0
    assert list(it.drain()) == []


def test_the_scale_of_the_instrument_is_kept_until_a_text_needs_more() -> None:
    it = collector(A=(2, 3))
    it.add(trade(1, "28165.47000000", "0.00100000"), 0)
    ((_, batch),) = it.drain()
    assert (batch.symbols[0].price_scale, batch.symbols[0].price) == (2, [2816547])
    assert (batch.symbols[0].qty_scale, batch.symbols[0].qty) == (3, [1])
    it.add(trade(2, "1.5", "1"), 0)
    it.add(trade(3, "1.234", "1"), 0)
    ((_, batch),) = it.drain()
    assert (batch.symbols[0].price_scale, batch.symbols[0].price) == (3, [1500, 1234])
    it.add(trade(4, "2", "1"), 0)
    ((_, batch),) = it.drain()
    assert batch.symbols[0].price_scale == 3, "a scale never shrinks"


def test_a_number_that_no_common_scale_holds_is_refused_and_the_rest_stays() -> None:
    it = collector(A=(8, 0))
    it.add(trade(1, "1.00000001"), 0)
    with pytest.raises(Unfit):  # 10**20 at the 8 decimals that A has
        it.add(trade(2, "1000000000000"), 0)
    it.add(trade(3, "1.5", "1000"), 0)
    with pytest.raises(Unfit):  # at 18 decimals the quantity of trade 3 would not fit
        it.add(trade(4, "1.5", "0.000000000000000001"), 0)
    it.add(trade(5, "1.5", "1000"), 0)
    ((_, batch),) = it.drain()
    assert batch.symbols[0].id == [1, 3, 5]
    assert batch.symbols[0].qty == [2, 1000, 1000]


def test_constant_columns_are_sent_once() -> None:
    it = collector()
    it.add(trade(1), 0)
    it.add(trade(2), 0)
    ((_, batch),) = it.drain()
    group = batch.symbols[0]
    assert (group.side, group.flags, group.first, group.last) == (1, 0, None, None)
    it.add(trade(3, side=1, first=30, last=31), 0)
    it.add(trade(4, side=-1, flags=1, first=32, last=32), 0)
    ((_, batch),) = it.drain()
    group = batch.symbols[0]
    assert (group.side, group.flags) == ([1, -1], [0, 1])
    assert (group.first, group.last) == ([30, 32], [31, 32])
    assert group.trade_count() == 3


def test_records_are_bounded_and_stay_in_order(monkeypatch) -> None:
    monkeypatch.setattr(batches, "RECORD_ROWS_MAX", 4)
    it = collector()
    for i in range(10):
        it.add(trade(i), 100 + i)
    drained = [batch for _, batch in it.drain()]
    assert [len(b) for b in drained] == [4, 4, 2]
    assert [i for b in drained for i in b.symbols[0].id] == list(range(10))
    assert [b.recv_ns for b in drained] == [103, 107, 109]


def test_textual_ids_make_a_column_only_where_there_are_any() -> None:
    it = Collector("bybit", "linear", partition_of=lambda _: 0, ids="unique")
    for id_, symbol, uid in ((1, "A", ""), (2, "A", "x"), (3, "A", ""), (4, "B", "")):
        it.add(trade(id_, symbol=symbol, uid=uid), 0)
    ((_, batch),) = it.drain()
    assert [(g.symbol, g.ids, g.uid) for g in batch.symbols] == [
        ("A", "unique", ["", "x", ""]),
        ("B", "unique", None),
    ]


def test_ranges_are_always_told() -> None:
    it = Collector("okx", "spot", partition_of=lambda _: 0, ids="range")
    it.add(trade(1), 0)
    ((_, batch),) = it.drain()
    group = decode_batch(encode_batch(batch)).symbols[0]
    assert (group.ids, group.first, group.last) == ("range", [1], [1])


def test_the_size_of_a_contract_is_told_where_it_is_not_one_coin() -> None:
    sizes = {"A": "0.01", "B": "1"}
    it = Collector("okx", "linear", partition_of=lambda _: 0, contract_sizes=sizes)
    for symbol in "ABC":
        it.add(trade(symbol=symbol), 0)
    ((_, batch),) = it.drain()
    assert [group.contract_size for group in batch.symbols] == ["0.01", None, None]
