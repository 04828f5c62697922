"""The archives that can be read, and why the others cannot."""

from collections.abc import Mapping
from datetime import date
from typing import Literal

from ingest.recovery.archives.formats import Format
from ingest.recovery.archives.layouts import Layout
from schemas.trades import Channel

BINANCE = "https://data.binance.vision"
BYBIT = "https://public.bybit.com"
OKX = "https://static.okx.com"

_TRADES = Format(
    columns=("id", "price", "qty", "", "ts", "is_maker"),
    headers={
        "id": "id",
        "price": "price",
        "qty": "qty",
        "time": "ts",
        "is_buyer_maker": "is_maker",
        "isbuyermaker": "is_maker",
    },
    ids="dense",
)
_AGGREGATES = Format(
    columns=("id", "price", "qty", "first", "last", "ts", "is_maker"),
    headers={
        "agg_trade_id": "id",
        "price": "price",
        "quantity": "qty",
        "first_trade_id": "first",
        "last_trade_id": "last",
        "transact_time": "ts",
        "is_buyer_maker": "is_maker",
    },
    ids="dense",
)
_BYBIT_LINEAR = Format(
    columns=("seconds", "symbol", "side", "qty", "price", "", "uid"),
    headers={
        "timestamp": "seconds",
        "symbol": "symbol",
        "side": "side",
        "size": "qty",
        "price": "price",
        "trdmatchid": "uid",
        "rpi": "is_rpi",
    },
    ids="uid",
)
_BYBIT_SPOT = Format(
    columns=("", "ts", "price", "qty", "side", "is_rpi"),
    headers={
        "timestamp": "ts",
        "price": "price",
        "volume": "qty",
        "side": "side",
        "rpi": "is_rpi",
    },
    ids="place",
)
_OKX = Format(
    columns=("symbol", "id", "side", "price", "qty", "ts"),
    headers={
        "instrument_name": "symbol",
        "trade_id": "id",
        "side": "side",
        "price": "price",
        "size": "qty",
        "created_time": "ts",
    },
    ids="dense",
)


def binance(market: Literal["spot", "futures/um"], kind: Literal["trades", "aggTrades"]) -> Layout:
    """Return Binance's archive of one kind of file."""

    def path(span: str, symbol: str, name: str) -> str:
        return f"/data/{market}/{span}/{kind}/{symbol}/{symbol}-{kind}-{name}.zip"

    return Layout(
        url=BINANCE,
        form=_TRADES if kind == "trades" else _AGGREGATES,
        packing="zip",
        daily=lambda symbol, day: path("daily", symbol, day.isoformat()),
        monthly=lambda symbol, first: path("monthly", symbol, f"{first:%Y-%m}"),
        checksum=".CHECKSUM",
    )


def _okx_daily(symbol: str, day: date) -> str:
    return f"/cdn/okex/traderecords/trades/daily/{day:%Y%m%d}/{symbol}-trades-{day.isoformat()}.zip"


def _okx_monthly(symbol: str, first: date) -> str:
    return f"/cdn/okex/traderecords/trades/monthly/{symbol}/{symbol}-trades-{first:%Y-%m}.zip"


_OKX_LAYOUT = Layout(
    url=OKX,
    form=_OKX,
    packing="zip",
    daily=_okx_daily,
    monthly=_okx_monthly,
    zone_h=8,
    asks_absence_twice=True,
)

LAYOUTS: Mapping[tuple[str, Channel], Layout] = {
    # Files of the rows that the market streams, so that ids are the same series.
    ("binance", "spot"): binance("spot", "trades"),
    ("binance", "linear"): binance("futures/um", "aggTrades"),
    ("bybit", "spot"): Layout(
        url=BYBIT,
        form=_BYBIT_SPOT,
        packing="gzip",
        daily=lambda symbol, day: f"/spot/{symbol}/{symbol}_{day.isoformat()}.csv.gz",
        monthly=lambda symbol, first: f"/spot/{symbol}/{symbol}-{first:%Y-%m}.csv.gz",
        ids_match=False,
    ),
    ("bybit", "linear"): Layout(
        url=BYBIT,
        form=_BYBIT_LINEAR,
        packing="gzip",
        daily=lambda symbol, day: f"/trading/{symbol}/{symbol}{day.isoformat()}.csv.gz",
    ),
    ("okx", "spot"): _OKX_LAYOUT,
    ("okx", "linear"): _OKX_LAYOUT,
}

NOT_AUTOMATIC: Mapping[str, str] = {
    "hyperliquid": "its files are in a bucket whose readers pay, with credentials of their own",
    "kraken": "its files are quarterly, and downloaded by hand; its REST reaches all of the past",
}
