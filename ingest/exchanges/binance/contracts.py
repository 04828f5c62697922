"""What only contracts have: mark price and funding, forced orders, open interest.

The first mark price after a funding still names the funding just passed as the next one.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated
from urllib.parse import quote

from msgspec import DecodeError, Meta, Struct
from msgspec.json import Decoder

from ingest.decimals import decimal
from ingest.exchanges.base import Poll, Request
from ingest.exchanges.binance.fields import Text, TimeMs, UsdM
from runtime.errors import Poison
from schemas.trades import BUY, SELL
from schemas.updates import Funding, Liquidation, OpenInterest

MaybeEmpty = Annotated[str, Meta(max_length=40)]
SIDES = {"BUY": BUY, "SELL": SELL}


class MarkPrice(Struct, tag_field="e", tag="markPriceUpdate", gc=False):
    """Mark price and funding: ``<symbol>@markPrice@1s``."""

    E: TimeMs
    s: Text
    p: Text
    i: MaybeEmpty = ""
    r: MaybeEmpty = ""
    """Empty on dated contracts, as ``T`` is 0."""
    T: Annotated[int, Meta(ge=0, lt=10**13)] = 0
    st: UsdM = 1


class _Order(Struct, gc=False):
    s: Text
    S: Text
    q: Text
    p: Text
    T: TimeMs


class ForceOrder(Struct, tag_field="e", tag="forceOrder", gc=False):
    """A forced order, at most one a symbol and second: ``<symbol>@forceOrder``."""

    o: _Order
    st: UsdM = 1


class _OpenInterest(Struct):
    symbol: Text
    openInterest: Text  # noqa: N815 - the venue's names
    time: TimeMs | None = None


_decode_open_interest = Decoder(_OpenInterest).decode


def funding_row(event: MarkPrice) -> Funding:
    """Return the funding that runs, and the prices it is made of."""
    return Funding(
        symbol=event.s,
        ts=event.E,
        funding_rate=_told(event.r),
        next_funding_ms=event.T or None,
        mark_price=decimal(event.p),
        index_price=_told(event.i),
    )


def liquidation_row(event: ForceOrder) -> Liquidation:
    """Return the order with its own price and quantity, not what was filled of it."""
    order = event.o
    side = SIDES.get(order.S)
    if side is None:
        raise ValueError(f"S: {order.S!r} is no side")
    return Liquidation(order.s, order.T, side, decimal(order.p), decimal(order.q))


def read_open_interest(body: bytes, recv_ms: int) -> Sequence[OpenInterest]:
    """Read the body of ``openInterest`` for one symbol."""
    try:
        told = _decode_open_interest(body)
        ts = recv_ms if told.time is None else told.time
        return (OpenInterest(told.symbol, ts, decimal(told.openInterest)),)
    except (DecodeError, ValueError, RecursionError) as e:
        raise Poison(f"not the open interest of Binance: {e}", payload=body) from e


OPEN_INTEREST = Poll(
    kind="open-interest",
    request=lambda symbol: Request(path=f"/fapi/v1/openInterest?symbol={quote(symbol)}", weight=1),
    read=read_open_interest,
    every_s=60.0,
)


def _told(number: str) -> Decimal | None:
    return decimal(number) if number else None
