"""Binance's own candles; ``x`` is true in the last frame of each."""

from msgspec import Struct

from ingest.decimals import decimal
from ingest.exchanges.binance.fields import Id, Text, TimeMs, UsdM
from schemas.updates import VenueKline

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
INTERVALS_MS = {
    "1s": SECOND_MS,
    **{f"{n}m": n * MINUTE_MS for n in (1, 3, 5, 15, 30)},
    **{f"{n}h": n * HOUR_MS for n in (1, 2, 4, 6, 8, 12)},
    **{f"{n}d": n * DAY_MS for n in (1, 3)},
    "1w": 7 * DAY_MS,
    "1M": 30 * DAY_MS,
}


class _Candle(Struct, gc=False):
    t: TimeMs
    s: Text
    i: str
    o: Text
    c: Text
    h: Text
    l: Text  # noqa: E741 - the venue's name
    v: Text
    n: Id
    x: bool
    q: Text
    V: Text
    Q: Text


class Kline(Struct, tag_field="e", tag="kline", gc=False):
    """A candle as it stands: ``<symbol>@kline_1m``."""

    E: TimeMs
    k: _Candle
    st: UsdM = 1


def kline_row(event: Kline) -> VenueKline:
    """Return the candle with everything that Binance tells of it."""
    candle = event.k
    interval = INTERVALS_MS.get(candle.i)
    if interval is None:
        raise ValueError(f"i: {candle.i!r} is no interval")
    return VenueKline(
        symbol=candle.s,
        interval=interval,
        name=candle.i,
        timestamp=candle.t,
        open=decimal(candle.o),
        high=decimal(candle.h),
        low=decimal(candle.l),
        close=decimal(candle.c),
        volume=decimal(candle.v),
        closed=candle.x,
        ts=event.E,
        quote_volume=decimal(candle.q),
        taker_buy_volume=decimal(candle.V),
        taker_buy_quote_volume=decimal(candle.Q),
        trade_count=candle.n,
    )
