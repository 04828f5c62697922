"""Books of a recording: the production keeper under recorded time, a row after every update.

A recording may mix the frames of parallel connections, which cut the same changes differently. As
quantities are absolute, an update of any of them continues the latest state that is not after it.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator

import orjson

from ingest.books import Book, BookKeeper
from ingest.books.book import Side
from ingest.exchanges.base import BookRow, BookRule
from schemas.numbers import text
from schemas.updates import Book as BookUpdate

STATES_MAX = 32  # of one book: how many updates the connections may lie apart
WAITING_UPDATES_MAX = 50_000  # a snapshot may stand in a file that is read after its stream


class ReplayedBooks:
    """Takes the book rows of one exchange and channel, in order; yields the best prices."""

    def __init__(self, rule: BookRule, *, head: str, in_contracts: bool) -> None:
        self._rule = rule
        self._head = head
        self._tail = ',"unit":"contracts"}\n' if in_contracts else "}\n"
        self._names: dict[str, str] = {}
        self._states: dict[tuple[str, str], list[BookKeeper]] = {}
        self._gaps: Counter[str] = Counter()
        self._signed = self._crossed = 0

    def rows(self, row: BookRow, recv_ns: int | None) -> Iterator[bytes]:
        """Yield a row for each update that this one lets apply: many for a REST snapshot."""
        now_ms = row.ts if recv_ns is None else recv_ns // 1_000_000
        keeper = self._keeper(row)
        if row.is_snapshot and self._rule.snapshot is not None:
            outcome = keeper.snapshot(row, now_ms)
        else:
            outcome = keeper.take(row, now_ms)
        for gap in outcome.gaps:
            self._gaps[f"{gap.reason}_{gap.state}"] += 1
        if outcome.updates and row.checksum is not None and self._rule.checksum is not None:
            self._signed += 1
        if len(outcome.updates) == 1:
            yield self._row(keeper.book, outcome.updates[0])
            return
        reader = Book(row.symbol)
        for update in outcome.updates:
            reader.follow(update)
            yield self._row(reader, update)

    def notes(self) -> dict[str, object]:
        """Return what the summary should say of the books."""
        void = {symbol for (symbol, _), states in self._states.items() if not _is_known(states)}
        notes: dict[str, object] = {"void_books": sorted(void)} if void else {}
        if self._gaps:
            notes["book_gaps"] = dict(self._gaps)
        if self._signed:
            notes["checksums_right"] = self._signed
        if self._crossed:
            notes["crossed_rows"] = self._crossed
        return notes

    def _keeper(self, row: BookRow) -> BookKeeper:
        """Return the state that the row continues; the latest one stands last."""
        states = self._states.setdefault((row.symbol, row.stream), [])
        if len(states) > 1 and not states[-1].is_live:
            states.pop()  # its fault is told, and another state stands
        begins = row.is_snapshot and self._rule.snapshot is None
        if not states or (begins and states[-1].is_live):
            # No connection is behind it, so a crossed book is told, and not given up.
            new = BookKeeper(
                row.symbol, self._rule, queued_max=WAITING_UPDATES_MAX, crossed_ms=math.inf
            )
            states.append(new)
        elif len(states) > 1:
            fitting = (each for each in reversed(states) if each.fits(row))
            states.append(next(fitting, states[-1]).copy())
        del states[:-STATES_MAX]
        return states[-1]

    def _row(self, book: Book, update: BookUpdate) -> bytes:
        name = self._names.get(book.symbol)
        if name is None:
            name = self._names[book.symbol] = orjson.dumps(book.symbol).decode()
        self._crossed += book.is_crossed
        bid_price, bid_qty = _best(book, book.bids)
        ask_price, ask_qty = _best(book, book.asks)
        return (
            f'{self._head}"symbol":{name},"ts":{update.ts},"update_id":{update.last_id}'
            f',"bid_price":{bid_price},"bid_qty":{bid_qty}'
            f',"ask_price":{ask_price},"ask_qty":{ask_qty}{self._tail}'
        ).encode()


def _best(book: Book, side: Side) -> tuple[str, str]:
    price = side.best
    if price is None:
        return "null", "null"
    return text(price, book.price_scale), text(side.levels[price], book.qty_scale)


def _is_known(states: Iterable[BookKeeper]) -> bool:
    return any(state.is_live for state in states)
