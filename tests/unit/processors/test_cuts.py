"""Bars that close by size are the plain oracle's, revision by revision, whatever crashed."""

from dataclasses import dataclass, field

import pytest
from cutting import (
    DAY_MS,
    MIDNIGHT_MS,
    SIZES,
    PlainCuts,
    Record,
    Row,
    batch,
    engine,
    group,
    row_of,
    told,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import T

from processors.engine import cuts, ids
from schemas.bars import TradeBar
from schemas.trades import TradeBatch

SYMBOLS = ("A", "B")
KEPT = 3
HISTORY = 4  # trades before the first one that is streamed
STEPS_MS = (0, 0, 1, 400, 9_000, 40_000, DAY_MS, -20, -15_000)


@dataclass
class Venue:
    """One symbol at its exchange."""

    rule: str
    from_id: int
    born: list[T] = field(default_factory=list)
    held: list[T] = field(default_factory=list)
    sent: list[T] = field(default_factory=list)
    unreal: set[int] = field(default_factory=set)
    scales: tuple[int, int] = (0, 0)

    def make(self, step_ms: int, number: int, *, is_real: bool = True) -> T:
        ms = self.born[-1].ts + step_ms if self.born else MIDNIGHT_MS - 30_000
        count = 1 + number % 3
        before = self.born[-1].id if self.born else self.from_id - 1
        id_ = before + (count if self.rule == "range" else 1)
        trade = T(id_, ms, number, 10 - number, 1 if number & 1 else -1, count)
        self.born.append(trade)
        if not is_real:
            self.unreal.add(trade.id)
        return trade

    def trade(self, op) -> T | None:
        match op:
            case "new", step_ms, fate, is_real, number:
                trade = self.make(step_ms, number, is_real=is_real or self.rule == "unique")
                if fate == "hold":
                    self.held.append(trade)
                    return None
                return trade
            case "held", at if self.held:
                return self.held.pop(at % len(self.held))
            case "history", at:
                return self.born[at % HISTORY]
            case "again", at if self.sent:
                return self.sent[at % len(self.sent)]
        return None


NEW = st.tuples(
    st.just("new"),
    st.sampled_from(STEPS_MS),
    st.sampled_from(["send", "send", "hold"]),
    st.sampled_from([True] * 5 + [False]),
    st.integers(1, 9),
)
OLD = st.tuples(st.sampled_from(["held", "held", "history", "again"]), st.integers(0, 20))
RECORD = st.tuples(
    st.sampled_from(SYMBOLS),
    st.lists(st.one_of(NEW, NEW, OLD), min_size=1, max_size=10),
    st.sampled_from(["live", "live", "rest", "archive"]),
    st.sampled_from([None, None, (0, 1), (2, 0)]),
    st.sampled_from(["go", "go", "publish", "quiet", "save", "crash", "torn"]),
    st.booleans(),
)


@dataclass
class Log:
    """What a topic holds, as the engine and as the oracle read it, and what befalls the worker."""

    batches: list[TradeBatch] = field(default_factory=list)
    records: list[tuple[str, Record]] = field(default_factory=list)
    acts: list[str] = field(default_factory=list)


@st.composite
def logs(draw, rule: str) -> Log:
    log, venues = Log(), {name: Venue(rule, draw(st.sampled_from([1, 50]))) for name in SYMBOLS}
    streams_history = draw(st.booleans())
    for venue in venues.values():
        for n in range(HISTORY):
            venue.make(300, 2 + n)
        if streams_history:
            venue.held += venue.born
    for symbol, ops, source, scales, act, is_sorted in draw(
        st.lists(RECORD, min_size=1, max_size=25)
    ):
        venue = venues[symbol]
        trades = [trade for trade in map(venue.trade, ops) if trade is not None]
        if not trades:
            continue
        if scales:
            venue.scales = tuple(map(max, zip(venue.scales, scales, strict=True)))
        if is_sorted:
            trades.sort()
        venue.sent += trades
        of = group(symbol, rule, trades, venue.unreal, venue.scales)
        log.batches.append(batch(of, source))
        log.records.append((symbol, Record(source, trades, frozenset(venue.unreal))))
        log.acts.append(act)
    return log


def disturbed(log: Log) -> list[TradeBar]:
    """Return every row that a worker publishes to whom all this happens."""
    rows: list[TradeBar] = []
    e, position, states, offset, acts = engine(), 0, {}, 0, list(log.acts)
    while offset < len(log.batches):
        e.apply_batch(0, offset, log.batches[offset])
        act, acts[offset] = acts[offset], "go"  # nothing happens twice
        offset += 1
        if act == "publish":
            rows += told(e)
        elif act == "quiet":
            e.tick(log.batches[offset - 1].recv_ns // 1_000_000 + 10_000, {0})
        elif act in ("save", "torn"):
            rows += told(e)
            written = [(key, value) for _, key, value in e.take_dirty()]
            if act == "save":
                position = offset
            states |= dict(written if act == "save" else written[:1])
        if act in ("crash", "torn"):
            e, offset = engine(), position
            e.restore(0, states)
    return rows + told(e)


def calm(log: Log) -> tuple[dict[tuple[object, ...], Row], int]:
    """Return every revision, published as it was made, and how many trades no bar took."""
    e, rows = engine(), {}
    for offset, one in enumerate(log.batches):
        e.apply_batch(0, offset, one)
        rows |= {(b.symbol, b.bar, b.day, b.seq, b.rev): row_of(b) for b in told(e)}
    return rows, e.take_uncut_count()


def log_of(rule: str, *steps: tuple[list[T], set[int], str]) -> Log:
    """Return a log of records of one symbol: their trades, those that are none, what befalls."""
    log = Log()
    for trades, unreal, act in steps:
        log.batches.append(batch(group("A", rule, trades, unreal)))
        log.records.append(("A", Record("live", trades, frozenset(unreal))))
        log.acts.append(act)
    return log


def agree(log: Log, rule: str, ranges_max: int) -> None:
    """Hold everything that is told of a log against the oracle."""
    told_calmly, uncut = calm(log)
    rows = disturbed(log)
    for symbol in SYMBOLS:
        for size in SIZES:
            plain = PlainCuts(rule, size, kept=KEPT, ranges_max=ranges_max)
            for offset, (name, record) in enumerate(log.records):
                if name == symbol:
                    plain.take(offset, record)
            uncut -= plain.uncut
            every = plain.told.items()
            assert {at: told_calmly.pop((symbol, size, *at), None) for at, _ in every} == dict(
                every
            )
            final: dict[tuple[int, int], TradeBar] = {}
            for row in rows:
                if (row.symbol, row.bar) != (symbol, size):
                    continue
                assert row_of(row) == plain.told.get((row.day, row.seq, row.rev))
                if row.rev >= final.get((row.day, row.seq), row).rev:
                    final[row.day, row.seq] = row
            assert {at: row_of(row) for at, row in final.items()} == plain.final
    assert (told_calmly, uncut) == ({}, 0)


@pytest.fixture
def limits(request, monkeypatch) -> tuple[str, int]:
    """Return a rule of ids, and how many ranges may be missing; few bars are kept."""
    rule, ranges_max = request.param
    monkeypatch.setattr(cuts, "KEPT_BARS", KEPT)
    monkeypatch.setattr(cuts, "COLUMNS_PAY_FROM", 3)
    monkeypatch.setattr(ids, "MISSING_RANGES_MAX", ranges_max)
    return rule, ranges_max


@pytest.mark.parametrize(
    "limits",
    [("dense", 256), ("dense", 1), ("range", 256), ("range", 1), ("unique", 256)],
    indirect=True,
)
def test_every_revision_is_the_oracles_whatever_crashed(limits) -> None:
    rule, ranges_max = limits

    @settings(max_examples=50, deadline=None)
    @given(logs(rule))
    def check(log: Log) -> None:
        agree(log, rule, ranges_max)

    check()


def trade(id_: int, ms: int, count: int = 2) -> T:
    return T(id_, MIDNIGHT_MS + ms, 1, 9, 1, count)


@pytest.mark.parametrize("limits", [("dense", 1), ("range", 1)], indirect=True)
@pytest.mark.parametrize("act", ["go", "save"])
def test_ids_lost_behind_the_last_trade_taken_are_missed_by_both_days(limits, act) -> None:
    rule, _ = limits
    far = 1 if rule == "dense" else 2  # ids of a trade
    before = [trade(5 * far, -30_000)]
    # They open two ranges and belong to no bar; the first range is forgotten.
    none = [trade(7 * far, 10), trade(9 * far, 10)]
    after = [trade(10 * far, 10), trade(11 * far, 10)]
    unreal = {each.id for each in none}
    log = log_of(rule, (before, set(), "go"), (none, unreal, act), (after, set(), "crash"))
    agree(log, *limits)
    missing = {
        day: row.missing for (_, size, day, *_), row in calm(log)[0].items() if "tick" in size
    }
    assert missing == {MIDNIGHT_MS - DAY_MS: 2 * far, MIDNIGHT_MS: 2 * far}
