"""Binance's past: ``aggTrades`` of USD-M, ``historicalTrades`` of spot, both from an id on.

The spot stream tells single trades, so their ids are wanted; the time of an id is found through
``aggTrades``, whose first trade id leads over.
https://developers.binance.com/docs/binance-spot-api-docs/rest-api/market-data-endpoints
https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api
"""

from collections.abc import Sequence
from urllib.parse import quote

from msgspec import Struct, json

from ingest.exchanges.base import Request, TradeRow
from ingest.exchanges.binance.fields import Id, Text, TimeMs
from ingest.exchanges.binance.trades import AggTrade, Trade, trade_row
from ingest.recovery.past import ByIds

HOUR_MS = 3_600_000
PAGE_ROWS_MAX = 1_000


class _Aggregate(Struct, gc=False):
    a: Id
    p: Text
    q: Text
    f: Id
    l: Id  # noqa: E741 - the venue's name
    T: TimeMs
    m: bool


class _Single(Struct, gc=False):
    id: Id
    price: Text
    qty: Text
    time: TimeMs
    isBuyerMaker: bool  # noqa: N815 - the venue's name


_aggregates = json.Decoder(list[_Aggregate]).decode
_singles = json.Decoder(list[_Single]).decode


def _read_aggregates(body: bytes, symbol: str) -> Sequence[TradeRow]:
    return [
        trade_row(AggTrade(s=symbol, a=t.a, p=t.p, q=t.q, f=t.f, l=t.l, T=t.T, m=t.m))
        for t in _aggregates(body)
    ]


def _read_singles(body: bytes, symbol: str) -> Sequence[TradeRow]:
    return [
        trade_row(Trade(s=symbol, t=t.id, p=t.price, q=t.qty, T=t.time, m=t.isBuyerMaker))
        for t in _singles(body)
    ]


def _located_aggregate(body: bytes) -> int | None:
    found = _aggregates(body)
    return found[0].a if found else None


def _located_single(body: bytes) -> int | None:
    found = _aggregates(body)
    return found[0].f if found else None


def _within_an_hour(path: str, symbol: str, from_ms: int) -> str:
    until_ms = from_ms + HOUR_MS - 1
    return f"{path}?symbol={quote(symbol)}&startTime={from_ms}&endTime={until_ms}&limit=1"


LINEAR = ByIds(
    request=lambda symbol, from_id: Request(
        path=f"/fapi/v1/aggTrades?symbol={quote(symbol)}&fromId={from_id}&limit={PAGE_ROWS_MAX}",
        weight=20,
    ),
    read=_read_aggregates,
    page_rows_max=PAGE_ROWS_MAX,
    locate=lambda symbol, from_ms: Request(
        path=_within_an_hour("/fapi/v1/aggTrades", symbol, from_ms), weight=20
    ),
    read_located=_located_aggregate,
    locate_span_ms=HOUR_MS,
)
SPOT = ByIds(
    request=lambda symbol, from_id: Request(
        path=f"/api/v3/historicalTrades?symbol={quote(symbol)}&fromId={from_id}"
        f"&limit={PAGE_ROWS_MAX}",
        weight=25,
    ),
    read=_read_singles,
    page_rows_max=PAGE_ROWS_MAX,
    locate=lambda symbol, from_ms: Request(
        path=_within_an_hour("/api/v3/aggTrades", symbol, from_ms), weight=4
    ),
    read_located=_located_single,
    locate_span_ms=HOUR_MS,
)
