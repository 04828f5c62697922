"""static.okx.com: zips of csv, single trades, days of UTC+8; sizes of swaps are contracts."""

import re
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from simulator.archive.published import Published, always, number, span, words
from simulator.past import Ints, Stretch
from simulator.symbols import Symbol

if TYPE_CHECKING:
    from simulator.exchange import Exchange

ROOT = "/cdn/okex/traderecords/trades/"
DAILY = re.compile(
    ROOT + r"daily/(?P<folder>\d{8})/(?P<symbol>.+)-trades-(?P<name>\d{4}-\d\d-\d\d)\.zip"
)
MONTHLY = re.compile(
    ROOT + r"monthly/(?P<folder>[^/]+)/(?P<symbol>.+)-trades-(?P<name>\d{4}-\d\d)\.zip"
)
ZONE_H = 8


def find(path: str, exchange: "Exchange") -> Published | None:
    """Return the file at a path."""
    daily, monthly = DAILY.fullmatch(path), MONTHLY.fullmatch(path)
    told = daily or monthly
    if told is None:
        return None
    name, ledger = told["name"], exchange.ledgers.get(told["symbol"])
    times = span(name, ZONE_H)
    folder = name.replace("-", "") if daily else told["symbol"]
    if ledger is None or times is None or told["folder"] != folder:
        return None
    symbol = ledger.symbol
    return Published(
        symbol=symbol,
        name=name,
        from_ms=times[0],
        until_ms=times[1],
        member=f"{symbol.name}-trades-{name}.csv",
        packing="zip",
        table=lambda rows, _: _table(rows, symbol),
        header=True,
        is_monthly=monthly is not None,
    )


def _table(rows: Stretch, symbol: Symbol) -> pa.Table:
    """Return the trades one by one: all but the last of a row are of one lot, as over REST."""
    counts = rows.last - rows.first + 1
    at = np.repeat(np.arange(len(counts)), counts)
    place: Ints = np.arange(len(at)) - np.repeat(np.cumsum(counts) - counts, counts)
    is_last = place == counts[at] - 1
    qty = np.where(is_last, rows.qty[at] - (counts[at] - 1) * symbol.lot, symbol.lot)
    scale = symbol.qty_scale + symbol.contract_exponent
    return pa.table(
        {
            "instrument_name": always(symbol.name, len(at)),
            "trade_id": rows.first[at] + place,
            "side": words(rows.side[at] > 0, "buy", "sell"),
            "price": number(rows.price[at], symbol.price_scale, trims=True),
            "size": number(qty, scale, trims=True),
            "created_time": rows.ts_ms[at],
        }
    )
