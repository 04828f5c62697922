from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import polars as pl
from market import BASE_MS, group, trade_batch

from schemas.frames import COLUMN_NAMES, columns, to_numpy, to_pandas, to_polars
from schemas.trades import Trade, TradeBatch, rows

# A float of 53 bits holds none of these prices exactly.
AWKWARD = [9_007_199_254_740_993, 9_223_372_036_854_775_807, 1]
BATCH = trade_batch(
    group(first_id=1, count=3, price=AWKWARD, price_scale=8, qty=[1, 2, 3], qty_scale=3),
    group(
        first_id=70, count=2, symbol="PEPEUSDT", price_scale=10, qty_scale=0, side=[1, -1],
        flags=[0, 4], first=[700, 705], last=[704, 705],
    ),
)  # fmt: skip
EMPTY = TradeBatch("binance", "spot", "live", 1, [])


def test_columns_are_flat_and_keep_the_integers_beside_their_scales():
    flat = columns(BATCH)
    assert tuple(flat) == COLUMN_NAMES
    assert {len(column) for column in flat.values()} == {len(BATCH)} == {5}
    assert flat["symbol"] == ["BTCUSDT"] * 3 + ["PEPEUSDT"] * 2
    assert flat["price"][:3] == AWKWARD
    assert flat["price_scale"] == [8, 8, 8, 10, 10]
    assert flat["side"] == [-1, -1, -1, 1, -1]
    assert flat["flags"] == [0, 0, 0, 0, 4]
    assert flat["first"] == [1, 2, 3, 700, 705]
    assert flat["last"] == [1, 2, 3, 704, 705]


def test_numpy_arrays_are_int64_to_the_last_bit():
    arrays = to_numpy(BATCH)
    for name in ("id", "ts", "price", "qty", "side", "flags", "first", "last", "price_scale"):
        assert arrays[name].dtype == np.int64
        assert arrays[name].tolist() == columns(BATCH)[name]
    assert arrays["symbol"].tolist() == columns(BATCH)["symbol"]


def test_polars_rows_are_the_rows_exactly():
    frame = to_polars(BATCH)
    assert frame.columns == list(Trade._fields)
    assert isinstance(frame.schema["price"], pl.Decimal)
    expected = list(rows(BATCH))
    assert frame["price"].to_list() == [trade.price for trade in expected]
    assert frame["price"][1] == Decimal("92233720368.54775807")
    assert frame["qty"].to_list() == [trade.qty for trade in expected]
    assert frame["ts"][0] == datetime.fromtimestamp((BASE_MS + 1) / 1000, UTC)
    assert frame["id"].dtype == frame["first"].dtype == pl.Int64


def test_pandas_rows_are_the_rows_exactly():
    frame = to_pandas(BATCH)
    assert list(frame.columns) == list(Trade._fields)
    expected = list(rows(BATCH))
    assert frame["price"].tolist() == [trade.price for trade in expected]
    assert all(type(price) is Decimal for price in frame["price"])
    assert frame["ts"].dt.tz is not None
    assert [t.timestamp() * 1000 for t in frame["ts"]] == [trade.ts for trade in expected]
    assert frame["id"].tolist() == [trade.id for trade in expected]


def test_a_batch_without_trades_gives_frames_with_the_same_columns_and_types():
    assert to_polars(EMPTY).schema == to_polars(BATCH).schema
    assert list(to_pandas(EMPTY).columns) == list(to_pandas(BATCH).columns)
    assert to_numpy(EMPTY)["price"].dtype == np.int64


def test_a_fine_price_after_hundreds_of_coarse_ones_keeps_its_digits():
    batch = trade_batch(
        group(count=300),
        group(count=1, symbol="PEPEUSDT", price_scale=18, price=[1], qty=[2**63 - 1], qty_scale=0),
        group(count=1, symbol="BIG", price_scale=0, price=[2**63 - 1], qty_scale=18, qty=[1]),
    )
    assert to_polars(batch)["price"].to_list() == [trade.price for trade in rows(batch)]
    assert to_polars(batch)["qty"].to_list() == [trade.qty for trade in rows(batch)]


def test_frames_of_any_two_batches_can_be_stacked():
    coarse = trade_batch(group(symbol="ETHUSDT", price_scale=1, qty_scale=0))
    both = [*rows(BATCH), *rows(coarse)]
    for order in ([BATCH, coarse, EMPTY], [EMPTY, coarse, BATCH]):
        stacked = pl.concat([to_polars(batch) for batch in order])
        assert sorted(stacked["price"]) == sorted(trade.price for trade in both)


def test_a_textual_id_reaches_every_frame_and_is_empty_elsewhere():
    batch = trade_batch(
        group(count=2, ids="unique", uid=["a-1", "b-2"]), group(count=1, symbol="B")
    )
    wanted = ["a-1", "b-2", ""]
    assert columns(batch)["uid"] == wanted
    assert to_numpy(batch)["uid"].tolist() == wanted
    assert to_polars(batch)["uid"].to_list() == wanted
    assert to_pandas(batch)["uid"].tolist() == wanted
