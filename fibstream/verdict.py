"""The verdict: what the stores hold against what the exchange made. Pure; finds, does not ask.

A candle is judged against the trades that arrived; where trades did not arrive, that must be said:
by the candle's quality and by name on the gaps topic, or, where ids cannot show it, by the time in
which the stream was silent.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from fibstream.stored import CandleKey, StoredCandle, StoredTrade
from fibstream.truth import (
    Series,
    TruthCandle,
    TruthTrade,
    candles_of,
    flat_candle,
    opened_at_close,
)
from schemas.intervals import Interval
from schemas.rules import candle_rule
from schemas.trades import IdRule

DIFFERENCES_MAX = 20
SILENCE_SLACK_MS = 2_000  # a trade is made before its frame is missed, and clocks differ


@dataclass
class Verdict:
    """Counts, and the first differences in words."""

    candles_checked: int = 0
    candles_wrong: int = 0
    trades_missing_named: int = 0
    trades_lost: int = 0
    trades_doubled: int = 0
    differences: list[str] = field(default_factory=list)

    @property
    def is_right(self) -> bool:
        """Say whether nothing is wrong, lost without a name, or doubled."""
        return not (self.candles_wrong or self.trades_lost or self.trades_doubled)

    def differ(self, what: str) -> None:
        """Remember one difference; the first ones are enough."""
        if len(self.differences) < DIFFERENCES_MAX:
            self.differences.append(what)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything about one symbol."""

    series: Series
    ids: IdRule
    made: Sequence[TruthTrade]
    """In the order in which the exchange made them."""
    arrived: Sequence[StoredTrade]
    """In the order in which they came."""
    named_missing: frozenset[int] = frozenset()
    silences: Sequence[tuple[float, float]] = ()
    """Spans (ms) in which the stream is told to have been silent: count where ids are unique."""
    exchange_candles: Mapping[Interval, Mapping[int, TruthCandle]] = field(default_factory=dict)
    """The exchange's own, by interval and open time."""

    def here(self) -> list[TruthTrade]:
        """Return what was made and arrived: by id, or as it came where ids have no order."""
        if self.ids == "unique":
            made = {trade.key: trade for trade in self.made}
            return [made[key] for key in {t.key: t for t in self.arrived} if key in made]
        keys = {trade.key for trade in self.arrived}
        return sorted((t for t in self.made if t.key in keys), key=lambda t: t.id)

    def absent(self) -> list[TruthTrade]:
        """Return what was made between the first and the last that arrived, and did not."""
        keys = {trade.key for trade in self.arrived}
        places = [at for at, trade in enumerate(self.made) if trade.key in keys]
        if not places:
            return []
        return [t for t in self.made[places[0] : places[-1]] if t.key not in keys]

    def span(self, trade: TruthTrade | StoredTrade) -> tuple[int, int]:
        """Return the ids that a trade takes in the series in which none may be missing."""
        return (trade.first, trade.last) if self.ids == "range" else (trade.id, trade.id)


def judge_trades(verdict: Verdict, evidence: Evidence) -> None:
    """Every trade between the first and the last that arrived: there once, equal, or named."""
    name = ":".join(evidence.series)
    arrived = {trade.key: trade for trade in evidence.arrived}
    verdict.trades_doubled += len(evidence.arrived) - len(arrived)
    made = {trade.key: trade for trade in evidence.made}
    for key, trade in arrived.items():
        if key not in made or made[key][: len(trade)] != trade:
            verdict.trades_doubled += key not in made
            verdict.trades_lost += key in made
            verdict.differ(f"{name} trade {key}: {trade} against {made.get(key)}")
    if not arrived:
        verdict.trades_lost += sum(1 for t in evidence.made if t.sent_ns)
    elif evidence.ids == "unique":
        _judge_silences(verdict, evidence)
    else:
        _judge_ids(verdict, evidence)


def _judge_ids(verdict: Verdict, evidence: Evidence) -> None:
    name = ":".join(evidence.series)
    spans = sorted(evidence.span(trade) for trade in evidence.arrived)
    for (_, last), (first, _) in pairwise(spans):
        for id_ in range(last + 1, first):
            if id_ in evidence.named_missing:
                verdict.trades_missing_named += 1
            else:
                verdict.trades_lost += 1
                verdict.differ(f"{name} trade {id_} is lost and no gap names it")


