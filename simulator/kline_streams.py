"""The kline streams that somebody listens to: the open candle every while, and once when closed."""

from dataclasses import dataclass

from simulator import frames
from simulator.candles import INTERVALS_MS, Candle, begin, open_time
from simulator.faults import Trouble
from simulator.hub import Hub
from simulator.ledger import Ledger
from simulator.venue import Venue


@dataclass(slots=True)
class _Open:
    """One stream's candle and the first row that is not in it yet."""

    ledger: Ledger
    interval: tuple[str, int]
    next_id: int
    candle: Candle | None = None


class KlineStreams:
    """Costs nothing for the streams that nobody listens to."""

    def __init__(
        self, venue: Venue, ledgers: dict[str, Ledger], hub: Hub, trouble: Trouble
    ) -> None:
        self._venue = venue
        self._ledgers = ledgers
        self._hub = hub
        self._trouble = trouble
        self._next_push_ms = 0
        self._open: dict[str, _Open] = {}

    def push(self, now_ms: int) -> None:
        """Queue what changed since the last time, if it is time."""
        if now_ms < self._next_push_ms:
            return
        self._next_push_ms = now_ms + self._venue.kline_push_ms
        heard = [s for s in self._hub.streams() if "@kline_" in s]
        for gone in self._open.keys() - set(heard):
            del self._open[gone]
        for stream in heard:
            state = self._open.get(stream) or self._begin(stream, now_ms)
            if state:
                self._open[stream] = state
                self._push_one(stream, state, now_ms)

    def _begin(self, stream: str, now_ms: int) -> _Open | None:
        name, _, interval = stream.partition("@kline_")
        ledger, length_ms = self._ledgers.get(name.upper()), INTERVALS_MS.get(interval)
        if ledger is None or length_ms is None or name != name.lower():
            return None
        opened = ledger.id_at(open_time(now_ms, length_ms))
        return _Open(ledger, (interval, length_ms), opened)

    def _push_one(self, stream: str, state: _Open, now_ms: int) -> None:
        length_ms = state.interval[1]
        rows = state.ledger.rows(state.next_id, state.ledger.next_id)
        state.next_id = state.ledger.next_id
        for row in rows:
            if state.candle and row.ts_ms < state.candle.open_ms + length_ms:
                state.candle.add(row)
                continue
            if state.candle:
                self._send(stream, state, state.candle, closed=True, now_ms=now_ms)
            state.candle = begin(row, length_ms)
        if state.candle and now_ms >= state.candle.open_ms + length_ms:
            self._send(stream, state, state.candle, closed=True, now_ms=now_ms)
            state.candle = None
        elif state.candle and rows:
            self._send(stream, state, state.candle, closed=False, now_ms=now_ms)

    def _send(
        self, stream: str, state: _Open, candle: Candle, *, closed: bool, now_ms: int
    ) -> None:
        symbol = state.ledger.symbol
        if not self._trouble.silent(symbol.name, now_ms):
            payload = frames.kline(
                self._venue, symbol, candle, state.interval, closed=closed, event_ms=now_ms
            )
            self._hub.publish(stream, payload)
