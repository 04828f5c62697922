"""``publicTrade``: UUIDs on linear, big numbers with holes on spot, one ``seq`` for many trades."""

import uuid
from collections.abc import Iterator, Sequence

import orjson

from simulator.feeds import Frames, TradeFeed
from simulator.ledger import Row
from simulator.symbols import Symbol
from simulator.venues.bybit.texts import price_text, qty_text

TRADES_MAX = 1_024  # in one frame
RPI_EVERY = 41  # one in so many trades
_NAMESPACE = uuid.UUID("6e0a5b1c-5d2f-5a6e-9b07-0f6c1f6f2b11")
_SPOT_FIRST_ID = 2_210_000_000_000_000_000
_SPOT_ID_STEP = 3
_SEQ_FROM_MS = 1_200_000_000_000


def spot_id(row: Row) -> int:
    """Return spot's number of a trade: it grows, but not by one."""
    return _SPOT_FIRST_ID + row.id * _SPOT_ID_STEP


def linear_uid(symbol: Symbol, row: Row) -> str:
    """Return linear's id of a trade."""
    return str(uuid.uuid5(_NAMESPACE, f"{symbol.name}:{row.id}"))


def sequence(ts_ms: int) -> int:
    """Return the matching engine's number of what happened then: it never falls."""
    return ts_ms - _SEQ_FROM_MS


def direction(before: int, price: int, zero: str) -> str:
    """Return the direction of a price after the one before; ``zero`` is the last direction."""
    if price == before:
        return zero if zero.startswith("Zero") else f"Zero{zero}"
    return "PlusTick" if price > before else "MinusTick"


class _Tape:
    """The trades of one symbol as its stream tells them."""

    def __init__(self, symbol: Symbol, *, is_linear: bool) -> None:
        self._symbol = symbol
        self._is_linear = is_linear
        self._price = 0
        self._direction = "PlusTick"

    def frames(self, rows: Sequence[Row], now_ms: int) -> Frames:
        """Return the frames of a tick's trades."""
        return [
            self._frame(rows[at : at + TRADES_MAX], now_ms)
            for at in range(0, len(rows), TRADES_MAX)
        ]

    def _frame(self, rows: Sequence[Row], now_ms: int) -> bytes:
        topic = {"topic": f"publicTrade.{self._symbol.name}"}
        ts = max(now_ms, rows[-1].ts_ms)
        if self._is_linear:
            head = topic | {"type": "snapshot", "ts": ts}
            return orjson.dumps(head | {"data": list(self._linear(rows))})
        head = topic | {"ts": ts, "type": "snapshot"}
        return orjson.dumps(head | {"data": [self._spot(row) for row in rows]})

    def _linear(self, rows: Sequence[Row]) -> Iterator[dict[str, object]]:
        symbol = self._symbol
        for row in rows:
            self._direction = direction(self._price, row.price, self._direction)
            self._price = row.price
            yield {
                "T": row.ts_ms,
                "s": symbol.name,
                "S": "Buy" if row.side > 0 else "Sell",
                "v": qty_text(symbol, row.qty, is_linear=True),
                "p": price_text(symbol, row.price, is_linear=True),
                "L": self._direction,
                "i": linear_uid(symbol, row),
                "BT": False,
                "RPI": row.id % RPI_EVERY == 0,
                "seq": sequence(row.ts_ms),
            }

    def _spot(self, row: Row) -> dict[str, object]:
        symbol = self._symbol
        return {
            "i": str(spot_id(row)),
            "T": row.ts_ms,
            "p": price_text(symbol, row.price, is_linear=False),
            "v": qty_text(symbol, row.qty, is_linear=False),
            "S": "Buy" if row.side > 0 else "Sell",
            "seq": sequence(row.ts_ms),
            "s": symbol.name,
            "BT": False,
            "RPI": row.id % RPI_EVERY == 0,
        }


def trade_feed(symbol: Symbol, *, is_linear: bool) -> TradeFeed:
    """Return what tells the trades of a symbol."""
    tape = _Tape(symbol, is_linear=is_linear)
    return TradeFeed(encode=tape.frames, source="fills")
