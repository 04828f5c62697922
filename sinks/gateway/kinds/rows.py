"""Records of the kinds' topics to rows as clients are told them: bytes in, values out, no I/O.

A row's text is that of the topic, digit for digit; only trades are columns there, and become rows.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from runtime.errors import Poison
from schemas.klines import decode_gaps
from schemas.numbers import text
from schemas.packed import unpack
from schemas.topics import (
    BOOK_SNAPSHOTS,
    GAPS,
    MARKET_STATS,
    PRICES,
    TICKER_SNAPSHOTS,
    TICKS,
    TRADES,
    Topic,
)
from schemas.trades import (
    ExchangeName,
    Flag,
    PackedBatch,
    SymbolTrades,
    UnreadableBatch,
    decode_any_batch,
)
from sinks.gateway.protocol import Kind

Market = tuple[str, str, str]
"""Exchange, channel and symbol."""

TOPICS: dict[Kind, Topic] = {
    "trades": TRADES,
    "prices": PRICES,
    "tickers": TICKER_SNAPSHOTS,
    "books": BOOK_SNAPSHOTS,
    "ticks": TICKS,
    "stats": MARKET_STATS,
    "gaps": GAPS,
}


class Row(NamedTuple):
    """One row on its way."""

    market: Market
    order: int
    """Of states of one symbol the highest is true: their ``rev``. Else where it stands."""
    recv_ms: int
    text: str


class Trades(NamedTuple):
    """The trades of one symbol in one record."""

    market: Market
    recv_ms: int
    group: SymbolTrades


class _Envelope(msgspec.Struct, gc=False):
    exchange: ExchangeName
    channel: str
    data: list[msgspec.Raw]
    recv_ms: int = 0


class _State(msgspec.Struct, gc=False):
    symbol: str
    rev: int


_envelope = msgspec.json.Decoder(_Envelope).decode
_state = msgspec.json.Decoder(_State).decode
_json = msgspec.json.Encoder().encode
NON_MARKET = int(Flag.NON_MARKET)


def states(value: bytes) -> Iterator[Row]:
    """Yield the rows of a record that tells states; raise Poison."""
    try:
        envelope = _envelope(value)
        for raw in envelope.data:
            state = _state(raw)
            market = (envelope.exchange, envelope.channel, state.symbol)
            yield Row(market, state.rev, envelope.recv_ms, bytes(raw).decode())
    except (msgspec.MsgspecError, UnicodeDecodeError) as e:
        raise Poison(f"no state of a symbol: {e}", payload=value) from e


def gaps(value: bytes) -> list[Row]:
    """Return the rows of a record about gaps, as they are; raise Poison."""
    try:
        told, envelope = decode_gaps(value), _envelope(value)
    except msgspec.MsgspecError as e:
        raise Poison(f"no gap record: {e}", payload=value) from e
    return [
        Row((told.exchange, told.channel, row.symbol), 0, 0, bytes(raw).decode())
        for row, raw in zip(told.data, envelope.data, strict=True)
    ]


def trades(value: bytes) -> Sequence[Trades]:
    """Return the trades of a record that were heard on the stream; raise Poison.

    What was fetched later has no place in an order that goes on: it may be days of the past.
    """
    try:
        told = decode_any_batch(value)
        if told.source != "live":
            return ()
        batch = unpack(told) if isinstance(told, PackedBatch) else told
    except UnreadableBatch as e:
        raise Poison(f"no trades: {e}", payload=value) from e
    recv_ms = batch.recv_ns // 1_000_000
    return [
        Trades((batch.exchange, batch.channel, group.symbol), recv_ms, group)
        for group in batch.symbols
    ]


def trade_rows(group: SymbolTrades) -> Iterator[tuple[int | str, str]]:
    """Yield the trades of a group that belong in candles: what tells each from others, and it."""
    begin = f'{{"symbol":{_json(group.symbol).decode()},"id":'
    price_scale, qty_scale = group.price_scale, group.qty_scale
    columns: zip[tuple[Any, ...]] = zip(
        *(group.keys(), group.ts, group.price, group.qty, group.sides(), group.flag_list()),
        strict=True,
    )
    for key, ts, price, qty, side, flags in columns:
        if flags & NON_MARKET:
            continue
        shown = f'"{key}"' if key.__class__ is int else _json(key).decode()
        row = (
            f'{begin}{shown},"price":"{text(price, price_scale)}"'
            f',"qty":"{text(qty, qty_scale)}","side":{side},"ts":{ts}}}'
        )
        yield key, row
