"""Bar: the sums of the trades of one window, exact integers, mergeable in any order.

Many trades share one millisecond, and a late trade may be the first of its window: open and close
are told by (time, id). Only where ids have no order (``by_arrival``) they are told by (time,
arrival); then trades and bars must be added in the order in which the trades came.
"""

from operator import mul
from typing import TYPE_CHECKING, NamedTuple

from orjson import Fragment

from schemas.klines import Quality
from schemas.trades import BUY, Source

if TYPE_CHECKING:
    from processors.engine.runs import Part


class Claim(NamedTuple):
    """What is proven about a bar: ``missing`` ids may belong in it."""

    quality: Quality
    missing: int


PROVEN = Claim("proven", 0)
ASSUMED = Claim("assumed", 0)
BEGAN_INSIDE = Claim("gap", 0)  # what came before the stream's first trade is not known


class Bar:
    """One window of one symbol. A bar of one second also serves as the unit that is merged.

    ``count`` counts what the venue counts (an aggregate holds several trades). ``rev`` is the
    offset of the last record that changed the bar or its proof, ``opened_at`` that of the first.
    ``before`` is the close before it, where the venue's candles begin with that.
    """

    __slots__ = (
        "before",
        "buy_quote",
        "buy_volume",
        "by_arrival",
        "claim",
        "close",
        "closed",
        "count",
        "end_ms",
        "first_id",
        "first_ms",
        "high",
        "is_touched",
        "last_id",
        "last_ms",
        "low",
        "open",
        "open_ms",
        "opened_at",
        "quote",
        "rev",
        "sealed",
        "source",
        "stored",
        "volume",
        "was_late",
    )

    def __init__(
        self, open_ms: int, end_ms: int, source: Source, offset: int, *, by_arrival: bool = False
    ) -> None:
        """Open a bar without a trade: prices mean nothing yet."""
        self.open_ms = open_ms
        self.end_ms = end_ms
        self.by_arrival = by_arrival
        self.source = source
        self.opened_at = offset
        self.rev = offset
        self.open = self.high = self.low = self.close = 0
        self.first_ms = self.last_ms = self.first_id = self.last_id = 0
        self.count = self.volume = self.quote = self.buy_volume = self.buy_quote = 0
        self.before: int | None = None
        self.closed = False
        self.sealed = False  # a trade beyond the end has been seen: nothing in order can follow
        self.was_late = False  # the last change came after the seal
        self.is_touched = False  # waits to be sent as a closed candle
        self.stored: tuple[int, Fragment] | None = None  # as the changelog has it, and at which rev
        self.claim: Claim | None = None  # what is proven about it, once that is told

    def take(
        self, ms: int, id_: int, price: int, qty: int, side: int, count: int, offset: int
    ) -> None:
        """Add one trade."""
        quote = price * qty
        if not self.count:
            self.open = self.high = self.low = self.close = price
            self.first_ms = self.last_ms = ms
            self.first_id = self.last_id = id_
        else:
            if price > self.high:
                self.high = price
            elif price < self.low:
                self.low = price
            if ms > self.last_ms or (
                ms == self.last_ms and (id_ > self.last_id or self.by_arrival)
            ):
                self.close = price
                self.last_ms = ms
                self.last_id = id_
            elif ms < self.first_ms or (
                ms == self.first_ms and id_ < self.first_id and not self.by_arrival
            ):
                self.open = price
                self.first_ms = ms
                self.first_id = id_
        self.count += count
        self.volume += qty
        self.quote += quote
        if side > 0:
            self.buy_volume += qty
            self.buy_quote += quote
        self.rev = offset

    def take_next(
        self, ms: int, id_: int, price: int, qty: int, side: int, count: int, offset: int
    ) -> None:
        """Add one trade that is not older than the youngest one here."""
        self.add_next(price, qty, side)
        self.last_ms = ms
        self.last_id = id_
        self.count += count
        self.rev = offset

    def add_next(self, price: int, qty: int, side: int) -> None:
        """Add what was paid in one trade that is not older than the youngest one here."""
        self.close = price
        if price > self.high:
            self.high = price
        elif price < self.low:
            self.low = price
        quote = price * qty
        self.volume += qty
        self.quote += quote
        if side > 0:
            self.buy_volume += qty
            self.buy_quote += quote

    def take_run(
        self,
        prices: list[int],
        qtys: list[int],
        sides: list[int] | int,
        last: tuple[int, int],
        count: int,
        offset: int,
    ) -> None:
        """Add trades in order, none older than the youngest one here.

        ``last`` are time and id of the last one; ``sides`` are 1 or -1.
        """
        quotes = list(map(mul, prices, qtys))
        volume, quote = sum(qtys), sum(quotes)
        if sides.__class__ is list:
            # Bought less sold, and bought with sold, are both whole: so is half of their sum.
            self.buy_volume += (volume + sum(map(mul, qtys, sides))) // 2
            self.buy_quote += (quote + sum(map(mul, quotes, sides))) // 2
        elif sides == BUY:
            self.buy_volume += volume
            self.buy_quote += quote
        self.close = prices[-1]
        self.high = max(self.high, *prices)
        self.low = min(self.low, *prices)
        self.volume += volume
        self.quote += quote
        self.last_ms, self.last_id = last
        self.count += count
        self.rev = offset

    def add(self, part: "Part", offset: int) -> None:
        """Add a run of trades of which none is older than the youngest one here."""
        if not self.count:
            self.open = part.open
            self.high, self.low = part.high, part.low
            self.first_ms, self.first_id = part.first_ms, part.first_id
        else:
            if part.high > self.high:
                self.high = part.high
            if part.low < self.low:
                self.low = part.low
        self.close = part.close
        self.last_ms, self.last_id = part.last_ms, part.last_id
        self.count += part.trades
        self.volume += part.volume
        self.quote += part.quote
        self.buy_volume += part.buy_volume
        self.buy_quote += part.buy_quote
        self.rev = offset

    def merge(self, other: "Bar") -> None:
        """Add the trades of another bar whose window lies inside this one.

        By arrival, all of them came after those that are here.
        """
        if not self.count:
            self.open, self.close = other.open, other.close
            self.high, self.low = other.high, other.low
            self.first_ms, self.first_id = other.first_ms, other.first_id
            self.last_ms, self.last_id = other.last_ms, other.last_id
        else:
            if other.high > self.high:
                self.high = other.high
            if other.low < self.low:
                self.low = other.low
            ms = other.last_ms
            if ms > self.last_ms or (
                ms == self.last_ms and (other.last_id > self.last_id or self.by_arrival)
            ):
                self.close = other.close
                self.last_ms = ms
                self.last_id = other.last_id
            ms = other.first_ms
            if ms < self.first_ms or (
                ms == self.first_ms and other.first_id < self.first_id and not self.by_arrival
            ):
                self.open = other.open
                self.first_ms = ms
                self.first_id = other.first_id
        self.count += other.count
        self.volume += other.volume
        self.quote += other.quote
        self.buy_volume += other.buy_volume
        self.buy_quote += other.buy_quote
        if other.rev > self.rev:
            self.rev = other.rev

    def follow(self, last: "Bar") -> bool:
        """Begin where ``last`` closes, as far as this bar does; say whether that is news."""
        close = last.close
        if self.before not in (None, close):
            self.before = close
        elif self.count or self.close == close:
            return False
        if not self.count:
            self.open = self.high = self.low = self.close = close
        self.rev = max(self.rev, last.rev)
        return True

    def rescale(self, price_by: int, qty_by: int) -> None:
        """Multiply prices and quantities: the venue has begun to send more decimals."""
        self.stored = None
        for name in ("open", "high", "low", "close"):
            setattr(self, name, getattr(self, name) * price_by)
        if self.before is not None:
            self.before *= price_by
        self.volume *= qty_by
        self.buy_volume *= qty_by
        self.quote *= price_by * qty_by
        self.buy_quote *= price_by * qty_by
