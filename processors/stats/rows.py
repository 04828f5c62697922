"""The row of a day: the JSON text of ``schemas.stats.MarketStats``, decimals exact.

Sums and differences have all their digits; what is divided is rounded, as its field says.
"""

from decimal import Context, Decimal

import msgspec

from processors.stats.hours import EXACT, Sums
from schemas.klines import Quality

_PARTS = Decimal("0.000001")
_DIVIDED = Context(prec=200)  # six decimals of any two numbers that a minute may hold
_AVERAGE = Context(prec=16)


def prices(sums: Sums, last: Decimal) -> str:
    """Return the fields that a day without a trade does not have."""
    opened, volume = sums.open, sums.volume
    change = percent = None
    if opened is not None:
        change = EXACT.subtract(last, opened)
        percent = _parted(EXACT.multiply(change, Decimal(100)), opened)
    average = _AVERAGE.divide(sums.quote_volume, volume) if volume else None
    return (
        f',"open_price":{plain(opened)},"high_price":{plain(sums.high)}'
        f',"low_price":{plain(sums.low)},"last_price":{plain(last)}'
        f',"change":{plain(change)},"change_percent":{plain(percent)}'
        f',"weighted_avg_price":{plain(average)}'
    )


def volumes(sums: Sums) -> str:
    """Return the fields that are sums."""
    return (
        f',"volume":{plain(sums.volume)},"quote_volume":{plain(sums.quote_volume)}'
        f',"taker_buy_share":{plain(_parted(sums.buy_volume, sums.volume))}'
        f',"trade_count":{sums.count}'
    )


def quality(sums: Sums, covered: int, wanted: int) -> Quality:
    """Return what can be said of all candles together."""
    if covered < wanted or sums.gaps:
        return "gap"
    return "proven" if sums.candles and sums.proven == sums.candles else "assumed"


def plain(number: Decimal | None) -> str:
    """Return all digits without an exponent: one text for one number, however it was summed."""
    if number is None:
        return "null"
    return format(number.normalize(EXACT), "f") if number else "0"


def name(symbol: str) -> str:
    """Return a symbol as it stands in a row."""
    return msgspec.json.encode(symbol).decode()


def _parted(part: Decimal, whole: Decimal) -> Decimal | None:
    return _DIVIDED.divide(part, whole).quantize(_PARTS, context=_DIVIDED) if whole else None
