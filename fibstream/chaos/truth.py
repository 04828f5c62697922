"""What the trades of a topic imply: candles, the last prices, and what is missing. Pure.

Numbers are whole: prices and quantities in units of ``10**-SCALE``, their products of the square.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

SCALE = 12
Series = tuple[str, str, str]  # exchange, channel, symbol
Frame = tuple[int, str]  # nominal length in ms, and where windows open: "" is the epoch
CandleKey = tuple[str, str, str, int, str, int]  # series, frame, open time in ms

FLAT_FOR_MS = 600_000  # windows without a trade that a clock may close, while everything drains


class Candle(NamedTuple):
    """The numbers of a candle."""

    open: int
    high: int
    low: int
    close: int
    volume: int
    quote_volume: int
    taker_buy_volume: int
    taker_buy_quote_volume: int
    trade_count: int
    first_id: int
    last_id: int


UNITS = (*(SCALE,) * 5, 2 * SCALE, SCALE, 2 * SCALE, 0, 0, 0)
"""How many decimals each number of a candle has here."""


class Expected(NamedTuple):
    """A candle, when its window ends, and why its last revision must exist."""

    candle: Candle
    end_ms: int
    cause: str = "live"


class Hole(NamedTuple):
    """Ids that never came, and the times of the trades before and after them."""

    first: int
    last: int
    from_ms: int
    to_ms: int


class Stream(NamedTuple):
    """What the trades of a symbol say about each other."""

    rule: str
    first_id: int
    first_ms: int
    last_ms: int
    last_price: int
    holes: list[Hole]
    """Empty where ids cannot tell."""

    def claim(self, open_ms: int, end_ms: int) -> tuple[str, int]:
        """Return what a candle must say about itself: its quality, and how many ids it lacks."""
        missing = sum(
            hole.last - hole.first + 1
            for hole in self.holes
            if hole.from_ms < end_ms and hole.to_ms >= open_ms
        )
        began_inside = open_ms <= self.first_ms and (self.rule == "unique" or self.first_id > 1)
        if missing or began_inside:
            return "gap", missing
        is_proven = self.rule != "unique" and self.last_ms >= end_ms
        return ("proven" if is_proven else "assumed"), 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What the trades topic implies."""

    trades: int
    candles: Mapping[CandleKey, Expected]
    streams: Mapping[Series, Stream]

    @property
    def last_ms(self) -> int:
        """The time of the youngest trade of all."""
        return max((stream.last_ms for stream in self.streams.values()), default=0)


def with_flats(
    candles: Mapping[CandleKey, Expected], fills: Collection[str]
) -> dict[CandleKey, Expected]:
    """Return the candles and, on exchanges that draw them, the windows without a trade between.

    They stand at the close before them, and go on after the last trade as long as a clock may.
    Calendars are left out: no run is a day long.
    """
    found = dict(candles)
    last_ms = max((expected.end_ms for (*_, a, _), expected in candles.items() if not a), default=0)
    by_frame: dict[tuple[Series, int], list[int]] = {}
    for exchange, channel, symbol, length_ms, anchor, open_ms in candles:
        if exchange in fills and not anchor:
            by_frame.setdefault(((exchange, channel, symbol), length_ms), []).append(open_ms)
    for (series, length_ms), opens in by_frame.items():
        opens.sort()
        ends = [*opens[1:], last_ms + FLAT_FOR_MS]
        for open_ms, until_ms in zip(opens, ends, strict=True):
            before = candles[*series, length_ms, "", open_ms].candle
            for flat_ms, flat in _flats(before, open_ms + length_ms, until_ms, length_ms):
                found[*series, length_ms, "", flat_ms] = flat
    return found


def _flats(
    before: Candle, from_ms: int, until_ms: int, length_ms: int
) -> Iterator[tuple[int, Expected]]:
    nothing = (0,) * (len(Candle._fields) - 4)
    flat = Candle(*(before.close,) * 4, *nothing)
    for open_ms in range(from_ms, until_ms, length_ms):
        yield open_ms, Expected(flat, open_ms + length_ms)


def units(value: Decimal | int, scale: int) -> int:
    """Return a number of a topic in units of ``10**-scale``; raise where it has more digits."""
    scaled = Decimal(value).scaleb(scale)
    if scaled != int(scaled):
        raise ValueError(f"{value} has more than {scale} decimals")
    return int(scaled)
