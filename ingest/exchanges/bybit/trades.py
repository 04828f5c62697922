"""``publicTrade``: up to 1,024 trades a frame, in the order of matching.

``i`` is a UUID on linear and digits on spot, and neither is ordered without holes: no gap shows.
Many trades share one ``seq``, the venue's order across everything that it matches.
"""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct, json

from ingest.decimals import digits
from ingest.exchanges.base import TradeRow
from ingest.exchanges.bybit.fields import Id, Text, TimeMs
from schemas.numbers import INT64_MAX
from schemas.trades import BUY, SELL, Flag

KIND = "publicTrade"


class Trade(Struct, gc=False):
    """One match; REST tells the same under other names."""

    T: TimeMs
    s: Text
    S: Literal["Buy", "Sell"]
    """The taker's."""
    v: Text
    p: Text
    i: Text
    BT: bool = False
    RPI: bool = False
    seq: Id = 0
    """Not told before 2025."""


_decode = json.Decoder(list[Trade]).decode


def trades(data: bytes) -> Sequence[TradeRow]:
    """Return the trades of a frame in its order; raise ValueError naming what is wrong."""
    return [trade_row(trade) for trade in _decode(data)]


def trade_row(trade: Trade) -> TradeRow:
    """Return the trade; raise ValueError naming what is wrong."""
    try:
        price, price_scale = digits(trade.p)
        qty, qty_scale = digits(trade.v)
    except ValueError as e:
        raise ValueError(f"p or v: {e}") from e
    told = trade.i
    if told.isdecimal() and told.isascii():
        id_, uid = int(told), ""
        if id_ > INT64_MAX:
            raise ValueError(f"i: {told} leaves 64 bits")
    else:
        id_, uid = trade.seq or trade.T, told
    return TradeRow(
        KIND,
        trade.s,
        id_,
        trade.T,
        price,
        price_scale,
        qty,
        qty_scale,
        BUY if trade.S == "Buy" else SELL,
        (Flag.BLOCK.value if trade.BT else 0) | (Flag.RPI.value if trade.RPI else 0),
        id_,
        id_,
        uid,
    )
