"""The verdict: what was published against what the raw trades imply. Pure.

A replay after a crash may say again what was said, word for word; a content that is new must not
be said after a later revision of the same candle, whoever says it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from fibstream.chaos.tape import Record
from fibstream.chaos.truth import SCALE, UNITS, Candle, CandleKey, Hole, Series, Truth, units

DIFFERENCES_MAX = 20
SLACK_MS = 2_000  # a window that ended less than this before the youngest trade may be open

Version = tuple[int, bool]  # rev, closed


class Row(NamedTuple):
    """One candle: its numbers, what it says of itself (quality, missing), and why it came."""

    candle: Candle
    claim: tuple[str, int]
    cause: str

    def __str__(self) -> str:
        numbers = {
            name: value / 10**scale if scale else value
            for name, value, scale in zip(Candle._fields, self.candle, UNITS, strict=True)
        }
        return f"{numbers} {self.claim} {self.cause}"


@dataclass
class Told:
    """Everything that was published, in the order of each partition."""

    revisions: dict[CandleKey, dict[Version, Row]] = field(default_factory=dict)
    places: dict[CandleKey, str] = field(default_factory=dict)
    """Where the last record of a candle stands: partition/offset."""
    said_ms: dict[CandleKey, int] = field(default_factory=dict)
    """When the highest revision of a candle was said first."""
    open: dict[CandleKey, tuple[int, Row]] = field(default_factory=dict)
    """What was last told of candles that were open, of the highest rev."""
    rows: int = 0
    """Of candles, repeats as well."""
    repeats: int = 0
    overtaken: int = 0
    """Contents that the network held until a later revision, said after them, had arrived."""
    contradictions: list[str] = field(default_factory=list)
    """Revisions with two contents, and those that came after a later one."""
    prices: dict[Series, tuple[int, int]] = field(default_factory=dict)
    named: dict[Series, set[int]] = field(default_factory=dict)
    """Ids that md.gaps.v1 names as missing."""

    def take_klines(self, records: Iterable[Record]) -> None:
        """Take records of md.klines.v1."""
        for record in records:
            for key, told in _candles(record):
                self._take(record, key, told)

    def take_live(self, records: Iterable[Record]) -> None:
        """Take records of md.klines-live.v1: only the newest of each candle is kept."""
        for record in records:
            for key, told in _candles(record):
                if told["rev"] >= self.open.get(key, (0, None))[0]:
                    self.open[key] = told["rev"], row_of(told)

    def _take(self, record: Record, key: CandleKey, told: dict[str, Any]) -> None:
        self.rows += 1
        where = f"{record.partition}/{record.offset}"
        version = (told["rev"], told["closed"])
        row = row_of(told)
        known = self.revisions.setdefault(key, {})
        if version in known:
            self.repeats += 1
            if known[version] != row:
                self.contradictions.append(
                    f"{key} {version} at {where} has two contents: {known[version]} and {row}"
                )
            return
        newest = max(known, default=version)
        if newest <= version:
            self.said_ms[key] = record.said_ms
        elif record.said_ms < self.said_ms[key]:
            self.overtaken += 1  # its readers drop it, as they would a repeat
        else:
            self.contradictions.append(
                f"{key} went back from {newest} (last at {self.places[key]}) "
                f"to {version} at {where}: {row}"
            )
        known[version] = row
        self.places[key] = where

    def take_prices(self, records: Iterable[Record]) -> None:
        """Take records of md.prices.v1: the last one is the price that its readers keep."""
        for record in records:
            for told in record.value["data"]:
                series = record.value["exchange"], record.value["channel"], told["symbol"]
                self.prices[series] = units(told["price"], SCALE), told["ts"]

    def take_gaps(self, records: Iterable[Record]) -> None:
        """Take records of md.gaps.v1."""
        for record in records:
            if record.value["data_type"] == "gaps":
                for told in record.value["data"]:
                    series = record.value["exchange"], record.value["channel"], told["symbol"]
                    ids = range(told["first_id"], told["last_id"] + 1)
                    self.named.setdefault(series, set()).update(ids)


def _candles(record: Record) -> Iterator[tuple[CandleKey, dict[str, Any]]]:
    envelope = record.value
    for told in envelope["data"]:
        frame = told["interval"], told.get("anchor", "")
        series = envelope["exchange"], envelope["channel"], told["symbol"]
        yield (*series, *frame, told["timestamp"]), told


def row_of(told: Mapping[str, Any]) -> Row:
    """Return a candle of a topic in the oracle's units."""
    numbers = (units(told[name], UNITS[at]) for at, name in enumerate(Candle._fields))
    return Row(Candle(*numbers), (told["quality"], told["missing"]), told["cause"])


