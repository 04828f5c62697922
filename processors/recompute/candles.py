"""Sums of trades to candles, by the same rules as the engine. Pure.

A candle is a function of its window and ``rev`` alone: how it was read, and in how many parts,
changes nothing.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from processors.engine.bars import ASSUMED, BEGAN_INSIDE, PROVEN, Claim
from processors.engine.ids import Missing
from processors.recompute.plan import Asked, windows
from schemas.clickhouse.candles import Stored, Sums
from schemas.intervals import Interval
from schemas.klines import Cause
from schemas.rules import FLAT_WINDOWS_MAX, CandleRule

CAUSES: Mapping[str, Cause] = {"rest": "rest", "archive": "archive"}


class Before(NamedTuple):
    """The last trade before a moment."""

    close: int
    ms: int
    recv_ms: int
    price_scale: int
    qty_scale: int
    source: str


class Began(NamedTuple):
    """How the stream of a symbol began: nothing of what was before ``ms`` is known."""

    ms: int
    is_whole: bool
    """The first trade ever is in it."""


class Candle(NamedTuple):
    """One candle; numbers as in ``Sums``."""

    interval: Interval
    open_ms: int
    sums: Sums
    claim: Claim

    @property
    def cause(self) -> Cause:
        """Return why this revision exists: it came too late, or was fetched."""
        return CAUSES.get(self.sums.source, "late")

    def is_told_by(self, stored: Stored) -> bool:
        """Say whether the stored revision says the same."""
        s = self.sums
        return (*self.claim, *s[1:6], *s[9:12]) == stored[4:]

    def lacks(self, stored: Stored) -> bool:
        """Say whether the stored revision knew of trades that this one does not.

        Then the warehouse is not whole: writing may have been switched off for a while.
        """
        was_proven = stored.quality == "proven" and self.claim.quality == "gap"
        return self.sums.trades < stored.trades or was_proven


@dataclass
class _Track:
    """The windows of one interval, one after the other."""

    interval: Interval
    windows: Iterator[tuple[int, int]]
    open_ms: int = 0
    end_ms: int = 0
    sums: Sums | None = None
    before: Before | None = None
    is_over: bool = False

    def go_on(self) -> None:
        self.sums = self.before = None
        window = next(self.windows, None)
        self.is_over = window is None
        self.open_ms, self.end_ms = window or (0, 0)


@dataclass
class Candles:
    """Takes the sums of block after block, oldest first, and gives the candles that they end.

    ``before`` is the last trade before the first block.
    """

    asked: Asked
    intervals: Sequence[Interval]
    ended_by_ms: int
    rule: CandleRule
    began: Began
    before: Before | None
    _tracks: list[_Track] = field(init=False)
    _missing: set[Missing] = field(default_factory=set)

    def __post_init__(self) -> None:
        _, _, _, _, from_ms, to_ms, _ = self.asked
        self._tracks = [
            _Track(interval, windows(interval, from_ms, to_ms, self.ended_by_ms))
            for interval in self.intervals
        ]
        for track in self._tracks:
            track.go_on()

    def take(
        self, block: Iterable[Sums], missing: Iterable[Missing], end_ms: int
    ) -> Iterator[Candle]:
        """Take the sums of trades until ``end_ms``; yield the candles of windows ended there."""
        self._missing.update(missing)
        for sums in block:
            yield from self._end(sums.at_ms)
            for track in self._tracks:
                if not track.is_over and track.open_ms <= sums.at_ms:
                    if track.sums is None:
                        track.before = self.before
                        track.sums = sums
                    else:
                        track.sums = merged(track.sums, sums)
            self.before = Before(
                sums.close, sums.last_ms, sums.recv_ms, *self._scales(sums), sums.source
            )
        yield from self._end(end_ms)
        opens_ms = min((t.open_ms for t in self._tracks if not t.is_over), default=end_ms)
        self._missing = {gap for gap in self._missing if gap.to_ms >= opens_ms}

    def _scales(self, sums: Sums) -> tuple[int, int]:
        before = self.before
        if before is None:
            return sums.price_scale, sums.qty_scale
        return (
            max(before.price_scale, sums.price_scale),
            max(before.qty_scale, sums.qty_scale),
        )

    def _end(self, at_ms: int) -> Iterator[Candle]:
        for track in self._tracks:
            while not track.is_over and track.end_ms <= at_ms:
                sums = self._ended(track)
                if sums is not None:
                    claim = self._claim(track.open_ms, track.end_ms)
                    yield Candle(track.interval, track.open_ms, sums, claim)
                track.go_on()

    def _ended(self, track: _Track) -> Sums | None:
        sums, before = track.sums, track.before
        if sums is None:
            return self._flat(track)
        if before is None:
            return sums
        if self.rule.opens_at_close:
            sums = sums._replace(
                open=before.close,
                high=max(sums.high, before.close),
                low=min(sums.low, before.close),
            )
        return sums._replace(
            price_scale=max(sums.price_scale, before.price_scale),
            qty_scale=max(sums.qty_scale, before.qty_scale),
        )

    def _flat(self, track: _Track) -> Sums | None:
        last = self.before  # no trade came since the window opened
        if not self.rule.fills or last is None:
            return None
        length_ms = track.interval.length_ms
        filled_from_ms = track.interval.window(last.ms)[1]
        if track.open_ms >= filled_from_ms + FLAT_WINDOWS_MAX * length_ms:
            return None
        prices = (last.close,) * 4
        scales = last.price_scale, last.qty_scale
        zeros = (0,) * 7
        return Sums(track.open_ms, *prices, *zeros, last.ms, last.recv_ms, 0, last.source, *scales)

    def _claim(self, open_ms: int, end_ms: int) -> Claim:
        began_inside = open_ms <= self.began.ms and not self.began.is_whole
        if self.asked.ids == "unique":
            return BEGAN_INSIDE if began_inside else ASSUMED
        missing = sum(
            gap.ids for gap in self._missing if gap.from_ms < end_ms and gap.to_ms >= open_ms
        )
        if missing:
            return Claim("gap", missing)
        return BEGAN_INSIDE if began_inside else PROVEN


def merged(sums: Sums, later: Sums) -> Sums:
    """Return the sums of both; every trade of ``later`` is after those of ``sums``."""
    newest = max(sums, later, key=lambda part: part.arrival)
    return Sums(
        sums.at_ms,
        sums.open,
        max(sums.high, later.high),
        min(sums.low, later.low),
        later.close,
        sums.volume + later.volume,
        sums.quote + later.quote,
        sums.buy_volume + later.buy_volume,
        sums.buy_quote + later.buy_quote,
        sums.trades + later.trades,
        sums.first_id,
        later.last_id,
        later.last_ms,
        max(sums.recv_ms, later.recv_ms),
        newest.arrival,
        newest.source,
        max(sums.price_scale, later.price_scale),
        max(sums.qty_scale, later.qty_scale),
    )
