"""The verdict: what the stores hold against what the exchange made. Pure; finds, does not ask.

A candle is judged against the trades that arrived; where trades did not arrive, that must be said:
by the candle's quality, and by name on the gaps topic.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from fibstream.stored import CandleKey, StoredCandle, StoredTrade
from fibstream.truth import Series, TruthCandle, TruthTrade, candles_of

DIFFERENCES_MAX = 20


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
    made: Sequence[TruthTrade]
    arrived: Sequence[StoredTrade]
    named_missing: frozenset[int]
    exchange_candles: Mapping[int, Mapping[int, TruthCandle]]
    """The exchange's own, by interval and open time."""


def judge_trades(verdict: Verdict, evidence: Evidence) -> None:
    """Every trade between the first and the last that arrived: there once, equal, or named."""
    name = ":".join(evidence.series)
    arrived = {trade.id: trade for trade in evidence.arrived}
    verdict.trades_doubled += len(evidence.arrived) - len(arrived)
    made = {trade.id: trade for trade in evidence.made}
    for id_, trade in arrived.items():
        if id_ not in made or made[id_][:7] != trade:
            verdict.trades_doubled += id_ not in made
            verdict.trades_lost += id_ in made
            verdict.differ(f"{name} trade {id_}: {trade} against {made.get(id_)}")
    if not arrived:
        lost = [t.id for t in evidence.made if t.sent_ns]
        verdict.trades_lost += len(lost)
        return
    for id_ in range(min(arrived), max(arrived) + 1):
        if id_ not in arrived:
            if id_ in evidence.named_missing:
                verdict.trades_missing_named += 1
            else:
                verdict.trades_lost += 1
                verdict.differ(f"{name} trade {id_} is lost and no gap names it")


def expected_candles(
    evidence: Evidence, intervals: Iterable[int], closed_before_ms: int
) -> dict[CandleKey, StoredCandle]:
    """Return what must be stored of every window that ended before ``closed_before_ms``."""
    if not evidence.arrived:
        return {}
    ids = {trade.id for trade in evidence.arrived}
    here = [trade for trade in evidence.made if trade.id in ids]
    first, last = here[0], here[-1]
    absent = [t for t in evidence.made if first.id < t.id < last.id and t.id not in ids]
    spans = _spans(here, absent)
    expected: dict[CandleKey, StoredCandle] = {}
    for interval in intervals:
        for open_ms, candle in candles_of(here, interval).items():
            end_ms = open_ms + interval
            if end_ms > closed_before_ms:
                continue
            missing = sum(n for from_ms, to_ms, n in spans if from_ms < end_ms and to_ms >= open_ms)
            if missing or (open_ms <= first.ts and first.id > 1):
                quality = "gap"
            else:
                quality = "proven" if last.ts >= end_ms else "assumed"
            key = (*evidence.series, interval, open_ms)
            expected[key] = StoredCandle(candle, closed=True, quality=quality, missing=missing)
    return expected


def judge_candles(
    verdict: Verdict,
    expected: Mapping[CandleKey, StoredCandle],
    stored: Mapping[CandleKey, StoredCandle],
    where: str,
) -> None:
    """Each expected candle must be stored, in every field; no other may be closed."""
    for key, candle in expected.items():
        verdict.candles_checked += 1
        if stored.get(key) != candle:
            verdict.candles_wrong += 1
            verdict.differ(f"{where} {key}: {stored.get(key)} against {candle}")


def judge_exchange(
    verdict: Verdict, evidence: Evidence, expected: Mapping[CandleKey, StoredCandle]
) -> None:
    """Where no trade is missing, the candle must be the exchange's own, by its own arithmetic."""
    for (channel, symbol, interval, open_ms), candle in expected.items():
        own = evidence.exchange_candles.get(interval, {}).get(open_ms)
        if (channel, symbol) != evidence.series or candle.quality == "gap" or own is None:
            continue
        if own != candle.candle:
            verdict.candles_wrong += 1
            verdict.differ(f"exchange {symbol} {interval} {open_ms}: {own} against {candle.candle}")


def _spans(here: Sequence[TruthTrade], absent: Sequence[TruthTrade]) -> list[tuple[int, int, int]]:
    """Return (from_ms, to_ms, ids) of each run of absent trades: the times of its neighbours."""
    spans: list[tuple[int, int, int]] = []
    gone = {trade.id for trade in absent}
    for before, after in pairwise(here):
        count = after.id - before.id - 1
        if count:
            assert set(range(before.id + 1, after.id)) <= gone, "the truth itself has a hole"  # noqa: S101
            spans.append((before.ts, after.ts, count))
    return spans
