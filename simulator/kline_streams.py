"""Candles as a stream: the open one every while, and each once when it is closed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from simulator.candles import Candle, begin, empty, open_time
from simulator.feeds import Frames, TimedFeed
from simulator.ledger import Row

if TYPE_CHECKING:
    from simulator.exchange import Exchange


@dataclass(frozen=True, slots=True, kw_only=True)
class KlineRules:
    """How a venue makes candles; the default is Binance's."""

    push_ms: int
    opens_at_close: bool = False
    """A candle opens at the close before it, and its high and low include that price."""
    is_without_holes: bool = False
    """A time without trades has a candle too, at the close before it."""
    is_repeated: bool = False
    """The open candle is told again even when nothing happened."""


class Update(NamedTuple):
    """A candle as of now."""

    candle: Candle
    closed: bool


Encode = Callable[[Sequence[Update], int], Frames]
"""The updates of one push, oldest first (several where a candle closed), and now in ms."""


def kline_feed(
    exchange: "Exchange", symbol: str, interval_ms: int, rules: KlineRules, encode: Encode
) -> TimedFeed:
    """The stream of one symbol's candles of one length."""
    candles = _Candles(exchange, symbol, interval_ms, rules)

    def push(now_ms: int) -> Frames:
        updates = candles.updates(now_ms)
        return encode(updates, now_ms) if updates else ()

    return TimedFeed(encode=push, every_ms=rules.push_ms, while_stopped=True)


class _Candles:
    """The open candle of one stream and the first row that is not in it yet."""

    def __init__(
        self, exchange: "Exchange", symbol: str, interval_ms: int, rules: KlineRules
    ) -> None:
        self._ledger = exchange.ledgers[symbol]
        self._interval_ms = interval_ms
        self._rules = rules
        self._next_id: int | None = None
        self._open: Candle | None = None
        self._close: int | None = None  # of the candle before

    def updates(self, now_ms: int) -> list[Update]:
        """What happened since the last call."""
        ledger, length_ms = self._ledger, self._interval_ms
        if self._next_id is None:
            self._next_id = ledger.id_at(open_time(now_ms, length_ms))
            before = ledger.rows(self._next_id - 1, self._next_id)
            self._close = before[0].price if before else None
        rows = ledger.rows(self._next_id, ledger.next_id)
        self._next_id = ledger.next_id
        found: list[Update] = []
        for row in rows:
            self._roll(row.ts_ms, found)
            is_empty = self._open is None or not self._open.trade_count
            if self._open is None or (is_empty and not self._rules.opens_at_close):
                self._open = self._begin(row)
            else:
                self._open.add(row)
        closed = len(found)
        self._roll(now_ms, found)
        if self._open and (rows or len(found) > closed or self._rules.is_repeated):
            found.append(Update(self._open, closed=False))
        return found

    def _roll(self, ts_ms: int, found: list[Update]) -> None:
        """Close what ends before ``ts_ms``, and open what follows where the venue does."""
        length_ms = self._interval_ms
        if self._open is None and self._rules.is_without_holes and self._close is not None:
            self._open = empty(open_time(ts_ms, length_ms), self._close)
        while self._open and ts_ms >= self._open.open_ms + length_ms:
            found.append(Update(self._open, closed=True))
            self._close = self._open.close
            next_ms = self._open.open_ms + length_ms
            is_next = self._rules.is_without_holes
            self._open = empty(next_ms, self._close) if is_next else None

    def _begin(self, row: Row) -> Candle:
        candle = begin(row, self._interval_ms)
        if self._rules.opens_at_close and self._close is not None:
            candle.open = self._close
            candle.high = max(candle.high, self._close)
            candle.low = min(candle.low, self._close)
        return candle
