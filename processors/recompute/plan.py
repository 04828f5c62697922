"""What is asked for, and how it is read: spans of one symbol, windows, and edges between sums.

Every trade is read once, whatever the number of intervals: the edges of all their windows cut time
into pieces, and each piece is summed once and merged into every window that holds it.
"""

from collections.abc import Iterable, Iterator, Sequence
from heapq import merge
from itertools import groupby
from typing import NamedTuple

from schemas.intervals import HOUR_MS, Interval
from schemas.trades import Channel, IdRule

EDGES_MAX = 4_000  # of a query
QUERY_MS_MAX = 6 * HOUR_MS  # so long a stretch of time is summed by one query


class Asked(NamedTuple):
    """Every candle of a symbol that overlaps ``[from_ms, to_ms]``, as of ``rev``."""

    exchange: str
    channel: Channel
    symbol: str
    ids: IdRule
    from_ms: int
    to_ms: int
    rev: int


def coalesced(asked: Iterable[Asked]) -> list[Asked]:
    """Join overlapping spans of a symbol; the joined one is as of the highest revision.

    That one knows every trade that the others know, so theirs would be replaced at once.
    """
    spans: list[Asked] = []
    for each in sorted(asked):
        last = spans[-1] if spans else None
        if last is not None and last[:4] == each[:4] and each.from_ms <= last.to_ms:
            spans[-1] = last._replace(
                to_ms=max(last.to_ms, each.to_ms), rev=max(last.rev, each.rev)
            )
        else:
            spans.append(each)
    return sorted(spans, key=lambda span: (span[:4], span.rev, span.from_ms))


def windows(
    interval: Interval, from_ms: int, to_ms: int, ended_by_ms: int
) -> Iterator[tuple[int, int]]:
    """Yield the windows that overlap ``[from_ms, to_ms]`` and ended by ``ended_by_ms``."""
    open_ms, end_ms = interval.window(from_ms)
    while open_ms <= to_ms and end_ms <= ended_by_ms:
        yield open_ms, end_ms
        open_ms, end_ms = interval.window(end_ms)


def blocks(
    intervals: Sequence[Interval], from_ms: int, to_ms: int, ended_by_ms: int
) -> Iterator[list[int]]:
    """Yield the edges of all these windows in order, so many as one query may sum.

    Each block begins with the edge at which the one before it ended.
    """
    every = merge(*(_edges(windows(i, from_ms, to_ms, ended_by_ms)) for i in intervals))
    block: list[int] = []
    for edge, _ in groupby(_close(every)):
        block.append(edge)
        if len(block) > EDGES_MAX or edge - block[0] >= QUERY_MS_MAX:
            yield block
            block = [edge]
    if len(block) > 1:
        yield block


def _edges(found: Iterable[tuple[int, int]]) -> Iterator[int]:
    for at, window in enumerate(found):
        yield from window if not at else window[1:]


def _close(edges: Iterable[int]) -> Iterator[int]:
    """Put edges between those that are too far apart for one query."""
    last: int | None = None
    for edge in edges:
        while last is not None and edge - last > QUERY_MS_MAX:
            last += QUERY_MS_MAX
            yield last
        yield edge
        last = edge