def _judge_silences(verdict: Verdict, evidence: Evidence) -> None:
    for trade in evidence.absent():
        if any(
            from_ms - SILENCE_SLACK_MS <= trade.ts <= to_ms + SILENCE_SLACK_MS
            for from_ms, to_ms in evidence.silences
        ):
            verdict.trades_missing_named += 1
        else:
            verdict.trades_lost += 1
            name = ":".join(evidence.series)
            verdict.differ(f"{name} trade {trade.key} is lost and the stream was not silent")


def expected_candles(
    evidence: Evidence, intervals: Iterable[Interval], closed_before_ms: int
) -> dict[CandleKey, StoredCandle]:
    """Return what must be stored of every window that ended before ``closed_before_ms``."""
    here = evidence.here()
    if not here:
        return {}
    is_unique = evidence.ids == "unique"
    first, last = here[0], here[-1]
    begins_inside = is_unique or evidence.span(first)[0] > 1
    spans = [] if is_unique else _spans(evidence, here)
    expected: dict[CandleKey, StoredCandle] = {}
    rule = candle_rule(evidence.series[0])
    for interval in intervals:
        found = candles_of(here, interval, by_arrival=is_unique)
        for open_ms, candle in (opened_at_close(found) if rule.opens_at_close else found).items():
            end_ms = interval.end_ms(open_ms)
            if end_ms > closed_before_ms:
                continue
            missing = sum(n for from_ms, to_ms, n in spans if from_ms < end_ms and to_ms >= open_ms)
            if missing or (open_ms <= first.ts and begins_inside):
                quality = "gap"
            else:
                quality = "proven" if last.ts >= end_ms and not is_unique else "assumed"
            key = (*evidence.series, interval, open_ms)
            expected[key] = StoredCandle(candle, closed=True, quality=quality, missing=missing)
    return expected


def judge_candles(
    verdict: Verdict,
    expected: Mapping[CandleKey, StoredCandle],
    stored: Mapping[CandleKey, StoredCandle],
    where: str,
) -> None:
    """Each expected candle must be stored, in every field; those between them must be flat."""
    opens: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for key, candle in expected.items():
        opens[key[:4]].append(key[4])
        verdict.candles_checked += 1
        if stored.get(key) != candle:
            verdict.candles_wrong += 1
            verdict.differ(f"{where} {key}: {stored.get(key)} against {candle}")
    for times in opens.values():
        times.sort()
    for key, candle in stored.items():
        times = opens[key[:4]]
        place = bisect_left(times, key[4])
        if key in expected or not candle.closed or not 0 < place < len(times):
            continue
        verdict.candles_checked += 1
        close = expected[(*key[:4], times[place - 1])].candle.close
        if candle.candle != flat_candle(close):
            verdict.candles_wrong += 1
            verdict.differ(f"{where} {key}: {candle} where nothing was traded since {close}")


def judge_exchange(
    verdict: Verdict, evidence: Evidence, expected: Mapping[CandleKey, StoredCandle]
) -> None:
    """Where no trade is missing, the candle must be the exchange's own, by its own arithmetic."""
    absent_ms = sorted(trade.ts for trade in evidence.absent())
    theirs = evidence.exchange_candles
    opens_at_close = candle_rule(evidence.series[0]).opens_at_close
    if opens_at_close:
        # Where the stream began the close before it is not known, and that candle is a gap.
        theirs = {interval: opened_at_close(own) for interval, own in theirs.items()}
    for (*series, interval, open_ms), candle in expected.items():
        own = theirs.get(interval, {}).get(open_ms)
        if tuple(series) != evidence.series or candle.quality == "gap" or own is None:
            continue
        # Unique ids do not show it; where a candle opens at a close, the one before tells, too.
        from_ms = open_ms
        if opens_at_close:
            from_ms = max((at for at in theirs[interval] if at < open_ms), default=open_ms)
        if bisect_left(absent_ms, from_ms) != bisect_left(absent_ms, interval.end_ms(open_ms)):
            continue
        if own != candle.candle:
            verdict.candles_wrong += 1
            where = ":".join((*evidence.series, interval.text, str(open_ms)))
            verdict.differ(f"exchange {where}: {own} against {candle.candle}")


def _spans(evidence: Evidence, here: Sequence[TruthTrade]) -> list[tuple[int, int, int]]:
    """Return (from_ms, to_ms, ids) of each run of absent trades: the times of its neighbours."""
    spans: list[tuple[int, int, int]] = []
    for before, after in pairwise(here):
        count = evidence.span(after)[0] - evidence.span(before)[1] - 1
        if count:
            spans.append((before.ts, after.ts, count))
    return spans
