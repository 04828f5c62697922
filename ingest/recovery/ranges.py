"""Sorted, disjoint ranges of ids, both ends inside: what is still missing of a gap; pure."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from operator import itemgetter

Range = tuple[int, int]


def count(ranges: Iterable[Range]) -> int:
    """Return how many ids they hold."""
    return sum(last - first + 1 for first, last in ranges)


def without(ranges: Sequence[Range], first: int, last: int) -> list[Range]:
    """Return them less ``first..last``."""
    left: list[Range] = []
    for low, high in ranges:
        if last < low or high < first:
            left.append((low, high))
            continue
        if low < first:
            left.append((low, first - 1))
        if last < high:
            left.append((last + 1, high))
    return left


def without_all(ranges: Sequence[Range], taken: Iterable[Range]) -> list[Range]:
    """Return them less all of ``taken``, which may overlap and come in any order."""
    left = list(ranges)
    for first, last in merged(taken):
        left = without(left, first, last)
    return left


def merged(ranges: Iterable[Range], apart_max: int = 0) -> list[Range]:
    """Return the union; ranges with at most ``apart_max`` ids between them become one."""
    found: list[Range] = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1] + 1 + apart_max:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return found


def holds(ranges: Sequence[Range], first: int, last: int) -> bool:
    """Say whether all of ``first..last`` is in one of them."""
    at = bisect_right(ranges, first, key=itemgetter(0)) - 1
    return at >= 0 and last <= ranges[at][1]


def touches(ranges: Iterable[Range], first: int, last: int) -> bool:
    """Say whether any id of ``first..last`` is in them."""
    return any(low <= last and first <= high for low, high in ranges)
