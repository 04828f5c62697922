"""Flagged trades of a window, summed: what a venue may count in its candles, or leave out.

A record without a flag is not even decoded: the word ``"flags"`` stands only where one is set.
"""

from decimal import Context, Decimal
from typing import NamedTuple

import msgspec

from processors.fold import Unreadable
from schemas.trades import BUY, Flag, SymbolTrades, UnreadableBatch, decode_batch

NON_MARKET, BLOCK, RPI = "non-market", "block", "rpi"
_KINDS = {Flag.NON_MARKET: NON_MARKET, Flag.BLOCK: BLOCK, Flag.RPI: RPI}
_MARK = b'"flags"'
EXACT = Context(prec=200)
"""Sums and products keep every digit; Python's default rounds to 28."""


class Sums(msgspec.Struct, frozen=True):
    """What the flagged trades of one window add up to; names are those of a candle."""

    volume: Decimal = Decimal(0)
    quote_volume: Decimal = Decimal(0)
    taker_buy_volume: Decimal = Decimal(0)
    taker_buy_quote_volume: Decimal = Decimal(0)
    trade_count: int = 0

    def plus(self, other: "Sums") -> "Sums":
        """Return the sums of both."""
        add = EXACT.add
        return Sums(
            add(self.volume, other.volume),
            add(self.quote_volume, other.quote_volume),
            add(self.taker_buy_volume, other.taker_buy_volume),
            add(self.taker_buy_quote_volume, other.taker_buy_quote_volume),
            self.trade_count + other.trade_count,
        )


class FlaggedTrade(NamedTuple):
    """One flagged trade of a symbol, as sums of one."""

    symbol: str
    ts: int
    kind: str
    sums: Sums


class FlaggedTrades(NamedTuple):
    """Those of one record, in its order."""

    exchange: str
    channel: str
    trades: list[FlaggedTrade]


def flagged_trades(value: bytes) -> FlaggedTrades | None:
    """Return the flagged trades of a trade record, None without any; raise Unreadable."""
    if _MARK not in value:
        return None
    try:
        batch = decode_batch(value)
    except UnreadableBatch as e:
        raise Unreadable(str(e)) from e
    found = [
        FlaggedTrade(group.symbol, group.ts[at], kind, _sums(group, at))
        for group in batch.symbols
        if group.flags
        for at, flags in enumerate(group.flag_list())
        if flags
        for flag, kind in _KINDS.items()
        if flags & flag
    ]
    return FlaggedTrades(batch.exchange, batch.channel, found)


def _sums(group: SymbolTrades, at: int) -> Sums:
    price = Decimal(group.price[at]).scaleb(-group.price_scale, EXACT)
    qty = Decimal(group.qty[at]).scaleb(-group.qty_scale, EXACT)
    quote = EXACT.multiply(price, qty)
    is_buy = (group.side if isinstance(group.side, int) else group.side[at]) == BUY
    inside = (
        1 if group.first is None or group.last is None else group.last[at] - group.first[at] + 1
    )
    return Sums(
        volume=qty,
        quote_volume=quote,
        taker_buy_volume=qty if is_buy else Decimal(0),
        taker_buy_quote_volume=quote if is_buy else Decimal(0),
        trade_count=inside,
    )
