"""public.bybit.com: csv.gz with headers and without checksums; spot has no ids, linear seconds."""

import re
from typing import TYPE_CHECKING

import pyarrow as pa

from simulator.archive.published import Published, always, number, span, words
from simulator.ledger import Row
from simulator.past import Stretch
from simulator.symbols import Symbol
from simulator.venues.bybit.trades import RPI_EVERY, linear_uid

if TYPE_CHECKING:
    from simulator.exchange import Exchange

LINEAR = re.compile(r"/trading/(?P<symbol>[^/]+)/(?P<file>.+)(?P<name>\d{4}-\d\d-\d\d)\.csv\.gz")
SPOT = re.compile(
    r"/spot/(?P<symbol>[^/]+)/(?P<file>.+)(?:_(?P<name>\d{4}-\d\d-\d\d)|-(?P<month>\d{4}-\d\d))"
    r"\.csv\.gz"
)


def find(path: str, exchange: "Exchange", *, is_linear: bool) -> Published | None:
    """Return the file at a path."""
    told = (LINEAR if is_linear else SPOT).fullmatch(path)
    if told is None or told["file"] != told["symbol"]:
        return None
    month = told.groupdict().get("month")
    name = month or told["name"]
    ledger, times = exchange.ledgers.get(told["symbol"]), span(name)
    if ledger is None or times is None:
        return None
    symbol = ledger.symbol
    return Published(
        symbol=symbol,
        name=name,
        from_ms=times[0],
        until_ms=times[1],
        member=path.rpartition("/")[2].removesuffix(".gz"),
        packing="gzip",
        table=lambda rows, before: (
            _linear(rows, symbol) if is_linear else _spot(rows, symbol, before)
        ),
        header=True,
        is_monthly=bool(month),
    )


def _linear(rows: Stretch, symbol: Symbol) -> pa.Table:
    count, scale = len(rows.id), symbol.price_scale + symbol.qty_scale
    size = number(rows.qty, symbol.qty_scale, trims=True)
    uids = [
        linear_uid(symbol, Row(row_id, 0, 0, 0, 0, row_id, row_id)) for row_id in rows.id.tolist()
    ]
    return pa.table(
        {
            # Tenths of a millisecond, which the stream does not tell.
            "timestamp": number(rows.ts_ms * 10 + rows.id % 10, 4, trims=True),
            "symbol": always(symbol.name, count),
            "side": words(rows.side > 0, "Buy", "Sell"),
            "size": size,
            "price": number(rows.price, symbol.price_scale),
            "tickDirection": always("ZeroPlusTick", count),
            "trdMatchID": pa.array(uids, pa.string()),
            "grossValue": always("1.2e+09", count),
            "homeNotional": size,
            "foreignNotional": number(rows.price * rows.qty, scale),
            "RPI": words(rows.id % RPI_EVERY == 0, "1", "0"),
        }
    )


def _spot(rows: Stretch, symbol: Symbol, before: int) -> pa.Table:
    return pa.table(
        {
            "id": range(before + 1, before + 1 + len(rows.id)),
            "timestamp": rows.ts_ms,
            "price": number(rows.price, symbol.price_scale, trims=True),
            "volume": number(rows.qty, symbol.qty_scale, least=6),
            "side": words(rows.side > 0, "buy", "sell"),
            "rpi": words(rows.id % RPI_EVERY == 0, "1", "0"),
        }
    )
