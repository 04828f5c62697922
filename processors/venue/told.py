"""What a venue tells of its candles, in which order it counts, and when one of them is over.

Not every venue says that a candle is closed: where none does, the next candle says it.
"""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from processors.fold import Unreadable
from schemas.intervals import DAY_MS, MINUTE_MS, MONTH_MS, WEEK_MS, Interval
from schemas.updates import VenueKline, VenueKlineUpdates

STREAMED = (Interval(MINUTE_MS),)
"""The intervals that the ingestors subscribe of every venue."""

CLOSED_BY_THE_NEXT = frozenset({"hyperliquid", "kraken"})
"""Hyperliquid never says that a candle is closed, Kraken only where it tells it after its end. Of
the others a candle without that word is not whole: its last frames never came."""

FIELDS = (
    *("open", "high", "low", "close", "volume", "quote_volume"),
    *("taker_buy_volume", "taker_buy_quote_volume", "trade_count"),
)
_MONTHS = {"1M", "M"}

_decode = msgspec.json.Decoder(VenueKlineUpdates).decode


def decode_venue_klines(value: bytes) -> VenueKlineUpdates:
    """Read one record of ``md.venue-klines.v1``; raise Unreadable."""
    try:
        updates = _decode(value)
    except msgspec.MsgspecError as e:
        raise Unreadable(str(e)) from e
    for row in updates.data:
        for number in numbers(row):
            # A text "NaN" is a Decimal, and compares with nothing.
            if isinstance(number, Decimal) and not number.is_finite():
                raise Unreadable(f"{row.symbol}: {number} is no number")
    return updates


def not_streamed(intervals: Sequence[Interval]) -> tuple[Interval, ...]:
    """Return those of the intervals that no venue is asked for."""
    return tuple(interval for interval in intervals if interval not in STREAMED)


def frame_of(row: VenueKline) -> Interval | None:
    """Return the interval whose window this is; None where ours never opens there."""
    if row.interval == MONTH_MS and row.name in _MONTHS:
        return Interval(MONTH_MS, "month")
    plain = Interval(row.interval)
    if row.interval == WEEK_MS and Interval(WEEK_MS, "mon").open_ms(row.timestamp) == row.timestamp:
        return Interval(WEEK_MS, "mon")
    fits = 0 < row.interval <= 30 * DAY_MS and row.timestamp % row.interval == 0
    return plain if fits else None


def numbers(row: VenueKline) -> tuple[Decimal | int | None, ...]:
    """Return everything that a candle tells but when it was told."""
    return tuple(getattr(row, name) for name in FIELDS)


def is_newer(row: VenueKline, held: VenueKline) -> bool:
    """Say whether ``row`` changes what ``held`` told of the same candle.

    A repeat does not, and neither does what another socket brings late: a closed candle stays
    closed, times do not go back, and where a venue tells no time of the update volume only grows.
    """
    if row.closed != held.closed:
        return row.closed
    if numbers(row) == numbers(held) or row.ts < held.ts:
        return False
    if row.closed or row.ts > held.ts:
        return True
    return (row.volume, row.trade_count or 0) >= (held.volume, held.trade_count or 0)
