"""Readers of TradeBatch for analysts: flat columns, numpy, polars and pandas.

The columns of ``columns`` and ``to_numpy`` keep prices as fixed-point integers beside their scales;
the data frames hold exact decimals. ``uid`` is empty where the venue's ids are numbers.
"""

from itertools import repeat

import numpy as np
import pandas as pd
import polars as pl

from schemas.numbers import SCALE_MAX
from schemas.trades import Trade, TradeBatch, rows

COLUMN_NAMES = (
    "exchange",
    "channel",
    "symbol",
    "price_scale",
    "qty_scale",
    "id",
    "ts",
    "price",
    "qty",
    "side",
    "flags",
    "first",
    "last",
    "uid",
)
_TEXT_COLUMNS = ("exchange", "channel", "symbol", "uid")
# 20 digits before the point and 18 after it hold every 64-bit integer at every scale. Left to
# itself, polars takes the scale of the first rows, and rounds the finer prices after them.
_EXACT = pl.Decimal(38, SCALE_MAX)
_POLARS_TYPES: dict[str, pl.DataType | type[pl.DataType]] = {
    **dict.fromkeys(Trade._fields, pl.Int64),
    **dict.fromkeys(_TEXT_COLUMNS, pl.String),
    **dict.fromkeys(("price", "qty"), _EXACT),
}


def columns(batch: TradeBatch) -> dict[str, list[object]]:
    """Return the batch as flat columns, fixed-point integers beside their scales."""
    out: dict[str, list[object]] = {name: [] for name in COLUMN_NAMES}
    for g in batch.symbols:
        n = len(g)
        out["exchange"].extend(repeat(batch.exchange, n))
        out["channel"].extend(repeat(batch.channel, n))
        out["symbol"].extend(repeat(g.symbol, n))
        out["price_scale"].extend(repeat(g.price_scale, n))
        out["qty_scale"].extend(repeat(g.qty_scale, n))
        out["id"].extend(g.id)
        out["ts"].extend(g.ts)
        out["price"].extend(g.price)
        out["qty"].extend(g.qty)
        out["side"].extend(g.sides())
        out["flags"].extend(g.flag_list())
        out["first"].extend(g.first or g.id)
        out["last"].extend(g.last or g.id)
        out["uid"].extend(g.uid or repeat("", n))
    return out


def to_numpy(batch: TradeBatch) -> dict[str, np.ndarray]:
    """Return the columns as numpy arrays: int64, and object for text; prices stay fixed-point."""
    return {
        name: np.asarray(values, dtype=object if name in _TEXT_COLUMNS else np.int64)
        for name, values in columns(batch).items()
    }


def to_polars(batch: TradeBatch) -> pl.DataFrame:
    """Return one row a trade with exact Decimal prices; every batch gives the same types."""
    frame = pl.DataFrame(list(rows(batch)), schema=_POLARS_TYPES, orient="row")
    return frame.with_columns(pl.from_epoch("ts", time_unit="ms").dt.replace_time_zone("UTC"))


def to_pandas(batch: TradeBatch) -> pd.DataFrame:
    """Return one row a trade, prices as Decimal objects, ``ts`` as UTC timestamps."""
    frame = pd.DataFrame(list(rows(batch)), columns=list(Trade._fields))
    return frame.assign(ts=pd.to_datetime(frame["ts"], unit="ms", utc=True))
