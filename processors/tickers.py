"""Tickers: the snapshots and deltas of each symbol merged to one ticker, conflated.

A delta that comes before any snapshot is merged and published too, marked by ``isSnapshot`` false:
what it tells is true, and only what is left out is unknown. The state is what is published.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, cast

import msgspec

from processors.fold import UnknownState, Unreadable
from processors.symbols import Market, SymbolFold, SymbolState
from schemas.snapshots import (
    TickerSnapshot,
    TickerSnapshotEnvelope,
    decode_ticker_snapshots,
    encode_snapshot,
)
from schemas.topics import TICKER_SNAPSHOTS, TICKERS, Topic
from schemas.trades import Channel
from schemas.updates import Ticker, TickerUpdates

_decode = msgspec.json.Decoder(TickerUpdates).decode
_told = msgspec.structs.astuple
_PLAIN = 3  # symbol, ts and is_snapshot come first, and are no fields to merge
_NOTHING = (None,) * (len(Ticker.__struct_fields__) - _PLAIN)


class TickerState(SymbolState):
    """One merged ticker; ``values`` are in the order of the fields."""

    __slots__ = ("is_whole", "ts", "values")

    def __init__(self, market: Market, symbol: str) -> None:
        super().__init__(market, symbol)
        self.ts = 0
        self.is_whole = False
        self.values: tuple[Any, ...] = _NOTHING

    def merge(self, row: Ticker) -> bool:
        """Take an update; return whether anything is different now."""
        before = self.ts, self.is_whole, self.values
        told = _told(row)[_PLAIN:]
        if row.ts:
            self.ts = row.ts
        if row.is_snapshot:
            self.is_whole, self.values = True, told
        else:
            old = self.values
            self.values = tuple(
                [was if now is None else now for now, was in zip(told, old, strict=True)]
            )
        return before != (self.ts, self.is_whole, self.values)

    def value(self) -> bytes:
        """Return the ticker as the value of a record."""
        row = TickerSnapshot(
            self.symbol,
            self.ts,
            self.is_whole,
            *self.values,
            rev=self.rev,
        )
        market = self.market
        channel = cast("Channel", market.channel)
        envelope = TickerSnapshotEnvelope(market.exchange, channel, [row], self.recv_ms)
        return encode_snapshot(envelope)


class Tickers(SymbolFold[TickerState]):
    """Folds ``md.tickers.v1`` into ``md.ticker-snapshots.v1``."""

    name = "tickers"
    reads: tuple[Topic, ...] = (TICKERS,)
    writes: tuple[Topic, ...] = (TICKER_SNAPSHOTS,)

    def apply(self, topic: Topic, partition: int, offset: int, value: bytes) -> None:  # noqa: ARG002
        """Fold one record, whole or not at all; raise Unreadable."""
        updates = _read(value)
        market = Market(partition, updates.exchange, updates.channel)
        symbols = self._markets.setdefault(market, {})
        recv_ms = updates.recv_ns // 1_000_000
        changed: dict[TickerState, None] = {}
        for row in updates.data:
            state = symbols.get(row.symbol)
            if state is None:
                state = symbols[row.symbol] = TickerState(market, row.symbol)
            if offset > state.rev and state.merge(row):
                changed[state] = None
        for state in changed:
            self._changed(state, offset, recv_ms)

    def _restored(
        self,
        market: Market,
        symbol: str,
        value: bytes,
        states: Mapping[bytes, bytes],  # noqa: ARG002
    ) -> TickerState:
        state = TickerState(market, symbol)
        try:
            envelope = decode_ticker_snapshots(value)
            (row,) = envelope.data
        except (msgspec.MsgspecError, ValueError) as e:
            raise UnknownState(f"ticker of {symbol}: {e}") from e
        state.ts, state.is_whole, state.rev = row.ts, row.is_snapshot, row.rev
        state.values = _told(row)[_PLAIN:-1]  # the last is ``rev``
        state.recv_ms = envelope.recv_ms
        return state


def _read(value: bytes) -> TickerUpdates:
    try:
        updates = _decode(value)
    except msgspec.MsgspecError as e:
        raise Unreadable(str(e)) from e
    for row in updates.data:
        for number in _told(row):
            # A text "NaN" is a Decimal, and would be no JSON any more.
            if type(number) is Decimal and not number.is_finite():
                raise Unreadable(f"{row.symbol}: {number} is no number")
    return updates
