"""One candle of ours beside the venue's: what differs, and why.

Exact decimals, no tolerance. A difference is explained only by arithmetic that removes it whole, or
by our own candle's word that it is not whole.
"""

from collections.abc import Iterator, Mapping
from decimal import ROUND_DOWN, Decimal
from itertools import combinations
from typing import NamedTuple

from processors.venue.flagged import BLOCK, EXACT, NON_MARKET, RPI, Sums
from processors.venue.told import FIELDS
from schemas.klines import Kline
from schemas.reconciliation import Difference, Explanation, Verdict
from schemas.updates import VenueKline

CUT_DECIMALS: Mapping[str, Mapping[str, int]] = {"bybit": {"quote_volume": 4}}
"""What a venue rounds down before it tells it: ours is cut in the same way, then compared."""

_ADDITIVE = FIELDS[4:]


class Pair(NamedTuple):
    """The facts about one candle that both topics tell."""

    exchange: str
    ours: Kline
    venue: VenueKline
    earlier: Kline | None = None
    """The first revision of ours, where a later one has other numbers."""
    before: Decimal | None = None
    """Where the venue's candle before this one closed."""
    flagged: Mapping[str, Sums] = {}
    """Its flagged trades, by flag."""


class Judgement(NamedTuple):
    """What is said about a candle."""

    verdict: Verdict
    explanation: Explanation
    detail: str = ""
    compared: tuple[str, ...] = ()
    differences: tuple[Difference, ...] = ()


def judge(pair: Pair) -> Judgement:
    """Compare every field that the venue tells."""
    compared = tuple(name for name in FIELDS if getattr(pair.venue, name) is not None)
    found = _differences(pair.exchange, pair.ours, pair.venue)
    if found:
        return Judgement("differs", *_explain(pair, found), compared, found)
    if pair.earlier is not None and _differences(pair.exchange, pair.earlier, pair.venue):
        return Judgement("equal", "late", f"since rev {pair.ours.rev}", compared)
    return Judgement("equal", "", "", compared)


def _differences(exchange: str, ours: Kline, venue: VenueKline) -> tuple[Difference, ...]:
    return tuple(_compare(exchange, {name: getattr(ours, name) for name in FIELDS}, venue))


def _compare(
    exchange: str, ours: Mapping[str, Decimal | int], venue: VenueKline
) -> Iterator[Difference]:
    cuts = CUT_DECIMALS.get(exchange, {})
    for name, value in ours.items():
        told = getattr(venue, name)
        if told is None:
            continue
        mine, theirs = Decimal(value), Decimal(told)
        if mine == theirs or (name in cuts and _cut(mine, cuts[name]) == theirs):
            continue
        yield Difference(name, mine, theirs)


def _cut(value: Decimal, decimals: int) -> Decimal:
    return value.quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_DOWN, context=EXACT)


def _explain(pair: Pair, found: tuple[Difference, ...]) -> tuple[Explanation, str]:
    """Return why: what is exact before what is only likely."""
    if _is_open_rule(pair, {each.field for each in found}):
        return "open-rule", f"previous close {pair.before}"
    flags = _flags_that_explain(pair, found)
    if flags:
        return "flagged", flags
    if pair.ours.quality == "gap":
        if pair.ours.missing:
            return "ids-missing", f"{pair.ours.missing} ids"
        return "began-inside", ""
    return "unexplained", ""


def _is_open_rule(pair: Pair, fields: set[str]) -> bool:
    """Say whether nothing but a candle that begins at the previous close tells them apart."""
    ours, venue, before = pair.ours, pair.venue, pair.before
    if before is None or not fields <= {"open", "high", "low"}:
        return False
    drawn = (before, max(ours.high, before), min(ours.low, before))
    return drawn == (venue.open, venue.high, venue.low)


def _flags_that_explain(pair: Pair, found: tuple[Difference, ...]) -> str:
    """Return the flags whose trades the venue leaves out, or counts, where that is all."""
    if not any(each.field in _ADDITIVE for each in found):
        return ""
    kinds = [kind for kind in (NON_MARKET, BLOCK, RPI) if kind in pair.flagged]
    for count in range(1, len(kinds) + 1):
        for chosen in combinations(kinds, count):
            totals = {name: Decimal(getattr(pair.ours, name)) for name in _ADDITIVE}
            for kind in chosen:
                sign = 1 if kind == NON_MARKET else -1  # ours lacks those, and has the others
                for name in _ADDITIVE:
                    part = Decimal(sign * getattr(pair.flagged[kind], name))
                    totals[name] = EXACT.add(totals[name], part)
            if not any(_compare(pair.exchange, totals, pair.venue)):
                return "+".join(chosen)
    return ""
