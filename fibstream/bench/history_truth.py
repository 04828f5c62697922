"""What the simulator traded, in columns, and the candles of it: a plain numpy fold.

It shares no code with the engine, the recompute worker or the SQL of the warehouse.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from schemas.trades import Channel
from simulator.ledger import Ledger
from simulator.past import Ints
from simulator.server import Simulator

EXCHANGE = "binance"
CHANNELS: tuple[Channel, ...] = ("spot", "linear")
Mask = npt.NDArray[np.bool_]


class Trades(NamedTuple):
    """Rows of one symbol, oldest first; ``first`` and ``last`` are the trades in an aggregate."""

    id: Ints
    ts: Ints
    price: Ints
    qty: Ints
    side: Ints
    first: Ints
    last: Ints

    def where(self, chosen: "Mask | Ints | slice") -> "Trades":
        """Return some of the rows."""
        return Trades(*(column[chosen] for column in self))


class Series(NamedTuple):
    """One symbol of one market, and all that it traded."""

    channel: Channel
    symbol: str
    price_scale: int
    qty_scale: int
    from_ms: int
    """The beginning of its first day."""
    history_ms: int
    """Where its busy end begins."""
    trades: Trades

    @property
    def name(self) -> tuple[Channel, str]:
        """Return what no other one has."""
        return self.channel, self.symbol


class Candles(NamedTuple):
    """Of one interval, ordered by time; prices and sums are integers of the symbol's scales."""

    open_ms: Ints
    open: Ints
    high: Ints
    low: Ints
    close: Ints
    volume: Ints
    quote_volume: Ints
    taker_buy_volume: Ints
    taker_buy_quote_volume: Ints
    trade_count: Ints
    first_id: Ints
    last_id: Ints


def read(sim: Simulator) -> list[Series]:
    """Return every series; the simulator must trade no more."""
    return [
        _series(channel, ledger)
        for channel in CHANNELS
        for ledger in sim.of(EXCHANGE)[channel].ledgers.values()
    ]


def _series(channel: Channel, ledger: Ledger) -> Series:
    past = ledger.past
    if past is None:
        raise AssertionError("a simulator without a past")
    parts = past.columns(past.first_id, past.next_id)
    ids = np.arange(ledger.first_kept_id, ledger.next_id)
    first = np.array(ledger.first, np.int64)
    last = first + np.array(ledger.trades, np.int64) - 1
    kept = (ids, *(np.array(c, np.int64) for c in _kept(ledger)), first, last)
    names = ("id", "ts_ms", "price", "qty", "side", "first", "last")
    columns = [
        np.concatenate([*(getattr(part, name) for part in parts), column]).astype(np.int64)
        for name, column in zip(names, kept, strict=True)
    ]
    symbol = ledger.symbol
    return Series(
        channel,
        symbol.name,
        symbol.price_scale,
        symbol.qty_scale,
        past.from_ms,
        past.until_ms,
        Trades(*columns),
    )


def _kept(ledger: Ledger) -> Sequence[Sequence[int]]:
    return ledger.ts_ms, ledger.price, ledger.qty, ledger.side


def fold(trades: Trades, interval_ms: int) -> Candles:
    """Return the candles of these trades, which are in the order of their ids and times."""
    opens = trades.ts // interval_ms * interval_ms
    at = np.flatnonzero(np.diff(opens, prepend=-1))  # where a candle begins
    end = np.append(at[1:], len(opens)) - 1
    quote, buys = trades.price * trades.qty, trades.side > 0
    return Candles(
        opens[at],
        trades.price[at],
        np.maximum.reduceat(trades.price, at),
        np.minimum.reduceat(trades.price, at),
        trades.price[end],
        np.add.reduceat(trades.qty, at),
        np.add.reduceat(quote, at),
        np.add.reduceat(np.where(buys, trades.qty, 0), at),
        np.add.reduceat(np.where(buys, quote, 0), at),
        np.add.reduceat(trades.last - trades.first + 1, at),
        trades.id[at],
        trades.id[end],
    )
