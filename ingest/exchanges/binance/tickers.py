"""Binance's two tickers: the best prices at every change, and the day's figures once a second.

Spot tells the best prices in both, and no time at all in the first; USD-M tells them only there.
"""

from decimal import Decimal

from msgspec import Struct

from ingest.decimals import are_plain, decimal
from ingest.exchanges.binance.fields import NOT_TOLD_MS, Id, Text, TimeMs, UsdM
from schemas.updates import Ticker


class BestPrices(Struct, gc=False):
    """``<symbol>@bookTicker`` as spot sends it: without ``e``."""

    u: Id
    s: Text
    b: Text
    B: Text
    a: Text
    A: Text
    T: TimeMs | None = None
    """Futures only."""
    st: UsdM = 1


class BookTicker(BestPrices, tag_field="e", tag="bookTicker", gc=False):
    """The same with its name."""


class DayTicker(Struct, tag_field="e", tag="24hrTicker", gc=False):
    """The last 24 hours: ``<symbol>@ticker``."""

    E: TimeMs
    s: Text
    P: Text
    c: Text
    Q: Text
    o: Text
    h: Text
    l: Text  # noqa: E741 - the venue's name
    v: Text
    q: Text
    n: Id
    b: Text | None = None
    """Spot only, as the three below."""
    B: Text | None = None
    a: Text | None = None
    A: Text | None = None
    st: UsdM = 1


def book_ticker_row(event: BestPrices) -> Ticker:
    """Return the best prices; the rest of the ticker is as it was."""
    if not are_plain((event.b, event.B, event.a, event.A)):
        raise ValueError("b, B, a, A: not all of them are decimal numbers")
    return Ticker(
        symbol=event.s,
        ts=NOT_TOLD_MS if event.T is None else event.T,
        is_snapshot=False,
        bid1_price=Decimal(event.b),
        bid1_size=Decimal(event.B),
        ask1_price=Decimal(event.a),
        ask1_size=Decimal(event.A),
        update_id=event.u,
    )


def day_ticker_row(event: DayTicker) -> Ticker:
    """Return the whole ticker, as far as Binance tells one in a frame."""
    return Ticker(
        symbol=event.s,
        ts=event.E,
        is_snapshot=True,
        last_price=decimal(event.c),
        last_size=decimal(event.Q),
        price_24h_pcnt=decimal(event.P).scaleb(-2),
        prev_price_24h=decimal(event.o),
        high_price_24h=decimal(event.h),
        low_price_24h=decimal(event.l),
        volume_24h=decimal(event.v),
        turnover_24h=decimal(event.q),
        trade_count_24h=event.n,
        bid1_price=_told(event.b),
        bid1_size=_told(event.B),
        ask1_price=_told(event.a),
        ask1_size=_told(event.A),
    )


def _told(number: str | None) -> Decimal | None:
    return None if number is None else decimal(number)
