"""Which streams fell silent though their symbol trades; pure, time is an argument in seconds.

Quiet is no fault. A stream is called silent when it is overdue by its own rhythm AND something else
says that it should have spoken: another channel of the symbol tells of a trade, or the venue's 24 h
activity grew. Venues acknowledge streams that never deliver, so a stream without a rhythm is judged
by the second alone.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from enum import Enum

from schemas.streams import Kind
from schemas.updates import Ticker, VenueKline

OVERDUE_MIN_S = 10.0
OVERDUE_FACTOR = 20.0  # times the usual distance between two arrivals
FIRST_DATA_WITHIN_S = 20.0
SMOOTHING = 0.1  # of the usual distance, per arrival
PROOF_MARGIN_S = 3.0  # a trade may be told by another channel before and after it arrives here
RENEW_FIRST_S = 20.0  # between two subscriptions of one silent stream: doubled up to the most
RENEW_MAX_S = 600.0
# Forced orders come when they come.
UNJUDGED: frozenset[Kind] = frozenset({"liquidations"})


class Change(Enum):
    """What became of a stream at a pulse."""

    SILENT = "silent"
    STILL_SILENT = "still silent"
    """Time to subscribe once more."""
    RECOVERED = "recovered"


class Watch:
    """One stream: ``rows`` is counted up by whoever reads the frames."""

    __slots__ = (
        *("kind", "symbol", "rows", "silent_from_s", "heard_s", "_counted", "_last_s", "_usual_s"),
        *("_renew_s", "_renew_at_s"),
    )

    def __init__(self, kind: Kind, symbol: str, now_s: float) -> None:
        self.kind = kind
        self.symbol = symbol
        self.rows = 0
        self.silent_from_s: float | None = None
        self.heard_s = 0.0
        """When it last had data; 0: never."""
        self._counted = 0
        self._last_s = now_s
        self._usual_s = 0.0
        self._renew_s = RENEW_FIRST_S
        self._renew_at_s = 0.0

    @property
    def last_s(self) -> float:
        """When it last had data, or began to be expected."""
        return self._last_s

    def restart(self, now_s: float) -> None:
        """Expect data from now on: it was (re)subscribed, or nothing was read for a while."""
        self._last_s = max(self._last_s, now_s)

    def is_overdue(self, now_s: float) -> bool:
        """Say whether its own rhythm lets expect more than came."""
        return now_s - self._last_s > self._patience_s()

    def pulse(self, now_s: float, traded_s: float) -> Change | None:
        """Judge; ``traded_s`` is when its symbol was last known to trade, by other channels."""
        arrived = self.rows - self._counted
        if arrived:
            return self._heard(arrived, now_s)
        if self.silent_from_s is not None:
            if now_s < self._renew_at_s:
                return None
            self._renew_s = min(2 * self._renew_s, RENEW_MAX_S)
            self._renew_at_s = now_s + self._renew_s
            return Change.STILL_SILENT
        if self.kind in UNJUDGED or not self.is_overdue(now_s):
            return None
        if traded_s <= self._last_s + PROOF_MARGIN_S:
            return None
        self.silent_from_s = self._last_s
        self._renew_at_s = now_s + self._renew_s
        return Change.SILENT

    def _heard(self, arrived: int, now_s: float) -> Change | None:
        distance_s = (now_s - self._last_s) / arrived
        if self.silent_from_s is None and self._counted:
            self._usual_s += SMOOTHING * (distance_s - self._usual_s)
        self._counted = self.rows
        self._last_s = self.heard_s = now_s
        if self.silent_from_s is None:
            return None
        self.silent_from_s = None
        self._renew_s = RENEW_FIRST_S
        return Change.RECOVERED

    def _patience_s(self) -> float:
        if not self._counted:
            return FIRST_DATA_WITHIN_S
        return max(OVERDUE_MIN_S, OVERDUE_FACTOR * self._usual_s)


class Activity:
    """Since when each symbol is known to have traded, told by everything but its trade stream.

    A number that grew between two looks proves a trade after the FIRST of them, and no later time:
    the stream may have told that trade long before the second look.
    """

    def __init__(self) -> None:
        self._traded_s: dict[str, float] = {}
        self._tickers: dict[str, tuple[Decimal | None, Decimal | None, float]] = {}
        self._candles: dict[str, tuple[int, Decimal, float]] = {}
        self._days: dict[str, tuple[float, float]] = {}

    def traded_s(self, symbol: str) -> float:
        """Return a time after which it traded, 0 where nothing is known."""
        return self._traded_s.get(symbol, 0.0)

    def ticker(self, row: Ticker, now_s: float) -> None:
        """A ticker tells of a trade by another last price, or by a volume that grew.

        A volume that shrank only lost what left its 24 hours.
        """
        if row.last_price is None and row.volume_24h is None:
            return
        price, volume, looked_s = self._tickers.get(row.symbol, (None, None, now_s))
        new_price = row.last_price if row.last_price is not None else price
        new_volume = row.volume_24h if row.volume_24h is not None else volume
        self._tickers[row.symbol] = (new_price, new_volume, now_s)
        has_moved = price is not None and new_price != price
        has_grown = volume is not None and new_volume is not None and new_volume > volume
        if has_moved or has_grown:
            self._prove(row.symbol, looked_s)

    def venue_kline(self, row: VenueKline, now_s: float) -> None:
        """A candle of the venue tells of a trade when its volume grew."""
        name = f"{row.symbol} {row.name}"
        known = self._candles.get(name)
        self._candles[name] = (row.timestamp, row.volume, now_s)
        if known is not None and known[0] == row.timestamp and row.volume > known[1]:
            self._prove(row.symbol, known[2])

    def counted(self, activity: Mapping[str, float], symbols: Iterable[str], now_s: float) -> None:
        """The venue's 24 h numbers, asked by REST: one that grew since the last time traded."""
        for symbol in symbols:
            number = activity.get(symbol)
            if number is None:
                continue
            known, looked_s = self._days.get(symbol, (number, now_s))
            if number > known:
                self._prove(symbol, looked_s)
            self._days[symbol] = (number, now_s)

    def _prove(self, symbol: str, since_s: float) -> None:
        self._traded_s[symbol] = max(self._traded_s.get(symbol, 0.0), since_s)
