"""The candles of a day by a plain numpy fold, and what differs from them on ``md.klines.v1``.

Minutes are folded from the trades as they are made, longer candles from the minutes. It shares no
code with the engine; what was published is read as plain JSON.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from fibstream.bench.day_load import FROM_MS, PRICE_SCALE, QTY_SCALE, TRADES_PER_ID, Ints, Made
from schemas.intervals import DAY_MS, MINUTE_MS

MINUTES = DAY_MS // MINUTE_MS
NEVER = np.iinfo(np.int64).max
OPEN_MS = 2_000  # a window that ended less than this before a symbol's last trade may be open
DIFFERENCES_MAX = 5


class Bars(NamedTuple):
    """Candles of one length: arrays of symbol by window; where ``trades`` is 0 there is none."""

    open: Ints
    high: Ints
    low: Ints
    close: Ints
    volume: Ints
    trades: Ints

    @classmethod
    def of(cls, symbols: int, windows: int) -> "Bars":
        """Return bars without a trade."""
        return cls(*(np.zeros((symbols, windows), np.int64) for _ in cls._fields))


class Minutes:
    """The minutes of the symbols of a partition; ``last_ms`` has the last trade of each."""

    def __init__(self, symbols: int) -> None:
        self.bars = Bars.of(symbols, MINUTES)
        self.last_ms: Ints = np.zeros(symbols, np.int64)

    def add(self, made: Made) -> None:
        """Fold a record; records come in the order of time."""
        key = made.owner * MINUTES + (made.ts - FROM_MS) // MINUTE_MS
        begins = np.flatnonzero(np.diff(key, prepend=-1))
        ends = np.append(begins[1:], len(key)) - 1
        at = key[begins]
        opened, high, low, close, volume, trades = (column.reshape(-1) for column in self.bars)
        is_new = trades[at] == 0
        opened[at[is_new]] = made.price[begins[is_new]]
        low[at[is_new]] = NEVER
        high[at] = np.maximum(high[at], np.maximum.reduceat(made.price, begins))
        low[at] = np.minimum(low[at], np.minimum.reduceat(made.price, begins))
        close[at] = made.price[ends]
        volume[at] += np.add.reduceat(made.qty, begins)
        trades[at] += TRADES_PER_ID * (ends - begins + 1)
        self.last_ms[made.owner[ends]] = made.ts[ends]

    def bars_of(self, length_ms: int) -> tuple[Bars, Ints]:
        """Return the candles of a length of whole minutes, and when each window opens."""
        opens = FROM_MS + np.arange(MINUTES) * MINUTE_MS
        opens -= opens % length_ms
        begins = np.flatnonzero(np.diff(opens, prepend=-1))
        opened, high, low, close, volume, trades = self.bars
        minute = np.arange(MINUTES)
        first = np.minimum.reduceat(np.where(trades > 0, minute, MINUTES - 1), begins, axis=1)
        last = np.maximum.reduceat(np.where(trades > 0, minute, 0), begins, axis=1)
        found = Bars(
            np.take_along_axis(opened, first, axis=1),
            np.maximum.reduceat(high, begins, axis=1),
            np.minimum.reduceat(np.where(trades > 0, low, NEVER), begins, axis=1),
            np.take_along_axis(close, last, axis=1),
            np.add.reduceat(volume, begins, axis=1),
            np.add.reduceat(trades, begins, axis=1),
        )
        is_empty = found.trades == 0
        for column in found:
            column[is_empty] = 0
        return found, opens[begins]


class _Row(msgspec.Struct, gc=False):
    symbol: str
    interval: int
    timestamp: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    trade_count: int
    rev: int
    closed: bool


class _Envelope(msgspec.Struct, gc=False):
    data: list[_Row]


class Told:
    """What was published of a partition: of each closed candle its highest revision."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = {name: at for at, name in enumerate(names)}
        self._rows: dict[int, list[tuple[float, ...]]] = {}
        self._decode = msgspec.json.Decoder(_Envelope).decode

    def take(self, values: Iterable[bytes]) -> None:
        """Take records of md.klines.v1."""
        for value in values:
            for row in self._decode(value).data:
                if row.closed:
                    key = self._names[row.symbol], row.timestamp, row.rev
                    prices = row.open, row.high, row.low, row.close
                    found = (*key, *prices, row.volume, row.trade_count)
                    self._rows.setdefault(row.interval, []).append(found)

    def differences(self, minutes: Minutes, length_ms: int) -> tuple[int, list[str]]:
        """Return how many candles were told rightly, and what is wrong with others."""
        expected, opens = minutes.bars_of(length_ms)
        found, outside = self._bars(length_ms, opens, len(self._names))
        is_there = expected.trades > 0
        is_right = np.logical_and.reduce(
            [a == b for a, b in zip(found, expected, strict=True)], dtype=np.bool_
        )
        may_be_open = opens + length_ms > minutes.last_ms[:, None] - OPEN_MS
        is_wrong = ~is_right & ~(may_be_open & is_there & (found.trades == 0))
        texts = [
            f"{name} {length_ms} {int(opens[window])}: {_text(found, at, window)} instead of "
            f"{_text(expected, at, window)}"
            for name, at in self._names.items()
            for window in np.flatnonzero(is_wrong[at])[:DIFFERENCES_MAX]
        ]
        texts += [f"{length_ms} {at_ms}: nobody traded then" for at_ms in outside]
        return int((is_right & is_there).sum()), texts[:DIFFERENCES_MAX]

    def _bars(self, length_ms: int, opens: Ints, symbols: int) -> tuple[Bars, list[int]]:
        bars, rows = Bars.of(symbols, len(opens)), self._rows.get(length_ms, [])
        if not rows:
            return bars, []
        told: npt.NDArray[np.float64] = np.array(rows)  # whole numbers below 2^53 stay exact
        told = told[np.argsort(told[:, 2], kind="stable")]  # the last one written stays
        times = told[:, 1].astype(np.int64)
        window = np.searchsorted(opens, times)
        is_known = opens[np.minimum(window, len(opens) - 1)] == times
        at = told[is_known, 0].astype(np.int64), window[is_known]
        scales = (*(10**PRICE_SCALE,) * 4, 10**QTY_SCALE, 1)
        for column, values, scale in zip(bars, told[is_known, 3:].T, scales, strict=True):
            column[at] = np.rint(values * scale).astype(np.int64)
        return bars, times[~is_known].tolist()


def _text(bars: Bars, at: int, window: int) -> list[int]:
    return [int(column[at, window]) for column in bars]
