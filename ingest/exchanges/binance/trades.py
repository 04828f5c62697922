"""Binance trade events, spot and USD-M, typed, and their way to a TradeRow.

``m`` is "the buyer is the maker", so true means that the taker SOLD.
"""

from typing import Annotated

from msgspec import Meta, Struct

from ingest.decimals import digits
from ingest.exchanges.base import TradeRow
from schemas.numbers import INT64_MAX
from schemas.trades import BUY, SELL, Flag

# Lenient towards new fields, strict towards these: a float id or a bare number is refused.
Id = Annotated[int, Meta(ge=0, le=INT64_MAX)]
Text = Annotated[str, Meta(min_length=1, max_length=40)]
# Milliseconds between 2001 and 2286: a stamp in other units would close every candle at once.
TimeMs = Annotated[int, Meta(ge=10**12, lt=10**13)]

COIN_M = 2  # `st` of events that the merged UM + CM streams deliver for the other market


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
    st: int = 1


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
    st: int = 1


def row(event: Trade | AggTrade) -> TradeRow:
    """Return the trade; raise ValueError naming the field that is no number."""
    try:
        price, price_scale = digits(event.p)
    except ValueError as e:
        raise ValueError(f"p: {e}") from e
    try:
        qty, qty_scale = digits(event.q)
    except ValueError as e:
        raise ValueError(f"q: {e}") from e
    side = SELL if event.m else BUY
    if type(event) is AggTrade:
        if event.l < event.f:
            raise ValueError(f"l: the last trade id {event.l} is below the first {event.f}")
        kind, id_, flags, first, last = "aggTrade", event.a, 0, event.f, event.l
    else:
        kind, id_ = "trade", event.t  # type: ignore[union-attr]
        flags = 0 if event.X == "MARKET" else Flag.NON_MARKET.value  # type: ignore[union-attr]
        first = last = id_
    return TradeRow(
        kind,
        event.s,
        id_,
        event.T,
        price,
        price_scale,
        qty,
        qty_scale,
        side,
        flags,
        first,
        last,
    )
