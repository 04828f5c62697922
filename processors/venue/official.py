"""Official: one symbol's candles as its venue tells them, and what of them is to be passed on.

``rev`` is the offset of the record that last changed a candle or closed it, so a replay says the
same again; a repeated or an older row changes nothing.
"""

from decimal import Decimal

import msgspec

from processors.fold import UnknownState
from processors.venue.told import CLOSED_BY_THE_NEXT, is_newer
from schemas.intervals import Interval
from schemas.klines import Kline, Price
from schemas.topics import symbol_key
from schemas.updates import VenueKline

VERSION = 1
WINDOWS_MAX = 4
"""Of an interval: rows of older candles change nothing any more."""
NOT_TOLD = -1
"""In a field that the venue does not tell: no volume, count or id is ever negative."""


class _Window(msgspec.Struct):
    row: VenueKline
    rev: int
    closed: bool


class _State(msgspec.Struct):
    seen: int = -1
    recv_ms: int = 0
    windows: dict[str, dict[int, _Window]] = {}
    """By the interval's text and the open time."""
    v: int = VERSION


_encode = msgspec.json.Encoder(decimal_format="number").encode
_decode = msgspec.json.Decoder(_State).decode


class Official:
    """See the module. ``due`` holds the closed candles that are to be sent."""

    __slots__ = ("_state", "channel", "due", "exchange", "frames", "key", "sent_ms", "symbol")

    def __init__(
        self, exchange: str, channel: str, symbol: str, frames: tuple[Interval, ...]
    ) -> None:
        self.exchange = exchange
        self.channel = channel
        self.symbol = symbol
        self.frames = frames
        self.key = symbol_key(exchange, channel, symbol)
        self.sent_ms = 0
        self.due: dict[tuple[Interval, int], _Window] = {}
        self._state = _State()

    @property
    def recv_ms(self) -> int:
        """Return when the youngest row was received."""
        return self._state.recv_ms

    def take(self, rows: list[tuple[Interval, VenueKline]], offset: int, recv_ms: int) -> bool:
        """Take the rows of one record; return whether anything changed."""
        state = self._state
        if offset <= state.seen:
            return False
        state.seen = offset
        changed = [self._take(frame, row, offset) for frame, row in rows]
        if any(changed):
            state.recv_ms = recv_ms
        return any(changed)

    def closed(self) -> list[Kline]:
        """Return the closed candles that are due, and forget that they are."""
        due, self.due = self.due, {}
        return [self._kline(frame, window) for (frame, _), window in due.items()]

    def open(self) -> list[Kline]:
        """Return the newest candle of each interval that is not closed."""
        newest = ((frame, self._newest(frame)) for frame in self.frames)
        return [self._kline(f, window) for f, window in newest if window and not window.closed]

    def price(self) -> Price | None:
        """Return the close of the newest candle of the shortest interval."""
        window = next((w for w in map(self._newest, self.frames) if w), None)
        if window is None:
            return None
        row = window.row
        # Not every venue tells the time of an update: it is not before the candle's open.
        return Price(self.symbol, row.close, max(row.ts, row.timestamp), window.rev)

    def dump(self) -> bytes:
        """Return the state. What is due is not in it: publish first."""
        if self.due:
            raise AssertionError("outputs come before states: a crash in between would lose them")
        return _encode(self._state)

    def load(self, value: bytes) -> None:
        """Take over what ``dump`` wrote; raise UnknownState."""
        try:
            self._state = _decode(value)
        except (msgspec.MsgspecError, ValueError) as e:
            raise UnknownState(f"official candles of {self.symbol}: {e}") from e
        if self._state.v != VERSION:
            raise UnknownState(
                f"official candles of {self.symbol}: version {self._state.v}, expected {VERSION}"
            )

    def _take(self, frame: Interval, row: VenueKline, offset: int) -> bool:
        windows = self._state.windows.setdefault(frame.text, {})
        newest_ms, opened = max(windows, default=-1), row.timestamp
        held = windows.get(opened)
        if held is None:
            is_old = len(windows) == WINDOWS_MAX and opened < min(windows)
            if is_old or (opened < newest_ms and not row.closed):
                return False
        elif not is_newer(row, held.row):
            return False
        is_over = row.closed or (held is not None and held.closed)
        window = windows[opened] = _Window(row, offset, is_over)
        if is_over:
            self.due[frame, opened] = window
        if newest_ms < opened:
            self._close_by_next(frame, newest_ms, offset)
        if len(windows) > WINDOWS_MAX:
            del windows[min(windows)]
        return True

    def _close_by_next(self, frame: Interval, opened: int, offset: int) -> None:
        before = self._state.windows[frame.text].get(opened)
        if before and not before.closed and self.exchange in CLOSED_BY_THE_NEXT:
            before.closed, before.rev = True, offset
            self.due[frame, opened] = before

    def _newest(self, frame: Interval) -> _Window | None:
        windows = self._state.windows.get(frame.text)
        return windows[max(windows)] if windows else None

    def _kline(self, frame: Interval, window: _Window) -> Kline:
        row = window.row
        return Kline(
            symbol=row.symbol,
            interval=frame.length_ms,
            timestamp=row.timestamp,
            open=row.open,
            high=row.high,
            low=row.low,
            close=row.close,
            volume=row.volume,
            quote_volume=_told(row.quote_volume, row),
            taker_buy_volume=_told(row.taker_buy_volume, row),
            taker_buy_quote_volume=_told(row.taker_buy_quote_volume, row),
            trade_count=int(_told(row.trade_count, row)),
            first_id=NOT_TOLD,
            last_id=NOT_TOLD,
            closed=window.closed,
            rev=window.rev,
            cause="venue",
            quality="assumed",
            missing=0,
            anchor=frame.anchor,
        )


def _told(value: Decimal | int | None, row: VenueKline) -> Decimal:
    """Return what the venue tells; where nothing traded, all parts of it are nothing, too."""
    if value is not None:
        return Decimal(value)
    return Decimal(0 if not row.volume else NOT_TOLD)
