"""data.binance.vision: zips of csv with checksums; daily and monthly, trades and aggTrades."""

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pyarrow as pa

from simulator.archive.published import Published, always, number, span, words
from simulator.past import Stretch
from simulator.symbols import Symbol
from simulator.venues.binance.market import Market

if TYPE_CHECKING:
    from simulator.exchange import Exchange

PATH = re.compile(
    r"/data/(?P<market>spot|futures/um)/(?P<span>daily|monthly)/(?P<kind>aggTrades|trades)"
    r"/(?P<symbol>[^/]+)/(?P<file>[^/]+)-(?P<again>aggTrades|trades)-(?P<name>[0-9-]+)\.zip"
    r"(?P<checksum>\.CHECKSUM)?"
)
MARKETS = {"spot": "spot", "futures/um": "linear"}
MICROSECONDS_FROM_MS = int(datetime(2025, 1, 1, tzinfo=UTC).timestamp()) * 1_000


def find(path: str, exchange: "Exchange", market: Market) -> Published | None:
    """Return the file at a path."""
    told = PATH.fullmatch(path)
    if told is None or MARKETS[told["market"]] != market.channel or told["kind"] != told["again"]:
        return None
    ledger, name, kind = exchange.ledgers.get(told["symbol"]), told["name"], told["kind"]
    times, is_monthly = span(name), told["span"] == "monthly"
    if ledger is None or told["file"] != told["symbol"] or times is None:
        return None
    if (name.count("-") == 1) != is_monthly or (kind == "trades" and not market.is_spot):
        return None
    symbol = ledger.symbol
    is_us = market.is_spot and times[0] >= MICROSECONDS_FROM_MS
    return Published(
        symbol=symbol,
        name=name,
        from_ms=times[0],
        until_ms=times[1],
        member=f"{symbol.name}-{kind}-{name}.csv",
        packing="zip",
        table=lambda rows, _: _table(rows, symbol, market, kind, is_us=is_us),
        header=not market.is_spot,
        is_aggregated=kind == "aggTrades",
        is_checksum=bool(told["checksum"]),
        is_monthly=is_monthly,
    )


def _table(rows: Stretch, symbol: Symbol, market: Market, kind: str, *, is_us: bool) -> pa.Table:
    price = number(rows.price, symbol.price_scale, least=market.decimals_min)
    qty = number(rows.qty, symbol.qty_scale, least=market.decimals_min)
    stamp = rows.ts_ms * 1_000 + rows.id % 1_000 if is_us else rows.ts_ms
    # Both spellings exist: the older files have capital letters.
    yes, no = ("True", "False") if market.is_spot else ("true", "false")
    maker = words(rows.side < 0, yes, no)
    best = {"is_best_match": always(yes, len(rows.id))} if market.is_spot else {}
    if kind == "trades":
        scale = symbol.price_scale + symbol.qty_scale
        quote = number(rows.price * rows.qty, scale, least=market.decimals_min)
        told = {"id": rows.id, "price": price, "qty": qty, "quote_qty": quote, "time": stamp}
    else:
        told = {
            "agg_trade_id": rows.id,
            "price": price,
            "quantity": qty,
            "first_trade_id": rows.first,
            "last_trade_id": rows.last,
            "transact_time": stamp,
        }
    return pa.table({**told, "is_buyer_maker": maker, **best})
