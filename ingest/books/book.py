"""Book: the levels of one symbol as fixed-point integers, with the best prices always at hand.

The scales start at the instrument's and only grow. Quantities are in the base coin: the venue's
text times the contract size; only checksums see the texts themselves.
"""

from collections.abc import Callable, Sequence
from copy import copy
from heapq import heapify, heappop, heappush, nlargest, nsmallest

from ingest.decimals import SCALE_MAX, Unfit, decimals_needed, digits, rescaled
from schemas.numbers import INT64_MAX
from schemas.updates import Book as BookUpdate
from schemas.updates import Level

TextLevels = Sequence[tuple[str, str]]
SPARE_RANKS = 64


class _TooFine(Exception):  # noqa: N818 - never leaves this module
    """A text has more decimals than the book."""


class Side:
    """One side of a book. A rank is a price, or less a price for bids: the best is the lowest."""

    __slots__ = ("_ranks", "_sign", "levels", "texts")

    def __init__(self, sign: int) -> None:
        self.levels: dict[int, int] = {}
        """Price to quantity, in no order."""
        self.texts: dict[int, tuple[str, str]] = {}
        """Price to the venue's own texts, where they are kept."""
        self._sign = sign
        # Every price that is there, and some that are gone: those are dropped when they come first.
        self._ranks: list[int] = []

    @property
    def best(self) -> int | None:
        """Return the best price; None on an empty side."""
        ranks, sign, levels = self._ranks, self._sign, self.levels
        while ranks:
            price = sign * ranks[0]
            if price in levels:
                return price
            heappop(ranks)
        return None

    def change(self, changes: Sequence[Level]) -> None:
        """Set the quantities; a quantity of 0 deletes, and deleting what is not there is normal."""
        levels, ranks, sign = self.levels, self._ranks, self._sign
        for price, qty in changes:
            if qty:
                if price not in levels:
                    heappush(ranks, sign * price)
                levels[price] = qty
            else:
                levels.pop(price, None)
        if len(ranks) > 2 * len(levels) + SPARE_RANKS:
            self._rank()

    def replace(self, levels: Sequence[Level]) -> None:
        """Forget all, and take these."""
        self.levels = {}
        self.texts = {}
        for price, qty in levels:  # in order: a price that comes again, with nothing, is gone
            if qty:
                self.levels[price] = qty
            else:
                self.levels.pop(price, None)
        self._rank()

    def rescale(self, price_factor: int, qty_factor: int) -> None:
        """Multiply every level."""
        self.replace([(p * price_factor, q * qty_factor) for p, q in self.levels.items()])

    def copy(self) -> "Side":
        """Return a side of its own that says the same."""
        twin = Side(self._sign)
        twin.levels, twin.texts = self.levels.copy(), self.texts.copy()
        twin._ranks = self._ranks.copy()
        return twin

    def top(self, n: int) -> list[Level]:
        """Return the best ``n`` levels, best first."""
        prices = nsmallest(n, self.levels) if self._sign > 0 else nlargest(n, self.levels)
        return [(price, self.levels[price]) for price in prices]

    def all(self) -> list[Level]:
        """Return every level, best first."""
        return sorted(self.levels.items(), reverse=self._sign < 0)

    def cut(self, depth: int) -> list[int]:
        """Delete the levels below ``depth``; return their prices."""
        excess = len(self.levels) - depth
        if excess <= 0:
            return []
        worst = nlargest if self._sign > 0 else nsmallest
        prices = worst(excess, self.levels)
        for price in prices:
            del self.levels[price]
            self.texts.pop(price, None)
        return prices

    def _rank(self) -> None:
        self._ranks = [self._sign * price for price in self.levels]
        heapify(self._ranks)


