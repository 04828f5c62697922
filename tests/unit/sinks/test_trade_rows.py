"""Every form of a record makes the same rows: lists by symbol, packed lists, packed bytes."""

import random

import pytest

from schemas.topics import TRADES
from schemas.trades import PackedBatch, SymbolTrades, decode_any_batch, encode_batch, rows
from sinks.base import Record
from sinks.clickhouse.trades import trade_table
from tests.support import market

NAMES = ("SOLUSDT", "BTCUSDT", "ÉTHUSDT", "A")


def groups(seed: int, *, aggregated: bool) -> list[SymbolTrades]:
    pick, found = random.Random(seed), []
    for name in pick.sample(NAMES, 3):
        n, first_id, at = pick.randrange(1, 6), pick.randrange(1 << 40), pick.randrange(1 << 50)
        changes = {"symbol": name, "price_scale": pick.randrange(9), "side": pick.choice((1, -1))}
        if aggregated:
            edges = [at]
            for _ in range(n):
                edges.append(edges[-1] + pick.randrange(1, 4))
            changes |= {"first": edges[:-1], "last": [edge - 1 for edge in edges[1:]]}
        found.append(
            market.group(first_id, n, ts=[market.BASE_MS + i for i in range(n)], **changes)
        )
    return found


def value_of(batch, form: str) -> bytes:
    """Encode a batch in one of the three forms."""
    if form == "listed":
        batch.symbols[0].flags = [8] * len(batch.symbols[0])  # a flag cannot be packed
    value = encode_batch(batch, binary_from=1 if form == "bytes" else 1 << 60)
    read = decode_any_batch(value)
    assert isinstance(read, PackedBatch) == (form != "listed")
    if form != "listed":
        assert (read.ts.__class__ is bytes) == (form == "bytes")
    return value


@pytest.mark.parametrize("form", ["listed", "lists", "bytes"])
@pytest.mark.parametrize("aggregated", [False, True])
def test_rows_are_the_trades_whatever_the_form(form, aggregated) -> None:
    records, wanted = [], []
    for offset in range(4):
        batch = market.trade_batch(*groups(offset, aggregated=aggregated))
        records.append(Record(TRADES.name, 0, offset, 0, value_of(batch, form)))
        wanted += [(offset, *trade) for trade in rows(batch)]
    table, refused = trade_table(records)
    assert refused == []
    assert sorted(told(table)) == sorted(wanted)


def test_forms_may_stand_side_by_side_and_leave_in_the_order_of_the_key() -> None:
    records, wanted = [], []
    for offset, form in enumerate(("bytes", "listed", "lists", "bytes", "lists", "listed")):
        batch = market.trade_batch(*groups(offset, aggregated=offset % 2 == 0))
        records.append(Record(TRADES.name, 0, offset, 0, value_of(batch, form)))
        wanted += [(offset, *trade) for trade in rows(batch)]
    table, refused = trade_table(records)
    assert refused == []
    assert sorted(told(table)) == sorted(wanted)
    keys = [row[1:4] for row in told(table)]
    assert keys == sorted(keys, key=lambda key: [part.encode() for part in key])


def test_of_a_packed_record_only_the_group_that_does_not_fit_is_refused() -> None:
    bad = market.group(symbol="BAD", price_scale=13)
    batch = market.trade_batch(market.group(), bad, market.group(symbol="ETHUSDT"))
    table, refused = trade_table([Record(TRADES.name, 0, 5, 0, value_of(batch, "bytes"))])
    assert [each.record.offset for each in refused] == [5]
    assert table["symbol"].to_pylist() == ["BTCUSDT"] * 3 + ["ETHUSDT"] * 3
    assert table["place"].to_pylist() == [0, 1, 2] * 2


def test_a_column_that_would_say_nothing_is_left_to_its_default() -> None:
    table, _ = trade_table([Record(TRADES.name, 0, 0, 0, market.trades_value())])
    assert not {"uid", "flags", "contract_size"} & set(table.schema.names)


def told(table):
    """Return the rows as (rev, *Trade)."""
    return [
        (
            row["rev"],
            row["exchange"],
            row["channel"],
            row["symbol"],
            row["id"],
            round(row["ts"].timestamp() * 1_000),
            market.Decimal(row["price_int"]).scaleb(-row["price_scale"]),
            market.Decimal(row["qty_int"]).scaleb(-row["qty_scale"]),
            row["side"],
            row.get("flags", 0),
            row["first_id"],
            row["last_id"],
            row.get("uid", ""),
        )
        for row in table.to_pylist()
    ]
