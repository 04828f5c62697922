"""TradeBatch, the value of ``md.trades.v1``: the trades of one tick and partition, in columns.

Prices and quantities are integers: ``price / 10**price_scale``. ``ts`` is the venue's time in
milliseconds, ``recv_ns`` is ours; windows run on the first, latency is measured on the second.
A column may be sent as one number when it is the same for the whole group (``side``, ``flags``).
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from enum import IntFlag
from itertools import repeat
from operator import gt
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta

from schemas.numbers import INT64_MAX, SCALE_MAX, text

Channel = Literal["spot", "linear"]
Source = Literal["live", "rest", "archive"]
IdRule = Literal["dense", "range", "unique"]
"""``dense``: ``id`` grows by one per symbol. ``range``: ``first`` is the last trade's ``last`` + 1.
``unique``: ids only tell trades apart, so no gap can be seen and candles are ``assumed``."""

# One wild number must not stop a worker for good, so what is computed with is bounded here.
Int64 = Annotated[int, Meta(ge=-INT64_MAX - 1, le=INT64_MAX)]
PACKED_MAX = 1 << 20  # trades of a packed record
PACKED_ID_MAX = (1 << 62) - 1  # two of them fit 64 bits together
PackedId = Annotated[int, Meta(ge=0, le=PACKED_ID_MAX)]
Side = Literal[1, -1]
SPAN_MAX = 1 << 40  # trades that the aggregates of a group may hold together
Span = Annotated[int, Meta(ge=0, le=SPAN_MAX)]
Scale = Annotated[int, Meta(ge=0, le=SCALE_MAX)]
Millis = Annotated[int, Meta(ge=0, le=9_999_999_999_999)]  # until 2286; microseconds do not fit
ExchangeName = Annotated[str, Meta(pattern="^[a-z0-9_-]+$")]  # a part of keys, and of JSON text
Uid = Annotated[str, Meta(max_length=72)]  # a UUID has 36 characters, a hash in hex 66
ContractSize = Annotated[str, Meta(pattern=r"^[0-9]{1,18}(\.[0-9]{1,18})?$", max_length=37)]

BUY = 1
SELL = -1
SIDES = frozenset((BUY, SELL))


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
    """The venue's id (Binance spot: trade id, USD-M: aggregate id); ``ids`` says what it proves."""
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
    uid: list[Uid] | None = None
    """The venue's own id where it is no number; ``id`` then is the venue's order and may repeat."""
    ids: IdRule = "dense"
    """dense: ``id`` grows by one. range: ``first`` is the last trade's ``last`` + 1. unique: ids
    (``uid``, where there is one) only tell trades apart, so that none can be seen missing."""
    contract_size: ContractSize | None = None
    """Base coins of one contract, where the venue trades contracts: contracts are qty / this."""

    def __len__(self) -> int:
        return len(self.id)

    def trade_count(self) -> int:
        """Return how many trades the venue counts: aggregates count what they hold."""
        if self.first is None or self.last is None:
            return len(self.id)
        return sum(self.last) - sum(self.first) + len(self.id)

    def keys(self) -> Sequence[int | str]:
        """Return what tells each trade from all others of the symbol."""
        return self.uid or self.id

    def sides(self) -> list[int]:
        """Return the side of every trade."""
        return self.side if isinstance(self.side, list) else [self.side] * len(self.id)

    def flag_list(self) -> list[int]:
        """Return the flags of every trade."""
        return self.flags if isinstance(self.flags, list) else [self.flags] * len(self.id)


class TradeBatch(msgspec.Struct, gc=False, tag_field="v", tag=1):
    """One record: what one exchange and channel traded in one tick, grouped by symbol."""

    exchange: ExchangeName
    channel: Channel
    source: Source
    """Heard on the stream, or fetched later: from the venue's REST, or from its archive."""
    recv_ns: Int64
    """When the ingestor had the youngest of them, in ns since 1970."""
    symbols: Annotated[list[SymbolTrades], Meta(min_length=1)]

    def __len__(self) -> int:
        return sum(map(len, self.symbols))


class PackedSymbol(msgspec.Struct, array_like=True, gc=False):
    """Where the trades of one symbol are in the columns: the next ``n``, of dense ids.

    In JSON it is a list, in this order.
    """

    symbol: str
    """The venue's own name."""
    price_scale: Scale
    qty_scale: Scale
    n: Annotated[int, Meta(ge=1, le=PACKED_MAX)]
    id: PackedId
    """Of its first trade; each id is one more than the one before it."""
    first: PackedId | None = None
    """The first trade id inside its first aggregate; each ``first`` is the ``last`` before, + 1."""
    contract_size: ContractSize | None = None


