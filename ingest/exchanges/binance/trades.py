"""Binance trade events, spot and USD-M, typed, and their way to a TradeRow.

``m`` is "the buyer is the maker", so true means that the taker SOLD.
"""

from msgspec import Struct

from ingest.decimals import digits
from ingest.exchanges.base import TradeRow
from ingest.exchanges.binance.fields import Id, Text, TimeMs, UsdM
from schemas.trades import BUY, SELL, Flag

NON_MARKET = Flag.NON_MARKET.value


class Trade(Struct, tag_field="e", tag="trade", gc=False):
    """One match: ``<symbol>@trade``."""

    s: Text
    t: Id
    p: Text
    q: Text
    T: TimeMs
    m: bool
    X: str = "MARKET"
    """USD-M only. INSURANCE_FUND, ADL and NA consume an id and are in no candle."""
    st: UsdM = 1


class AggTrade(Struct, tag_field="e", tag="aggTrade", gc=False):
    """Matches of one taker at one price: ``<symbol>@aggTrade``."""

    s: Text
    a: Id
    p: Text
    q: Text
    f: Id
    l: Id  # noqa: E741 - the venue's name
    T: TimeMs
    m: bool
    st: UsdM = 1


def trade_row(event: Trade | AggTrade) -> TradeRow:
    """Return the trade; raise ValueError naming the field that makes no sense."""
    price, price_scale = _digits("p", event.p)
    qty, qty_scale = _digits("q", event.q)
    if isinstance(event, Trade):
        kind, id_, first, last = "trade", event.t, event.t, event.t
        flags = 0 if event.X == "MARKET" else NON_MARKET
    else:
        kind, id_, first, last, flags = "aggTrade", event.a, event.f, event.l, 0
        if last < first:
            raise ValueError(f"l: the last trade id {last} is below the first {first}")
    return TradeRow(
        kind=kind,
        symbol=event.s,
        id=id_,
        ts=event.T,
        price=price,
        price_scale=price_scale,
        qty=qty,
        qty_scale=qty_scale,
        side=SELL if event.m else BUY,
        flags=flags,
        first=first,
        last=last,
    )


def _digits(name: str, number: str) -> tuple[int, int]:
    try:
        return digits(number)
    except ValueError as e:
        raise ValueError(f"{name}: {e}") from e
