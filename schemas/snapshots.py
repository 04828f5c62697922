"""Merged state, one symbol a record: its whole ticker, the top of its book, its last trade.

The newest record of a key says everything; the topics are compacted. ``rev`` is the offset of the
last source record that changed it: of two rows the higher ``rev`` is true, equal ones are the same.
"""

from decimal import Decimal
from typing import Literal

import msgspec

from schemas.trades import Channel
from schemas.updates import Ticker


class TickerSnapshot(Ticker, frozen=True, kw_only=True):
    """The ticker of a symbol, merged; ``ts`` is the last that the venue told.

    ``isSnapshot`` is false until the venue's first snapshot is in it: then a field that is left out
    is not known; else the venue has none.
    """

    rev: int
    """The offset of the ticker record that changed it last."""


class TickerSnapshotEnvelope(msgspec.Struct, frozen=True):
    """The value of ``md.ticker-snapshots.v1``."""

    exchange: str
    channel: Channel
    data: list[TickerSnapshot]
    recv_ms: int
    """When the ingestor had the record of ``rev``."""
    data_type: Literal["ticker"] = "ticker"


class BookSnapshot(msgspec.Struct, frozen=True):
    """The best levels of a book that is whole; what an empty side cannot tell is null."""

    symbol: str
    """The venue's own name."""
    ts: int
    """The venue's time of the last update in it, in ms since 1970; 0 where it tells none."""
    update_id: int
    """The venue's id of that update."""
    rev: int
    """The offset of the book record that it came with."""
    bids: list[tuple[Decimal, Decimal]]
    """[price, quantity], best first; quantities in the base coin."""
    asks: list[tuple[Decimal, Decimal]]
    """[price, quantity], best first."""
    bid_price: Decimal | None
    bid_qty: Decimal | None
    ask_price: Decimal | None
    ask_qty: Decimal | None
    spread: Decimal | None
    """``ask_price - bid_price``."""
    mid: Decimal | None
    """``(bid_price + ask_price) / 2``."""
    imbalance: Decimal | None
    """``(B - A) / (B + A)``, B and A the quantities of the levels above: 1 is all bids. 6 decimals,
    halves up."""


class BookSnapshotEnvelope(msgspec.Struct, frozen=True):
    """The value of ``md.book-snapshots.v1``."""

    exchange: str
    channel: Channel
    data: list[BookSnapshot]
    recv_ms: int
    """When the ingestor had the record of ``rev``."""
    data_type: Literal["book"] = "book"


class Tick(msgspec.Struct, frozen=True):
    """The last trade of a symbol: by (time, id); by (time, arrival) where ids have no order."""

    symbol: str
    """The venue's own name."""
    price: Decimal
    qty: Decimal
    """In the base coin."""
    side: Literal[1, -1]
    """The taker's: 1 buys, -1 sells."""
    ts: int
    """The venue's time of the trade, in ms since 1970."""
    id: int
    """The venue's id of it, as on ``md.trades.v1``."""
    rev: int
    """The offset of the trade record it came with."""


class TickEnvelope(msgspec.Struct, frozen=True):
    """The value of ``md.ticks.v1``."""

    exchange: str
    channel: Channel
    data: list[Tick]
    recv_ms: int
    """When the ingestor had the record of ``rev``."""
    data_type: Literal["tick"] = "tick"


encode_snapshot = msgspec.json.Encoder(decimal_format="number").encode
decode_ticker_snapshots = msgspec.json.Decoder(TickerSnapshotEnvelope).decode
decode_book_snapshots = msgspec.json.Decoder(BookSnapshotEnvelope).decode
decode_ticks = msgspec.json.Decoder(TickEnvelope).decode
