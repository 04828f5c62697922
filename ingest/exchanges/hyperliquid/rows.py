"""Hyperliquid's trades, books and candles, typed, and their way to rows.

``side`` is the taker's: ``B`` bought, ``A`` sold. Many trades share one ``hash``; ``tid`` is what
tells them apart, and it is in no order.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from msgspec import Meta, Raw, Struct
from msgspec.json import Decoder

from ingest.decimals import digits
from ingest.exchanges.base import BookRow, TradeRow
from ingest.exchanges.hyperliquid.numbers import number
from schemas.numbers import INT64_MAX
from schemas.trades import BUY, SELL
from schemas.updates import VenueKline

# Lenient towards new fields, strict towards these: a float id or a bare number is refused.
Id = Annotated[int, Meta(ge=0, le=INT64_MAX)]
Text = Annotated[str, Meta(min_length=1, max_length=40)]
# Milliseconds between 2001 and 2286: a stamp in other units would close every candle at once.
TimeMs = Annotated[int, Meta(ge=10**12, lt=10**13)]

MINUTE_MS = 60_000
DAY_MS = 1_440 * MINUTE_MS
INTERVALS_MS: Mapping[str, int] = {
    **{f"{n}m": n * MINUTE_MS for n in (1, 3, 5, 15, 30)},
    **{f"{n}h": n * 60 * MINUTE_MS for n in (1, 2, 4, 8, 12)},
    "1d": DAY_MS,
    "3d": 3 * DAY_MS,
    "1w": 7 * DAY_MS,
    "1M": 30 * DAY_MS,
}


class _Trade(Struct, gc=False):
    coin: Text
    side: Literal["A", "B"]
    px: Text
    sz: Text
    time: TimeMs
    tid: Id


class _Level(Struct, gc=False):
    px: Text
    sz: Text


class _Book(Struct, gc=False):
    coin: Text
    time: TimeMs
    levels: tuple[list[_Level], list[_Level]]


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


_trades = Decoder(list[_Trade]).decode
_book = Decoder(_Book).decode
_candle = Decoder(_Candle).decode


def trade_rows(data: Raw) -> Sequence[TradeRow]:
    """Return the trades of a frame; raise ValueError naming the field that is no number."""
    return [_trade_row(trade) for trade in _trades(data)]


def _trade_row(trade: _Trade) -> TradeRow:
    price, price_scale = _digits("px", trade.px)
    qty, qty_scale = _digits("sz", trade.sz)
    return TradeRow(
        "trades",
        trade.coin,
        trade.tid,
        trade.time,
        price,
        price_scale,
        qty,
        qty_scale,
        BUY if trade.side == "B" else SELL,
        0,
        trade.tid,
        trade.tid,
    )


def book_row(data: Raw) -> Sequence[BookRow]:
    """Return the whole book, which may be empty; its time stands for the id it does not have."""
    book = _book(data)
    bids, asks = book.levels
    return (
        BookRow(
            book.coin,
            book.time,
            is_snapshot=True,
            first_id=book.time,
            last_id=book.time,
            prev_id=None,
            bids=[_level(level) for level in bids],
            asks=[_level(level) for level in asks],
        ),
    )


def _level(level: _Level) -> tuple[str, str]:
    _digits("px", level.px)
    _digits("sz", level.sz)
    return level.px, level.sz


def kline_row(data: Raw) -> Sequence[VenueKline]:
    """Return the candle as it grows: no frame says that it is closed, nor when it was sent."""
    candle = _candle(data)
    if candle.i not in INTERVALS_MS:
        raise ValueError(f"i: unknown interval {candle.i!r:.20}")
    return (
        VenueKline(
            symbol=candle.s,
            interval=INTERVALS_MS[candle.i],
            name=candle.i,
            timestamp=candle.t,
            open=number("o", candle.o),
            high=number("h", candle.h),
            low=number("l", candle.l),
            close=number("c", candle.c),
            volume=number("v", candle.v),
            closed=False,
            ts=0,
            trade_count=candle.n,
        ),
    )


def _digits(field: str, text: str) -> tuple[int, int]:
    try:
        return digits(text)
    except ValueError as e:
        raise ValueError(f"{field}: {e}") from e