class PackedBatch(msgspec.Struct, omit_defaults=True, gc=False, tag_field="v", tag=2):
    """The same as a TradeBatch where no id is missing and no trade is flagged, in half the space.

    A column holds the trades of all symbols, symbol after symbol: a list of numbers, or, where
    there are very many as in a backfill, little-endian integers of 4 or 8 bytes each (1 of
    ``side``) in base64, all columns alike. Times are told from ``from_ms``, ``last`` from its
    symbol's ``first``. ``schemas.packed`` reads and writes it.
    """

    exchange: ExchangeName
    channel: Channel
    source: Source
    recv_ns: Int64
    from_ms: Millis
    symbols: Annotated[list[PackedSymbol], Meta(min_length=1)]
    ts: list[Millis] | bytes
    price: list[Int64] | bytes
    qty: list[Int64] | bytes
    side: list[Side] | bytes
    last: list[Span] | bytes | None = None
    """Where the venue aggregates: the last trade id inside each aggregate."""


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
    uid: str = ""


BINARY_FROM = 500  # trades of a record: columns of fewer are read faster as lists
_decoder = msgspec.json.Decoder(TradeBatch | PackedBatch)
_encode = msgspec.json.Encoder().encode


def encode_batch(batch: TradeBatch, *, binary_from: int = BINARY_FROM) -> bytes:
    """Return the record, packed where that is possible."""
    from schemas.packed import pack  # noqa: PLC0415 - it imports from here

    return _encode(pack(batch, is_binary=len(batch) >= binary_from) or batch)


def decode_batch(value: bytes) -> TradeBatch:
    """Read one record, whole or not at all; raise UnreadableBatch saying why."""
    batch = decode_any_batch(value)
    if isinstance(batch, PackedBatch):
        from schemas.packed import unpack  # noqa: PLC0415

        return unpack(batch)
    return batch


def decode_any_batch(value: bytes) -> TradeBatch | PackedBatch:
    """Read one record as it was written; raise UnreadableBatch.

    The columns of a packed one are checked by ``schemas.packed``.
    """
    try:
        batch: TradeBatch | PackedBatch = _decoder.decode(value)
    except msgspec.MsgspecError as e:
        raise UnreadableBatch(str(e)) from e
    if isinstance(batch, PackedBatch):
        return batch
    for group in batch.symbols:
        _check_columns(group)
        if group.ids != "dense" or group.uid is not None:
            _check_ids(group)
    # A second group would be taken for a repeat of the first: a symbol has one offset.
    if len({group.symbol for group in batch.symbols}) != len(batch.symbols):
        raise UnreadableBatch("a symbol has two groups")
    return batch


def _check_columns(group: SymbolTrades) -> None:
    n = len(group.id)
    if not (len(group.ts) == n == len(group.price) == len(group.qty) and n):
        raise UnreadableBatch(f"{group.symbol}: columns of different length, or empty")
    sides, flags, first, last = group.sides(), group.flags, group.first, group.last
    if len(sides) != n or (flags.__class__ is list and len(flags) != n):
        raise UnreadableBatch(f"{group.symbol}: columns of different length")
    if not SIDES.issuperset(sides):
        raise UnreadableBatch(f"{group.symbol}: a side is neither 1 nor -1")
    if first is not None or last is not None:
        if first is None or last is None or not len(first) == len(last) == n:
            raise UnreadableBatch(f"{group.symbol}: first and last come together, a pair each")
        if any(map(gt, first, last)) or sum(last) - sum(first) > SPAN_MAX:
            raise UnreadableBatch(f"{group.symbol}: an aggregate holds no trade, or too many")


def _check_ids(group: SymbolTrades) -> None:
    """Raise UnreadableBatch where the columns do not say what the rule of ids needs."""
    first, last, uid = group.first, group.last, group.uid
    if uid is not None and len(uid) != len(group):
        raise UnreadableBatch(f"{group.symbol}: columns of different length")
    if group.ids == "range":
        if first is None or last is None:
            raise UnreadableBatch(f"{group.symbol}: every range of ids needs a first and a last")
    elif group.ids == "unique" and uid is not None and not ("" not in uid and _differ(uid)):
        raise UnreadableBatch(f"{group.symbol}: a uid is empty, or there twice")


def _differ(values: list[str]) -> bool:
    return len(set(values)) == len(values)


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
            g.uid or repeat("", len(g)),
            strict=True,
        )
        for id_, ts, price, qty, side, flags, first, last, uid in columns:
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
                uid,
            )
