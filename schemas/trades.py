"""TradeBatch, the value of ``md.trades.v1``: the trades of one tick and partition, in columns.

Prices and quantities are integers: ``price / 10**price_scale``. ``ts`` is the venue's time in
milliseconds, ``recv_ns`` is ours; windows run on the first, latency is measured on the second.
A column may be sent as one number when it is the same for the whole group (``side``, ``flags``).
"""

from collections.abc import Iterator
from decimal import Decimal
from enum import IntFlag
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta

from schemas.numbers import INT64_MAX, SCALE_MAX, text

Channel = Literal["spot", "linear"]
Source = Literal["live", "rest", "archive"]

# One wild number must not stop a worker for good, so what is computed with is bounded here.
Int64 = Annotated[int, Meta(ge=-INT64_MAX - 1, le=INT64_MAX)]
Scale = Annotated[int, Meta(ge=0, le=SCALE_MAX)]
Millis = Annotated[int, Meta(ge=0, le=9_999_999_999_999)]  # until 2286; microseconds do not fit
ExchangeName = Annotated[str, Meta(pattern="^[a-z0-9_-]+$")]  # a part of keys, and of JSON text

BUY = 1
SELL = -1


class Flag(IntFlag):
    """What a venue says about a trade beyond its numbers."""

    NON_MARKET = 1
    """Insurance fund, ADL: consumes an id, and belongs to no candle."""
    BLOCK = 2
    RPI = 4
    HISTORY = 8


class UnreadableBatch(ValueError):  # noqa: N818 - reads as the claim it makes
    """A record of the trades topic that is not a TradeBatch."""


class SymbolTrades(msgspec.Struct, omit_defaults=True, gc=False):
    """The trades of one symbol, oldest first; every list has the same length, at least one."""

    symbol: str
    """The venue's own name."""
    price_scale: Scale
    """Decimals of ``price``."""
    qty_scale: Scale
    """Decimals of ``qty``."""
    id: list[Int64]
    """The venue's gap key (Binance spot: trade id, USD-M: aggregate id)."""
    ts: list[Millis]
    """The venue's time of the trade, in ms since 1970."""
    price: list[Int64]
    """``price * 10**price_scale``."""
    qty: list[Int64]
    """``quantity * 10**qty_scale``, in the base coin."""
    side: list[int] | int
    """The taker's: 1 buys, -1 sells."""
    flags: list[int] | int = 0
    """A sum of: 1 non-market (counts in no candle), 2 block, 4 RPI, 8 history."""
    first: list[Int64] | None = None
    """The first trade id inside each aggregate, where the venue aggregates."""
    last: list[Int64] | None = None
    """The last trade id inside each aggregate; comes with ``first``."""
    uid: list[str] | None = None
    """The venue's own id where it is no number; ``id`` then is the order within the symbol."""

    def __len__(self) -> int:
        return len(self.id)

    def trade_count(self) -> int:
        """Return how many trades the venue counts: aggregates count what they hold."""
        if self.first is None or self.last is None:
            return len(self.id)
        return sum(self.last) - sum(self.first) + len(self.id)

    def sides(self) -> list[int]:
        """Return the side of every trade."""
        return self.side if isinstance(self.side, list) else [self.side] * len(self.id)

    def flag_list(self) -> list[int]:
        """Return the flags of every trade."""
        return self.flags if isinstance(self.flags, list) else [self.flags] * len(self.id)


class TradeBatch(msgspec.Struct, gc=False):
    """One record: what one exchange and channel traded in one tick, grouped by symbol."""

    exchange: ExchangeName
    channel: Channel
    source: Source
    """Heard on the stream, or fetched later: from the venue's REST, or from its archive."""
    recv_ns: Int64
    """When the ingestor had the youngest of them, in ns since 1970."""
    symbols: Annotated[list[SymbolTrades], Meta(min_length=1)]
    v: Literal[1] = 1
    """The version of this shape."""

    def __len__(self) -> int:
        return sum(map(len, self.symbols))


class Trade(NamedTuple):
    """One trade as a row, numbers exact."""

    exchange: str
    channel: str
    symbol: str
    id: int
    ts: int
    price: Decimal
    qty: Decimal
    side: int
    flags: int
    first: int
    last: int


_decoder = msgspec.json.Decoder(TradeBatch)
encode_batch = msgspec.json.Encoder().encode


def decode_batch(value: bytes) -> TradeBatch:
    """Read one record, whole or not at all; raise UnreadableBatch saying why."""
    try:
        batch = _decoder.decode(value)
    except msgspec.MsgspecError as e:
        raise UnreadableBatch(str(e)) from e
    for group in batch.symbols:
        n = len(group.id)
        if not (n and n == len(group.ts) == len(group.price) == len(group.qty)):
            raise UnreadableBatch(f"{group.symbol}: columns of different length, or empty")
        side, flags, uid = group.side, group.flags, group.uid
        if (
            (isinstance(side, list) and len(side) != n)
            or (isinstance(flags, list) and len(flags) != n)
            or (uid is not None and len(uid) != n)
        ):
            raise UnreadableBatch(f"{group.symbol}: columns of different length")
        first, last = group.first, group.last
        if first is not None or last is not None:  # noqa: SIM102 - most venues stop here
            if first is None or last is None or not len(first) == len(last) == n:
                raise UnreadableBatch(f"{group.symbol}: first and last come together, a pair each")
    # A second group would be taken for a repeat of the first: a symbol has one offset.
    if len({group.symbol for group in batch.symbols}) != len(batch.symbols):
        raise UnreadableBatch("a symbol has two groups")
    return batch


def rows(batch: TradeBatch, symbol: str | None = None) -> Iterator[Trade]:
    """Yield the trades as rows with exact decimals, of one symbol or of all."""
    for g in batch.symbols:
        if symbol is not None and g.symbol != symbol:
            continue
        columns = zip(
            g.id,
            g.ts,
            g.price,
            g.qty,
            g.sides(),
            g.flag_list(),
            g.first or g.id,
            g.last or g.id,
            strict=True,
        )
        for id_, ts, price, qty, side, flags, first, last in columns:
            yield Trade(
                batch.exchange,
                batch.channel,
                g.symbol,
                id_,
                ts,
                Decimal(text(price, g.price_scale)),
                Decimal(text(qty, g.qty_scale)),
                side,
                flags,
                first,
                last,
            )