class Book:
    """The two sides of one symbol. What cannot be read raises ValueError and changes nothing."""

    def __init__(
        self,
        symbol: str,
        *,
        scales: tuple[int, int] = (0, 0),
        contract_size: str = "1",
        depth: int = 0,
        keeps_texts: bool = False,
    ) -> None:
        self.symbol = symbol
        self.price_scale, self.qty_scale = scales
        self.bids = Side(-1)
        self.asks = Side(1)
        self._depth = depth
        self._keeps_texts = keeps_texts
        self._qty = _in_base(contract_size)

    @property
    def is_crossed(self) -> bool:
        """Return whether somebody would buy at what another sells for, or dearer."""
        bid, ask = self.bids.best, self.asks.best
        return bid is not None and ask is not None and bid >= ask

    def replace(self, bids: TextLevels, asks: TextLevels) -> None:
        """Forget all levels, and take these."""
        new_bids, new_asks = self._read(bids, asks)
        self.bids.replace(new_bids)
        self.asks.replace(new_asks)
        if self._keeps_texts:
            self._remember(bids, asks, new_bids, new_asks)
        if self._depth:  # a deeper book than the rule's is as deep as its snapshot
            self._depth = max(self._depth, len(new_bids), len(new_asks))

    def change(self, bids: TextLevels, asks: TextLevels) -> tuple[list[Level], list[Level]]:
        """Change levels; return what changed: these, and those that fell out of the depth."""
        new_bids, new_asks = self._read(bids, asks)
        self.bids.change(new_bids)
        self.asks.change(new_asks)
        if self._keeps_texts:
            self._remember(bids, asks, new_bids, new_asks)
        if self._depth:
            new_bids = _less(new_bids, self.bids.cut(self._depth))
            new_asks = _less(new_asks, self.asks.cut(self._depth))
        return new_bids, new_asks

    def follow(self, update: BookUpdate) -> None:
        """Apply one published update, as a reader of ``md.books.v1`` does."""
        if update.type == "snapshot":
            self.price_scale, self.qty_scale = update.price_scale, update.qty_scale
            self.bids.replace(update.bids)
            self.asks.replace(update.asks)
            return
        if (update.price_scale, update.qty_scale) != (self.price_scale, self.qty_scale):
            raise ValueError(f"{update.symbol}: scales change with snapshots only")
        self.bids.change(update.bids)
        self.asks.change(update.asks)

    def copy(self) -> "Book":
        """Return a book of its own that says the same."""
        twin = copy(self)
        twin.bids, twin.asks = self.bids.copy(), self.asks.copy()
        return twin

    def top_texts(self, n: int) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        """Return the best ``n`` levels a side as the venue wrote them."""
        return (
            [self.bids.texts[price] for price, _ in self.bids.top(n)],
            [self.asks.texts[price] for price, _ in self.asks.top(n)],
        )

    def _read(self, bids: TextLevels, asks: TextLevels) -> tuple[list[Level], list[Level]]:
        try:
            return self._levels(bids), self._levels(asks)
        except _TooFine:
            self._grow([*bids, *asks])
            return self._levels(bids), self._levels(asks)

    def _levels(self, texts: TextLevels) -> list[Level]:
        read_qty, price_scale, qty_scale = self._qty, self.price_scale, self.qty_scale
        levels: list[Level] = []
        for price_text, qty_text in texts:
            price, scale = digits(price_text)
            if scale != price_scale:
                price = _moved(price, scale, price_scale)
            qty, scale = read_qty(qty_text)
            if scale != qty_scale:
                qty = _moved(qty, scale, qty_scale)
            levels.append((price, qty))
        return levels

    def _grow(self, texts: TextLevels) -> None:
        """Widen the scales so that these fit, and move what is there."""
        price_scale = max(self.price_scale, *(decimals_needed(*digits(p)) for p, _ in texts))
        qty_scale = max(self.qty_scale, *(decimals_needed(*self._qty(q)) for _, q in texts))
        factors = 10 ** (price_scale - self.price_scale), 10 ** (qty_scale - self.qty_scale)
        for side in (self.bids, self.asks):
            for price, qty in side.levels.items():
                if price * factors[0] > INT64_MAX or qty * factors[1] > INT64_MAX:
                    raise Unfit(f"{self.symbol}: a level leaves 64 bits at the scale of another")
        for side in (self.bids, self.asks):
            kept = {price * factors[0]: texts for price, texts in side.texts.items()}
            side.rescale(*factors)
            side.texts = kept
        self.price_scale, self.qty_scale = price_scale, qty_scale

    def _remember(
        self, bids: TextLevels, asks: TextLevels, new_bids: list[Level], new_asks: list[Level]
    ) -> None:
        for side, texts, levels in (
            (self.bids, bids, new_bids),
            (self.asks, asks, new_asks),
        ):
            for text, (price, qty) in zip(texts, levels, strict=True):
                if qty:
                    side.texts[price] = text
                else:
                    side.texts.pop(price, None)


def _in_base(contract_size: str) -> Callable[[str], tuple[int, int]]:
    if contract_size == "1":
        return digits
    factor, more_decimals = digits(contract_size)

    def read(number: str) -> tuple[int, int]:
        value, scale = digits(number)
        value, scale = value * factor, scale + more_decimals
        if scale > SCALE_MAX:
            scale_min = decimals_needed(value, scale)
            value, scale = value // 10 ** (scale - scale_min), scale_min
        if value > INT64_MAX or scale > SCALE_MAX:
            raise Unfit(f"{number!r} contracts of {contract_size} leave 64 bits")
        return value, scale

    return read


def _moved(value: int, scale: int, wanted: int) -> int:
    moved = rescaled(value, scale, wanted)
    if moved is None:
        raise _TooFine
    return moved


def _less(changes: list[Level], gone: list[int]) -> list[Level]:
    if not gone:
        return changes
    left = dict(changes)
    left.update(dict.fromkeys(gone, 0))
    return list(left.items())