@dataclass
class Verdict:
    """Counts, and the first differences in words."""

    candles: int = 0
    flat: int = 0
    """Of them: those without a trade."""
    open: int = 0
    """Of them: those whose window goes on after the run, as they were told last."""
    late: int = 0
    """Of them: those that the last trade to come corrected."""
    wrong: int = 0
    lost: int = 0
    duplicated: int = 0
    revisions: int = 0
    """Beyond the first of each candle."""
    repeats: int = 0
    """Records that said again what had been said."""
    overtaken: int = 0
    """Contents that arrived behind a later revision, though they were said before it."""
    prices_wrong: int = 0
    trades: int = 0
    trades_missing_named: int = 0
    trades_lost: int = 0
    differences: list[str] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        """Say whether nothing is missing that may still come."""
        awaited = self.wrong + self.lost + self.prices_wrong + self.trades_lost
        return self.candles > 0 and not awaited

    @property
    def ok(self) -> bool:
        """Say whether something was judged, and nothing is wrong with it."""
        return self.is_complete and not self.duplicated

    def differ(self, what: str) -> None:
        """Remember one difference; the first ones are enough."""
        if len(self.differences) < DIFFERENCES_MAX:
            self.differences.append(what)


def judge(truth: Truth, told: Told) -> Verdict:
    """Return the one verdict over a run."""
    verdict = Verdict(trades=truth.trades, repeats=told.repeats, overtaken=told.overtaken)
    for key, (candle, end_ms, cause) in truth.candles.items():
        *_, anchor, open_ms = key
        row = Row(candle, truth.streams[key[:3]].claim(open_ms, end_ms), cause)
        ended = end_ms <= truth.last_ms - SLACK_MS
        revisions = told.revisions.get(key, {})
        if anchor and not ended and not revisions:  # calendars: too long to end in any run
            _judge_open(verdict, key, row, told.open.get(key))
        else:
            _judge_candle(verdict, key, row, revisions, must_be=ended)
    for key, revisions in told.revisions.items():
        verdict.revisions += len(revisions) - 1
        if key not in truth.candles:
            verdict.duplicated += 1
            verdict.differ(f"{key} has no trade: {max(revisions.items())}")
    verdict.duplicated += len(told.contradictions)
    for what in told.contradictions:
        verdict.differ(what)
    for series, stream in truth.streams.items():
        if told.prices.get(series) != (price := (stream.last_price, stream.last_ms)):
            verdict.prices_wrong += 1
            verdict.differ(f"{series} price: {told.prices.get(series)}, and not {price}")
        _judge_holes(verdict, series, stream.holes, told.named.get(series, set()))
    return verdict


def _judge_candle(
    verdict: Verdict,
    key: CandleKey,
    expected: Row,
    revisions: Mapping[Version, Row],
    *,
    must_be: bool,
) -> None:
    verdict.candles += bool(revisions) or must_be
    if not revisions:
        if must_be:
            verdict.lost += 1
            verdict.differ(f"{key} is lost: {expected}")
        return
    version = max(revisions)
    row = revisions[version]
    verdict.flat += not expected.candle.trade_count
    verdict.late += expected.cause == "late"
    if (row, version[1]) != (expected, True):
        verdict.wrong += 1
        verdict.differ(f"{key} {version} says {row}, and not {expected}")


def _judge_open(
    verdict: Verdict, key: CandleKey, expected: Row, told: tuple[int, Row] | None
) -> None:
    verdict.candles += 1
    verdict.open += 1
    if told is None:
        verdict.lost += 1
        verdict.differ(f"{key} is open, and lost: {expected}")
    elif told[1] != expected:
        verdict.wrong += 1
        verdict.differ(f"{key} is open and says {told[1]}, and not {expected}")


def _judge_holes(verdict: Verdict, series: Series, holes: Iterable[Hole], named: set[int]) -> None:
    for first, last, *_ in holes:
        unnamed = [id_ for id_ in range(first, last + 1) if id_ not in named]
        verdict.trades_missing_named += last - first + 1 - len(unnamed)
        verdict.trades_lost += len(unnamed)
        if unnamed:
            verdict.differ(
                f"{series} ids {unnamed[0]} to {unnamed[-1]} are missing, and nobody names them"
            )
