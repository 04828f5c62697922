"""One span of one symbol, computed again block by block: what is new, told, or lacks trades.

It reads as much as one block at a time, however long the span is.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from processors.engine.windows import CORRECTION_MS
from processors.recompute.candles import Candle, Candles
from processors.recompute.plan import Asked, blocks
from processors.recompute.warehouse import Warehouse
from schemas.clickhouse.candles import Stored
from schemas.intervals import Interval
from schemas.rules import EmptyCandles, candle_rule


class Judged(NamedTuple):
    """The candles of one block, each in one of these."""

    news: list[Candle]
    told: int
    """These stand in the warehouse as they are, or as of a later revision."""
    lacking: list[Candle]
    """The warehouse lacks trades that its own candles know of: what it would say is not right."""


def recompute(
    warehouse: Warehouse, asked: Asked, intervals: Sequence[Interval], empty: EmptyCandles
) -> Iterator[Judged]:
    """Yield the closed candles that overlap the span, as of its revision.

    Closed is what the engine has given up: it ended ``CORRECTION_MS`` before the youngest trade
    that came before that revision. Later ones are the engine's own to correct.
    """
    rule = candle_rule(asked.exchange, empty)
    ended_by_ms = warehouse.watermark_ms(asked) - CORRECTION_MS
    began = warehouse.began(asked)
    if began is None:
        return
    if rule.fills or rule.opens_at_close:
        # Until the next trade candles stand on the last close of the span, and so does that one's.
        asked = asked._replace(to_ms=warehouse.next_ms(asked) or asked.to_ms)
    candles: Candles | None = None
    for edges in blocks(intervals, asked.from_ms, asked.to_ms, ended_by_ms):
        if candles is None:
            before = warehouse.before(asked, edges[0])
            candles = Candles(asked, intervals, ended_by_ms, rule, began, before)
        for sums, missing, end_ms in warehouse.block(asked, edges):
            ended = list(candles.take(sums, missing, end_ms))
            if ended:
                yield judged(asked, ended, warehouse.stored(asked, ended))


def judged(
    asked: Asked, candles: Sequence[Candle], stored: Mapping[tuple[Interval, int], Stored]
) -> Judged:
    """Compare candles with what the warehouse holds of them."""
    found = Judged([], 0, [])
    for candle in candles:
        old = stored.get((candle.interval, candle.open_ms))
        if old is not None and (old.rev >= asked.rev or candle.is_told_by(old)):
            found = found._replace(told=found.told + 1)
        elif old is not None and candle.lacks(old):
            found.lacking.append(candle)
        else:
            found.news.append(candle)
    return found
