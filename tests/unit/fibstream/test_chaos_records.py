from decimal import Decimal

import pytest

from fibstream.chaos.records import trade_rows
from fibstream.chaos.tape import read_json
from schemas.trades import BUY, SELL, SymbolTrades, TradeBatch, encode_batch, rows

PLAIN = SymbolTrades("A", 2, 1, [7, 8, 9], [5, 6, 6], [100, 101, 99], [1, 2, 3], [BUY, SELL, BUY])
SPANS = SymbolTrades(
    *("B", 0, 0, [3, 4], [6, 9], [2**40, 5], [1, 1], [SELL, SELL]), first=[10, 13], last=[12, 13]
)
CONSTANT = SymbolTrades("C", 0, 0, [4], [1], [5], [6], BUY, flags=3, uid=["x"], ids="unique")


@pytest.mark.parametrize("binary_from", [1, 100])
@pytest.mark.parametrize("groups", [[PLAIN], [PLAIN, CONSTANT], [SPANS], [SPANS, SPANS]])
def test_a_record_is_read_as_it_was_meant_packed_or_not(groups, binary_from):
    batch = TradeBatch("x", "spot", "live", 1, groups)
    value = read_json(encode_batch(batch, binary_from=binary_from))
    assert value["v"] == (1 if CONSTANT in groups else 2)
    read = list(trade_rows(5, value))
    meant = list(rows(batch))
    for row, trade in zip(read, meant, strict=True):
        assert (row.exchange, row.channel, row.symbol) == trade[:3]
        assert Decimal(row.price).scaleb(-row.price_scale) == trade.price
        assert Decimal(row.qty).scaleb(-row.qty_scale) == trade.qty
        for name in ("id", "ts", "side", "flags", "first", "last", "uid"):
            assert getattr(row, name) == getattr(trade, name)
    assert {row.record for row in read} == {5}
    assert [row.place for row in read] == [n for group in groups for n in range(len(group))]
    counts = [n for g in groups for n in ([3, 1] if g is SPANS else [1] * len(g))]
    assert [row.trades for row in read] == counts
