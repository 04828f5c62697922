"""Books: each symbol's order book kept whole, and its best levels published, conflated.

There is no state in the changelog: a book is void until its next snapshot on ``md.books.v1``, which
comes within 30 s, and void books are not published. A wrong one never is: a delta that does not
follow makes the book void too.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from processors.fold import Unreadable
from processors.symbols import Market, SymbolFold, SymbolState
from schemas.numbers import text
from schemas.topics import BOOK_SNAPSHOTS, BOOKS, Topic
from schemas.updates import Book, BookUpdates, Level

IMBALANCE_DECIMALS = 6

_decode = msgspec.json.Decoder(BookUpdates).decode


class Side:
    """One side of a book: quantities by price, and the prices in order."""

    __slots__ = ("_is_bids", "levels", "prices")

    def __init__(self, *, is_bids: bool) -> None:
        self._is_bids = is_bids
        self.levels: dict[int, int] = {}
        self.prices: list[int] = []  # ascending

    def replace(self, levels: Sequence[Level]) -> None:
        """Forget all, and take these."""
        self.levels = {price: qty for price, qty in levels if qty}
        self.prices = sorted(self.levels)

    def change(self, changes: Sequence[Level]) -> None:
        """Set quantities; 0 takes a price out, and one that is not there is no fault."""
        levels, prices = self.levels, self.prices
        for price, qty in changes:
            if qty:
                if price not in levels:
                    insort(prices, price)
                levels[price] = qty
            elif levels.pop(price, None) is not None:
                del prices[bisect_left(prices, price)]

    def top(self, n: int) -> list[Level]:
        """Return the best ``n`` levels, best first."""
        best = self.prices[: -n - 1 : -1] if self._is_bids else self.prices[:n]
        levels = self.levels
        return [(price, levels[price]) for price in best]


class BookState(SymbolState):
    """One book: whole, or void until a snapshot comes."""

    __slots__ = ("asks", "bids", "depth", "is_whole", "last_id", "name", "scales", "ts")

    def __init__(self, market: Market, symbol: str, depth: int) -> None:
        super().__init__(market, symbol)
        self.name = msgspec.json.encode(symbol).decode()  # as it stands in a row
        self.depth = depth
        self.bids = Side(is_bids=True)
        self.asks = Side(is_bids=False)
        self.is_whole = False
        self.scales = (0, 0)
        self.last_id = self.ts = 0

    def follow(self, row: Book) -> bool:
        """Apply an update; return whether the book changed."""
        if row.type == "snapshot":
            self.bids.replace(row.bids)
            self.asks.replace(row.asks)
            self.scales = row.price_scale, row.qty_scale
            self.is_whole = True
        elif not self.is_whole:
            return False
        elif row.prev_id != self.last_id or (row.price_scale, row.qty_scale) != self.scales:
            if row.last_id <= self.last_id:
                return False  # told twice: it is in the book
            self._void()
            return True
        else:
            self.bids.change(row.bids)
            self.asks.change(row.asks)
        self.last_id, self.ts = row.last_id, row.ts
        return True

    def value(self) -> bytes:
        """Return the best levels as the value of a record."""
        price_scale, qty_scale = self.scales
        _, exchange, channel = self.market
        bids, asks = self.bids.top(self.depth), self.asks.top(self.depth)
        return (
            f'{{"exchange":"{exchange}","channel":"{channel}","data_type":"book"'
            f',"recv_ms":{self.recv_ms},"data":[{{"symbol":{self.name},"ts":{self.ts}'
            f',"update_id":{self.last_id},"rev":{self.rev}'
            f',"bids":[{_levels(bids, price_scale, qty_scale)}]'
            f',"asks":[{_levels(asks, price_scale, qty_scale)}]'
            f"{_best(bids, asks, price_scale, qty_scale)}}}]}}"
        ).encode()

    def records(self) -> Iterable[tuple[bytes, bytes]]:
        """A book would be too large to write once a second."""
        return ()

    def _void(self) -> None:
        self.is_whole = False
        self.bids.replace(())
        self.asks.replace(())


class Books(SymbolFold[BookState]):
    """Folds ``md.books.v1`` into ``md.book-snapshots.v1``."""

    name = "books"
    reads: tuple[Topic, ...] = (BOOKS,)
    writes: tuple[Topic, ...] = (BOOK_SNAPSHOTS,)

    def __init__(self, every_ms: int, depth: int) -> None:
        super().__init__(every_ms)
        self._depth = depth

    def apply(self, topic: Topic, partition: int, offset: int, value: bytes) -> None:  # noqa: ARG002
        """Fold one record, whole or not at all; raise Unreadable."""
        try:
            updates = _decode(value)
        except msgspec.MsgspecError as e:
            raise Unreadable(str(e)) from e
        market = Market(partition, updates.exchange, updates.channel)
        symbols = self._markets.setdefault(market, {})
        recv_ms = updates.recv_ns // 1_000_000
        for row in updates.data:
            state = symbols.get(row.symbol)
            if state is None:
                state = symbols[row.symbol] = BookState(market, row.symbol, self._depth)
            if state.follow(row):
                state.rev, state.recv_ms = offset, recv_ms
                if state.is_whole:
                    self._fresh[state] = None
                else:
                    self._fresh.pop(state, None)

    def restore(self, partition: int, states: Mapping[bytes, bytes]) -> None:  # noqa: ARG002
        """Begin the partition with void books."""
        self.drop(partition)


def _levels(levels: Sequence[Level], price_scale: int, qty_scale: int) -> str:
    return ",".join(
        [f"[{text(price, price_scale)},{text(qty, qty_scale)}]" for price, qty in levels]
    )


def _best(bids: Sequence[Level], asks: Sequence[Level], price_scale: int, qty_scale: int) -> str:
    """Return the fields that the best levels tell; null where a side is empty."""
    bid_price = bid_qty = ask_price = ask_qty = spread = mid = imbalance = "null"
    if bids:
        bid_price, bid_qty = text(bids[0][0], price_scale), text(bids[0][1], qty_scale)
    if asks:
        ask_price, ask_qty = text(asks[0][0], price_scale), text(asks[0][1], qty_scale)
    if bids and asks:
        bid, ask = bids[0][0], asks[0][0]
        spread = text(ask - bid, price_scale)
        mid = text(5 * (bid + ask), price_scale + 1)  # a half needs one decimal more
    bought, sold = sum([qty for _, qty in bids]), sum([qty for _, qty in asks])
    if bought + sold:
        # Twice the fraction and one, halved: rounded to the nearest, halves up.
        part = 2 * (bought - sold) * 10**IMBALANCE_DECIMALS // (bought + sold)
        imbalance = text((part + 1) // 2, IMBALANCE_DECIMALS)
    return (
        f',"bid_price":{bid_price},"bid_qty":{bid_qty},"ask_price":{ask_price}'
        f',"ask_qty":{ask_qty},"spread":{spread},"mid":{mid},"imbalance":{imbalance}'
    )
