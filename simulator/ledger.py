"""The truth about one symbol: every row of its canonical stream, in plain integer columns.

A row is one trade, or the trades of one order at one price (an aggregate). Ids are dense, so a
row's place in the columns is its id minus ``first_kept_id``; the oldest rows are forgotten when
there are too many.
"""

from array import array
from bisect import bisect_left, bisect_right
from typing import NamedTuple, Self

from simulator.past import Past, Stretch
from simulator.symbols import Symbol


class Row(NamedTuple):
    """One row; ``first`` and ``last`` are the ids of the trades in it."""

    id: int
    ts_ms: int
    price: int
    qty: int
    side: int
    first: int
    last: int
    is_fund: bool = False
    """Of the insurance fund: takes a trade id, and belongs to no candle."""


_COLUMNS = Stretch.__slots__  # those of a row, in its order


class Ledger:
    """Rows of one symbol of a market whose canonical rows are aggregates."""

    def __init__(self, symbol: Symbol, *, next_id: int, next_trade_id: int) -> None:
        self.symbol = symbol
        self.past: Past | None = None
        self.first_kept_id = next_id
        self.next_trade_id = next_trade_id
        self.complete_from_ms = 0  # rows before this time may have been forgotten
        self.ts_ms = array("q")
        self.price = array("q")
        self.qty = array("q")
        self.side = array("b")
        self.first = array("q")
        self.trades = array("i")  # in each row
        self.sent_ns = array("q")  # 0: it reached no socket

    def __len__(self) -> int:
        return len(self.ts_ms)

    @property
    def next_id(self) -> int:
        """The id that the next row will get."""
        return self.first_kept_id + len(self.ts_ms)

    @property
    def first_id(self) -> int:
        """The id of the oldest row that can be told."""
        return self.past.first_id if self.past else self.first_kept_id

    def follow(self, past: Past) -> None:
        """Begin where a past ends; nothing was traded yet."""
        self.past = past
        self.first_kept_id = past.next_id
        self.next_trade_id = past.next_id if past.is_by_fill else past.next_id * 2

    def append(self, ts_ms: int, price: int, qty: int, side: int, trades: int) -> Row:
        """Add a row of ``trades`` trades."""
        first = self.next_trade_id
        self.ts_ms.append(ts_ms)
        self.price.append(price)
        self.qty.append(qty)
        self.side.append(side)
        self.first.append(first)
        self.trades.append(trades)
        self.sent_ns.append(0)
        self.next_trade_id = first + trades
        return Row(self.next_id - 1, ts_ms, price, qty, side, first, first + trades - 1)

    def rows(self, from_id: int, until_id: int) -> list[Row]:
        """Rows of the past and kept rows of [from_id, until_id)."""
        low = max(from_id - self.first_kept_id, 0)
        high = max(until_id - self.first_kept_id, low)
        before = self._past_rows(from_id, until_id)
        ids = range(self.first_kept_id + low, self.next_id)
        columns = (self.ts_ms, self.price, self.qty, self.side, self.first, self.trades)
        return before + [
            Row(row_id, ts_ms, price, qty, side, first, first + trades - 1)
            for row_id, ts_ms, price, qty, side, first, trades in zip(
                ids, *(column[low:high] for column in columns), strict=False
            )
        ]

    def _past_rows(self, from_id: int, until_id: int) -> list[Row]:
        if self.past is None or from_id >= self.past.next_id:
            return []
        return [
            Row(*cells)
            for part in self.past.columns(from_id, until_id)
            for cells in zip(*(getattr(part, name).tolist() for name in _COLUMNS), strict=True)
        ]

    def id_at(self, ts_ms: int) -> int:
        """The id of the first row at ``ts_ms`` or later."""
        if self.past and ts_ms < self.past.until_ms:
            return self.past.id_at(ts_ms)
        return self.first_kept_id + bisect_left(self.ts_ms, ts_ms)

    def row_of_trade(self, trade_id: int) -> int:
        """The id of the row that holds a trade, or of the one before where none does."""
        if self.past and self.past.row_of_trade(trade_id) < self.past.next_id:
            return self.past.row_of_trade(trade_id)
        return self.first_kept_id + max(bisect_right(self.first, trade_id) - 1, 0)

    def copy(self, from_id: int, until_id: int) -> Self:
        """The rows of [from_id, until_id) apart from all changes to come: for another thread."""
        low = max(from_id - self.first_kept_id, 0)
        high = max(until_id - self.first_kept_id, low)
        copied = type(self)(self.symbol, next_id=self.first_kept_id + low, next_trade_id=0)
        for name in ("ts_ms", "price", "qty", "side", "first", "trades", "sent_ns"):
            setattr(copied, name, getattr(self, name)[low:high])
        return copied

    def mark_sent(self, row_id: int, sent_ns: int) -> bool:
        """Note when a row first reached a socket; false if it had before."""
        at = row_id - self.first_kept_id
        if at < 0 or self.sent_ns[at]:
            return False
        self.sent_ns[at] = sent_ns
        return True

    def forget(self, rows: int) -> int:
        """Drop at most ``rows`` of the oldest rows; how many."""
        if rows <= 0:
            return 0
        self.complete_from_ms = self.ts_ms[rows - 1] + 1
        del self.side[:rows]
        for column in (self.ts_ms, self.price, self.qty, self.first, self.trades, self.sent_ns):
            del column[:rows]
        self.first_kept_id += rows
        return rows

    # -- aggregate trades: here the rows themselves

    @property
    def next_aggregate_id(self) -> int:
        """The id that the next aggregate will get."""
        return self.next_id

    def aggregates(self, from_id: int, until_id: int) -> list[Row]:
        """Kept aggregates of [from_id, until_id)."""
        return self.rows(from_id, until_id)

    def aggregate_at(self, ts_ms: int) -> int:
        """The id of the first kept aggregate at ``ts_ms`` or later."""
        return self.id_at(ts_ms)


