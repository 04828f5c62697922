"""Contracts to base coins, exactly: one contract is ``ctVal * ctMult`` base coins.

Volumes, open interest and candles are told in base coins already and stay as they are.
"""

from decimal import Decimal
from functools import lru_cache

from msgspec.structs import replace

from ingest.decimals import Unfit, digits
from ingest.exchanges.base import BookRow, Data, TradeRow
from schemas.numbers import INT64_MAX, SCALE_MAX, text
from schemas.updates import Liquidation, Ticker

SIZES_MAX = 4_096  # contract sizes remembered; a venue has a dozen


@lru_cache(maxsize=SIZES_MAX)
def _size(contract_size: str) -> tuple[int, int, Decimal]:
    value, scale = digits(contract_size)
    while scale and value % 10 == 0:
        value, scale = value // 10, scale - 1
    return value, scale, Decimal(contract_size)


def in_base(row: Data, contract_size: str) -> Data:
    """Return the row with its quantities in base coins; raise Unfit where 64 bits cannot."""
    if contract_size == "1":
        return row
    times, scale, exact = _size(contract_size)
    match row:
        case TradeRow():
            qty, qty_scale = _product(row.qty, row.qty_scale, times, scale)
            return replace(row, qty=qty, qty_scale=qty_scale)
        case BookRow():
            bids = [(price, _times(qty, times, scale)) for price, qty in row.bids]
            asks = [(price, _times(qty, times, scale)) for price, qty in row.asks]
            return replace(row, bids=bids, asks=asks)
        case Ticker():
            return replace(
                row,
                last_size=_maybe(row.last_size, exact),
                bid1_size=_maybe(row.bid1_size, exact),
                ask1_size=_maybe(row.ask1_size, exact),
            )
        case Liquidation():
            return replace(row, qty=row.qty * exact)
        case _:
            return row


def _product(qty: int, qty_scale: int, times: int, scale: int) -> tuple[int, int]:
    value, together = qty * times, qty_scale + scale
    while together and (value > INT64_MAX or together > SCALE_MAX) and value % 10 == 0:
        value, together = value // 10, together - 1
    if value > INT64_MAX or together > SCALE_MAX:
        raise Unfit(f"{text(qty, qty_scale)} contracts of {text(times, scale)} leave 64 bits")
    return value, together


def _times(qty: str, times: int, scale: int) -> str:
    return text(*_product(*digits(qty), times, scale))


def _maybe(size: Decimal | None, exact: Decimal) -> Decimal | None:
    return None if size is None else size * exact
