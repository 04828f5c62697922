"""Reconciliation: every closed candle of ours beside the venue's own, on ``md.reconciliation.v1``.

``rev`` counts what was read of the topics that changed a verdict, so the highest one is a function
of their records alone: which topic was read first, and where a crash came, does not tell.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import cast

import msgspec

from processors.changelog import is_slot, symbol_of
from processors.fold import Output, Partitions, Unreadable, taken
from processors.venue.flagged import FlaggedTrade, flagged_trades
from processors.venue.pairs import SymbolPairs
from processors.venue.told import STREAMED, decode_venue_klines, frame_of
from schemas.intervals import Interval
from schemas.klines import KlineEnvelope
from schemas.reconciliation import Reconciliation, ReconciliationEnvelope, encode_reconciliation
from schemas.topics import KLINES, RECONCILIATION, TRADES, VENUE_KLINES, Topic, symbol_key
from schemas.trades import Channel
from schemas.updates import VenueKline

ROWS_MAX = 500  # of a record, at most ~1,500 bytes each: below Kafka's default limit of 1 MB
WAITING_EVERY_MS = 1_000  # candles that wait for their counterpart are looked through this often

Count = tuple[str, str, str]
"""Exchange, verdict and explanation."""


class _Length(msgspec.Struct):
    interval: int


class _Lengths(msgspec.Struct):
    """What tells whether a record is of interest: most hold candles of a second alone."""

    data: list[_Length]


_decode_lengths = msgspec.json.Decoder(_Lengths).decode
_decode_klines = msgspec.json.Decoder(KlineEnvelope).decode


class Reconciliations:
    """Folds our candles and the venue's into verdicts; see the module."""

    name = "reconciliation"
    reads: tuple[Topic, ...] = (KLINES, VENUE_KLINES, TRADES)
    writes: tuple[Topic, ...] = (RECONCILIATION,)

    def __init__(self, intervals: Collection[Interval]) -> None:
        self._frames = tuple(interval for interval in intervals if interval in STREAMED)
        self._lengths = {frame.length_ms for frame in self._frames}
        self._symbols: dict[int, dict[bytes, SymbolPairs]] = {}
        self._fresh: dict[SymbolPairs, int] = {}
        self._dirty: dict[SymbolPairs, int] = {}
        self._waiting: dict[SymbolPairs, int] = {}
        self._looked_ms = 0
        self._counts: Counter[Count] = Counter()

    def apply(self, topic: Topic, partition: int, offset: int, value: bytes) -> None:
        """Fold one record, whole or not at all; raise Unreadable."""
        if topic == TRADES:
            self._apply_trades(partition, offset, value)
        elif topic == KLINES:
            self._apply_ours(partition, offset, value)
        else:
            self._apply_venue(partition, offset, value)

    def tick(self, now_ms: int, caught_up: Collection[int]) -> None:
        """Nothing here is the clock's: event time says how long a candle is waited for."""

    def outputs(self, now_ms: int, caught_up: Collection[int]) -> Iterator[Output]:
        """Yield the verdicts that are due."""
        if not 0 <= now_ms - self._looked_ms < WAITING_EVERY_MS:
            self._looked_ms = now_ms
            self._fresh.update(self._waiting)
        for pairs, partition in self._fresh.items():
            rows = pairs.verdicts(is_caught_up=partition in caught_up)
            if rows:
                self._dirty[pairs] = partition
            if pairs.is_waiting():
                self._waiting[pairs] = partition
            else:
                self._waiting.pop(pairs, None)
            for at in range(0, len(rows), ROWS_MAX):
                yield self._output(pairs, rows[at : at + ROWS_MAX])
        self._fresh.clear()

    def take_counts(self) -> dict[Count, int]:
        """Return how many verdicts were said since the last call: for metrics, not for state."""
        counts, self._counts = self._counts, Counter()
        return counts

    def take_dirty(self, partitions: Partitions = None) -> list[tuple[int, bytes, bytes]]:
        """Return (partition, key, record) of what changed since it was taken last."""
        return [
            (partition, key, value)
            for pairs, partition in taken(self._dirty, partitions).items()
            for key, value in pairs.records()
        ]

    def restore(self, partition: int, states: Mapping[bytes, bytes]) -> None:
        """Take over a partition with the records of ``take_dirty``; raise ``UnknownState``."""
        self.drop(partition)
        for key in {symbol_of(key) if is_slot(key) else key for key in states}:
            exchange, channel, symbol = key.decode().split(":", 2)
            pairs = self._pairs(partition, exchange, channel, symbol)
            pairs.load(states)
            self._fresh[pairs] = partition

    def drop(self, partition: int) -> None:
        """Forget a partition that another worker owns now."""
        for pairs in self._symbols.pop(partition, {}).values():
            for where in (self._fresh, self._dirty, self._waiting):
                where.pop(pairs, None)

    # -- the topics

    def _apply_ours(self, partition: int, offset: int, value: bytes) -> None:
        try:
            if not any(row.interval in self._lengths for row in _decode_lengths(value).data):
                return
            told = _decode_klines(value)
        except msgspec.MsgspecError as e:
            raise Unreadable(str(e)) from e
        if len({row.symbol for row in told.data}) > 1:
            raise Unreadable("candles of several symbols in one record")
        if told.data:
            symbol = told.data[0].symbol
            pairs = self._pairs(partition, told.exchange, told.channel, symbol)
            self._note(pairs, partition, is_fresh=pairs.take_ours(told.data, offset))

    def _apply_venue(self, partition: int, offset: int, value: bytes) -> None:
        told = decode_venue_klines(value)
        by_symbol: dict[str, list[tuple[Interval, VenueKline]]] = {}
        for row in told.data:
            frame = frame_of(row)
            if frame is not None and frame in self._frames:
                by_symbol.setdefault(row.symbol, []).append((frame, row))
        for symbol, rows in by_symbol.items():
            pairs = self._pairs(partition, told.exchange, told.channel, symbol)
            self._note(pairs, partition, is_fresh=pairs.take_venue(rows, offset))

    def _apply_trades(self, partition: int, offset: int, value: bytes) -> None:
        told = flagged_trades(value)
        if told is None:
            return
        by_symbol: dict[str, list[FlaggedTrade]] = {}
        for trade in told.trades:
            by_symbol.setdefault(trade.symbol, []).append(trade)
        for symbol, trades in by_symbol.items():
            pairs = self._pairs(partition, told.exchange, told.channel, symbol)
            self._note(pairs, partition, is_fresh=pairs.take_flagged(trades, offset))

    def _pairs(self, partition: int, exchange: str, channel: str, symbol: str) -> SymbolPairs:
        symbols = self._symbols.setdefault(partition, {})
        key = symbol_key(exchange, channel, symbol)
        pairs = symbols.get(key)
        if pairs is None:
            pairs = symbols[key] = SymbolPairs(exchange, channel, symbol, self._frames)
        return pairs

    def _note(self, pairs: SymbolPairs, partition: int, *, is_fresh: bool) -> None:
        if is_fresh:
            self._fresh[pairs] = partition
        if pairs.is_changed:
            self._dirty[pairs] = partition

    def _output(self, pairs: SymbolPairs, rows: list[Reconciliation]) -> Output:
        for row in rows:
            self._counts[pairs.exchange, row.verdict, row.explanation] += 1
        envelope = ReconciliationEnvelope(pairs.exchange, cast("Channel", pairs.channel), rows)
        return Output(RECONCILIATION, pairs.key, encode_reconciliation(envelope))
