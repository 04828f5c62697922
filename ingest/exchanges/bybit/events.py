"""``allLiquidation`` and ``kline``: frames whose ``data`` is a list of independent events.

A liquidation's ``S`` is the side of the POSITION: Buy says that a long was liquidated, so its order
sold. A kline frame at a minute's end holds two candles, the closed one first.
"""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct, json

from ingest.exchanges.bybit.fields import Text, TimeMs, number
from schemas.trades import BUY, SELL
from schemas.updates import Liquidation, VenueKline

MINUTE_MS = 60_000
DAY_MS = 86_400_000
INTERVALS_MS = {str(n): n * MINUTE_MS for n in (1, 3, 5, 15, 30, 60, 120, 240, 360, 720)} | {
    "D": DAY_MS,
    "W": 7 * DAY_MS,
    "M": 30 * DAY_MS,
}


class _Liquidation(Struct, gc=False):
    T: TimeMs
    s: Text
    S: Literal["Buy", "Sell"]
    v: str
    p: str
    """The bankruptcy price."""


class _Kline(Struct, gc=False):
    start: TimeMs
    interval: str
    open: str
    high: str
    low: str
    close: str
    volume: str
    confirm: bool
    turnover: str = ""


_decode_liquidations = json.Decoder(list[_Liquidation]).decode
_decode_klines = json.Decoder(list[_Kline]).decode


def liquidations(data: bytes) -> Sequence[Liquidation]:
    """Return the forced orders; raise ValueError naming what is wrong."""
    return [
        Liquidation(
            symbol=told.s,
            ts=told.T,
            side=SELL if told.S == "Buy" else BUY,
            price=number("p", told.p),
            qty=number("v", told.v),
        )
        for told in _decode_liquidations(data)
    ]


def klines(data: bytes, *, symbol: str, ts: int) -> Sequence[VenueKline]:
    """Return the candles; ``ts`` is the frame's. Raise ValueError naming what is wrong."""
    return [_kline(told, symbol, ts) for told in _decode_klines(data)]


def _kline(told: _Kline, symbol: str, ts: int) -> VenueKline:
    if told.interval not in INTERVALS_MS:
        raise ValueError(f"interval: {told.interval!r:.60} is unknown")
    return VenueKline(
        symbol=symbol,
        interval=INTERVALS_MS[told.interval],
        name=told.interval,
        timestamp=told.start,
        open=number("open", told.open),
        high=number("high", told.high),
        low=number("low", told.low),
        close=number("close", told.close),
        volume=number("volume", told.volume),
        closed=told.confirm,
        ts=ts,
        quote_volume=number("turnover", told.turnover) if told.turnover else None,
    )