class FillLedger(Ledger):
    """Of a market whose rows are single trades; an aggregate is a run of them."""

    def __init__(self, symbol: Symbol, *, next_id: int, next_trade_id: int) -> None:
        super().__init__(symbol, next_id=next_id, next_trade_id=next_trade_id)
        self.first_aggregate_id = next_id // 2
        self.starts = array("q")  # the row id that opens each aggregate

    def follow(self, past: Past) -> None:
        """Begin where a past ends, whose aggregates are two rows each."""
        super().follow(past)
        self.first_aggregate_id = past.next_id // 2

    def open_aggregate(self) -> int:
        """The next row begins a new aggregate, whose id is the answer."""
        self.starts.append(self.next_id)
        return self.next_aggregate_id - 1

    @property
    def next_aggregate_id(self) -> int:
        """The id that the next aggregate will get."""
        return self.first_aggregate_id + len(self.starts)

    def aggregates(self, from_id: int, until_id: int) -> list[Row]:
        """Kept aggregates of [from_id, until_id), summed from their rows."""
        low = max(from_id - self.first_aggregate_id, 0)
        high = min(until_id - self.first_aggregate_id, len(self.starts))
        found = self._past_aggregates(from_id, until_id)
        for at in range(low, high):
            end = self.starts[at + 1] if at + 1 < len(self.starts) else self.next_id
            rows = self.rows(self.starts[at], end)
            qty = sum(row.qty for row in rows)
            found.append(
                rows[0]._replace(id=self.first_aggregate_id + at, qty=qty, last=rows[-1].last)
            )
        return found

    def _past_aggregates(self, from_id: int, until_id: int) -> list[Row]:
        rows = self._past_rows(from_id * 2, until_id * 2)
        if rows and rows[0].id % 2:
            raise AssertionError("an aggregate of the past begins at an even row")
        return [
            one._replace(id=one.id // 2, qty=one.qty + other.qty, last=other.last)
            for one, other in zip(rows[::2], rows[1::2], strict=True)
        ]

    def aggregate_at(self, ts_ms: int) -> int:
        """The id of the first aggregate at ``ts_ms`` or later."""
        if self.past and ts_ms < self.past.until_ms:
            return self.past.id_at(ts_ms) // 2
        return self.first_aggregate_id + bisect_left(self.starts, self.id_at(ts_ms))

    def forget(self, rows: int) -> int:
        """Drop whole aggregates, so maybe fewer rows."""
        gone = max(bisect_left(self.starts, self.first_kept_id + rows + 1) - 1, 0)
        if not gone:
            return 0
        dropped = super().forget(self.starts[gone] - self.first_kept_id)
        del self.starts[:gone]
        self.first_aggregate_id += gone
        return dropped
