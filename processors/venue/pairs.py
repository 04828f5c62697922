"""SymbolPairs: every series of one symbol, and its records in the changelog.

Three records: the candles (``key``), the venue's running candles (``#0#key``) and the flagged
trades (``#1#key``). Each knows the last offset that it has seen, so a crash between them changes
nothing; the candles come first, because a running candle that ends becomes one of them.
"""

from collections.abc import Iterator, Mapping

import msgspec

from processors.changelog import slot_key
from processors.fold import UnknownState
from processors.venue.flagged import FlaggedTrade, Sums
from processors.venue.series import PENDING_MAX, Flagged, Series
from processors.venue.told import CLOSED_BY_THE_NEXT, is_newer
from schemas.intervals import Interval
from schemas.klines import Kline
from schemas.reconciliation import Reconciliation
from schemas.topics import symbol_key
from schemas.updates import VenueKline

VERSION = 1
RUNNING_SLOT, FLAGGED_SLOT = 0, 1


class _Candles(msgspec.Struct):
    """``ours_seen`` and ``venue_seen`` are offsets."""

    ours_seen: int = -1
    venue_seen: int = -1
    series: list[Series] = []
    v: int = VERSION


class _Running(msgspec.Struct):
    seen: int = -1
    rows: dict[str, VenueKline] = {}
    """The newest row of each interval, by its text."""


class _Trades(msgspec.Struct):
    seen: int = -1
    newest_ms: int = 0
    windows: dict[str, dict[int, Flagged]] = {}


_encode = msgspec.json.Encoder(decimal_format="number").encode
_candles = msgspec.json.Decoder(_Candles).decode
_running = msgspec.json.Decoder(_Running).decode
_trades = msgspec.json.Decoder(_Trades).decode


class SymbolPairs:
    """What both topics told of one symbol, and its flagged trades."""

    __slots__ = (
        *("_changed", "_running", "channel", "exchange", "key"),
        *("series", "symbol", "told", "trades"),
    )

    def __init__(
        self, exchange: str, channel: str, symbol: str, frames: tuple[Interval, ...]
    ) -> None:
        self.exchange = exchange
        self.channel = channel
        self.symbol = symbol
        self.key = symbol_key(exchange, channel, symbol)
        self.told = _Candles()
        self.series = {frame: Series(exchange, frame) for frame in frames}
        self.trades = _Trades()
        self._running = _Running()
        self._changed: set[int | None] = set()

    def take_ours(self, rows: list[Kline], offset: int) -> bool:
        """Take the closed candles of one record; return whether anything changed."""
        if offset <= self.told.ours_seen:
            return False
        self.told.ours_seen = offset
        found = [
            self.series[row.frame].take_ours(row, offset + 1)
            for row in rows
            if row.closed and row.frame in self.series
        ]
        return self._note(any(found))

    def take_venue(self, rows: list[tuple[Interval, VenueKline]], offset: int) -> bool:
        """Take the venue's rows of one record; return whether a candle that is over changed."""
        over = list(self._over(rows, offset))
        if offset <= self.told.venue_seen:
            return False
        self.told.venue_seen = offset
        found = [self.series[frame].take_venue(row, offset + 1) for frame, row in over]
        return self._note(any(found))

    def take_flagged(self, trades: list[FlaggedTrade], offset: int) -> bool:
        """Take the flagged trades of one record; return whether anything changed."""
        told = self.trades
        if offset <= told.seen:
            return False
        told.seen = offset
        self._changed.add(FLAGGED_SLOT)
        for trade in trades:
            told.newest_ms = max(told.newest_ms, trade.ts)
            for frame, series in self.series.items():
                opened = frame.open_ms(trade.ts)
                if opened < max(series.floor_ms, told.newest_ms - series.hold_ms):
                    continue
                windows = told.windows.setdefault(frame.text, {})
                window = windows.setdefault(opened, Flagged())
                window.sums[trade.kind] = window.sums.get(trade.kind, Sums()).plus(trade.sums)
                window.at = offset + 1
                while len(windows) > PENDING_MAX:
                    del windows[min(windows)]
        return True

    def verdicts(self, *, is_caught_up: bool) -> list[Reconciliation]:
        """Return what is to be said now, and remember that it is said."""
        rows = []
        for frame, series in self.series.items():
            flagged = self.trades.windows.get(frame.text, {})
            for cell, row in series.due(flagged, is_caught_up=is_caught_up):
                cell.said = row.rev
                rows.append(row)
            line_ms = series.forget()
            for opened in [opened for opened in flagged if opened < line_ms]:
                del flagged[opened]
        if rows:
            self._changed.add(None)
        return rows

    @property
    def is_changed(self) -> bool:
        """Say whether there is something for the changelog."""
        return bool(self._changed)

    def is_waiting(self) -> bool:
        """Say whether a candle waits for its counterpart."""
        return any(series.is_waiting() for series in self.series.values())

    def records(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield what has changed since the last call, in the order of writing."""
        changed, self._changed = self._changed, set()
        if None in changed:
            self.told.series = list(self.series.values())
            yield self.key, _encode(self.told)
        if RUNNING_SLOT in changed:
            yield slot_key(RUNNING_SLOT, self.key), _encode(self._running)
        if FLAGGED_SLOT in changed:
            yield slot_key(FLAGGED_SLOT, self.key), _encode(self.trades)

    def load(self, states: Mapping[bytes, bytes]) -> None:
        """Take over what ``records`` wrote; raise UnknownState."""
        try:
            if (value := states.get(self.key)) is not None:
                self.told = _candles(value)
            if (value := states.get(slot_key(RUNNING_SLOT, self.key))) is not None:
                self._running = _running(value)
            if (value := states.get(slot_key(FLAGGED_SLOT, self.key))) is not None:
                self.trades = _trades(value)
        except (msgspec.MsgspecError, ValueError) as e:
            raise UnknownState(f"candles compared of {self.symbol}: {e}") from e
        if self.told.v != VERSION:
            raise UnknownState(
                f"candles compared of {self.symbol}: version {self.told.v}, expected {VERSION}"
            )
        for series in self.told.series:
            if series.frame in self.series:
                self.series[series.frame] = series

    def _over(
        self, rows: list[tuple[Interval, VenueKline]], offset: int
    ) -> Iterator[tuple[Interval, VenueKline]]:
        """Yield the rows of candles that are over, by the venue's word or by the next candle."""
        if self.exchange not in CLOSED_BY_THE_NEXT:
            yield from ((frame, row) for frame, row in rows if row.closed)
            return
        running = self._running
        if offset <= running.seen:
            return
        running.seen = offset
        self._changed.add(RUNNING_SLOT)
        for frame, row in rows:
            held = running.rows.get(frame.text)
            if held is None or row.timestamp > held.timestamp:
                if held is not None:
                    yield frame, held
                running.rows[frame.text] = row
            elif row.timestamp == held.timestamp and is_newer(row, held):
                running.rows[frame.text] = row
            if row.closed or (held is not None and row.timestamp < held.timestamp):
                yield frame, row

    def _note(self, is_changed: bool) -> bool:
        if is_changed:
            self._changed.add(None)
            for series in self.series.values():
                series.let_go()
        return is_changed
