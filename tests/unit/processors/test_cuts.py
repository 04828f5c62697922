"""Bars that close by size are the plain oracle's, revision by revision, whatever crashed."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec
import pytest
from crashing import candle_of
from cutting import DAY_MS, PlainCuts, Record, Row, T, span
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.engine import cuts, ids
from processors.engine.engine import Engine
from schemas.bars import TradeBar, decode_bars, parse_bar_sizes
from schemas.intervals import Interval
from schemas.topics import BARS, TRADES
from schemas.trades import (
    Flag,
    PackedBatch,
    SymbolTrades,
    TradeBatch,
    decode_any_batch,
    encode_batch,
)

SIZES = ("tick:3", "volume:11.5", "dollar:60")
SYMBOLS = ("A", "B")
MIDNIGHT_MS = 20_000 * DAY_MS
KEPT = 3
HISTORY = 4  # trades before the first one that is streamed
STEPS_MS = (0, 0, 1, 400, 9_000, 40_000, DAY_MS, -20, -15_000)


def engine(sizes: Iterable[str] = SIZES) -> Engine:
    return Engine(
        [Interval(1_000)],
        grace_ms=80,
        live_every_ms=250,
        closes_quiet=True,
        bars=parse_bar_sizes(sizes),
    )


def group(
    symbol: str, rule: str, trades: list[T], unreal: Iterable[int] = (), scales=(0, 0)
) -> SymbolTrades:
    spans = [span(rule, t) for t in trades]
    if rule != "range":
        spans = [(t.id * 10, t.id * 10 + t.count - 1) for t in trades]
    flags = [Flag.NON_MARKET if t.id in set(unreal) else 0 for t in trades]
    return SymbolTrades(
        symbol=symbol,
        price_scale=scales[0],
        qty_scale=scales[1],
        id=[t.id for t in trades],
        ts=[t.ts for t in trades],
        price=[t.price * 10 ** scales[0] for t in trades],
        qty=[t.qty * 10 ** scales[1] for t in trades],
        side=[t.side for t in trades],
        flags=flags if any(flags) else 0,
        first=[first for first, _ in spans],
        last=[last for _, last in spans],
        ids=rule,
    )


def batch(of: SymbolTrades, source: str = "live") -> TradeBatch:
    return TradeBatch("okx", "spot", source, (max(of.ts) + 7) * 1_000_000, [of])


def told(e: Engine) -> list[TradeBar]:
    outputs = e.outputs(2**50, {0})
    return [row for o in outputs if o.topic is BARS for row in decode_bars(o.value).data]


def row_of(bar: TradeBar) -> Row:
    return Row(bar.timestamp, bar.end, candle_of(bar), bar.cause, bar.quality, bar.missing)


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


@pytest.mark.parametrize(
    ("rule", "ranges_max"),
    [("dense", 256), ("dense", 1), ("range", 256), ("range", 1), ("unique", 256)],
)
def test_every_revision_is_the_oracles_whatever_crashed(rule, ranges_max, monkeypatch) -> None:
    monkeypatch.setattr(cuts, "KEPT_BARS", KEPT)
    monkeypatch.setattr(cuts, "COLUMNS_PAY_FROM", 3)
    monkeypatch.setattr(ids, "MISSING_RANGES_MAX", ranges_max)

    @settings(max_examples=60, deadline=None)
    @given(logs(rule))
    def check(log: Log) -> None:
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

    check()


def trades(*rows: tuple[int, int]) -> list[T]:
    """Return trades of (id, time after midnight)."""
    return [T(id_, MIDNIGHT_MS + ms, 5, 1, 1) for id_, ms in rows]


def fold(e: Engine, offset: int, *rows: tuple[int, int], source="live", rule="dense", unreal=()):
    """Return what is told of one record: (day, seq, first id, last id, rev, cause, missing)."""
    e.apply_batch(0, offset, batch(group("A", rule, trades(*rows), unreal), source))
    return [
        (
            (row.day - MIDNIGHT_MS) // DAY_MS,
            row.seq,
            (row.first_id, row.last_id),
            row.rev,
            row.cause,
            (row.quality, row.missing),
        )
        for row in told(e)
    ]


def saved(e: Engine, sizes: Iterable[str]) -> Engine:
    """Return an engine of these sizes that goes on from the state of another."""
    told(e)
    again = engine(sizes)
    again.restore(0, {key: value for _, key, value in e.take_dirty()})
    return again


PROVEN, UNKNOWN = ("proven", 0), ("gap", 0)


def test_a_bar_closes_with_the_trade_that_reaches_its_size_and_is_never_divided() -> None:
    e = engine(["volume:2.5"])
    assert fold(e, 0, (1, 0), (2, 1)) == []
    assert fold(e, 1, (3, 2), (4, 3)) == [(0, 0, (1, 3), 1, "live", PROVEN)]


def test_a_bar_ends_with_its_day_and_the_next_day_counts_from_nought() -> None:
    e = engine(["tick:2"])
    assert fold(e, 0, (1, -9), (2, -8), (3, -7)) == [(-1, 0, (1, 2), 0, "live", PROVEN)]
    assert fold(e, 1, (4, 0)) == [(-1, 1, (3, 3), 1, "live", PROVEN)]
    assert fold(e, 2, (5, 1)) == [(0, 0, (4, 5), 2, "live", PROVEN)]


def test_a_late_trade_joins_its_bar_and_moves_no_cut() -> None:
    e = engine(["tick:2"])
    assert fold(e, 0, (1, 0), (3, 2), (4, 3), (5, 4)) == [
        (0, 0, (1, 3), 0, "live", ("gap", 1)),
        (0, 1, (4, 5), 0, "live", PROVEN),
    ]
    assert fold(e, 1, (2, 1), source="rest") == [(0, 0, (1, 3), 1, "rest", PROVEN)]
    assert fold(e, 2, (2, 1)) == []
    assert fold(e, 3, (6, 5), (7, 6)) == [(0, 2, (6, 7), 3, "live", PROVEN)]


def test_ids_missing_at_midnight_may_be_of_either_day() -> None:
    e = engine(["tick:2"])
    fold(e, 0, (1, -9), (2, -8))
    assert fold(e, 1, (5, 0), (6, 1)) == [
        (-1, 0, (1, 2), 1, "live", ("gap", 2)),
        (0, 0, (5, 6), 1, "live", ("gap", 2)),
    ]
    assert fold(e, 2, (3, -1)) == [
        (-1, 0, (1, 3), 2, "late", ("gap", 1)),
        (0, 0, (5, 6), 2, "live", ("gap", 1)),
    ]
    assert fold(e, 3, (4, 0)) == [
        (0, 0, (4, 6), 3, "late", PROVEN),
        (-1, 0, (1, 3), 3, "late", PROVEN),
    ]


def test_a_trade_that_is_none_consumes_its_id_and_belongs_to_no_bar() -> None:
    e = engine(["tick:2"])
    assert fold(e, 0, (1, 0), (3, 2)) == [(0, 0, (1, 3), 0, "live", ("gap", 1))]
    assert fold(e, 1, (2, 1), (4, 3), unreal=[2, 4]) == [(0, 0, (1, 3), 1, "live", PROVEN)]


def test_a_trade_older_than_the_kept_bars_is_counted_and_no_more() -> None:
    e = engine(["tick:1"])
    fold(e, 0, (1, 0), (3, 1))
    for n in range(cuts.KEPT_BARS):
        fold(e, 1 + n, (4 + n, 2))
    assert fold(e, 99, (2, 1)) == []
    assert (e.take_uncut_count(), e.take_uncut_count()) == (1, 0)


def test_history_from_before_the_stream_belongs_to_no_bar() -> None:
    e = engine(["tick:2"])
    assert fold(e, 0, (9, 9), (10, 9)) == [(0, 0, (9, 10), 0, "live", UNKNOWN)]
    assert fold(e, 1, (8, 8)) == []
    assert e.take_uncut_count() == 1


def test_a_size_that_is_added_begins_with_the_next_trade() -> None:
    e = engine([])
    fold(e, 0, (1, 0), (3, 1))
    e = saved(e, ["tick:2"])
    assert fold(e, 1, (2, 0), (4, 2)) == []
    assert e.take_uncut_count() == 1
    assert fold(e, 2, (5, 3)) == [(0, 0, (4, 5), 2, "live", UNKNOWN)]
    e = saved(e, ["tick:1"])
    assert fold(e, 3, (6, 4)) == [(0, 0, (6, 6), 3, "live", UNKNOWN)]


def test_another_rule_of_ids_leaves_the_open_bar_a_gap() -> None:
    e = engine(["tick:2"])
    assert fold(e, 0, (1, 0)) == []
    assert fold(e, 1, (1, 1), (2, 2), rule="range") == [(0, 0, (1, 1), 1, "live", UNKNOWN)]
    assert fold(e, 2, (3, 3), rule="range") == [(0, 1, (2, 3), 2, "live", PROVEN)]
    assert fold(e, 3, (9, 4), (9, 4), rule="unique") == []
    assert fold(e, 4, (7, 5), rule="unique") == [(0, 2, (9, 7), 4, "live", UNKNOWN)]
    assert fold(e, 5, (8, 6), (5, 1), rule="unique") == [(0, 3, (5, 8), 5, "live", ("assumed", 0))]


def test_without_sizes_there_are_no_bars() -> None:
    e = engine([])
    assert fold(e, 0, (1, 0), (2, 1)) == []
    assert all(candles.cuts is None for candles in e.symbols(0).values())


def test_a_packed_record_is_cut_like_any_other() -> None:
    e, other = engine(["tick:2"]), engine(["tick:2"])
    for offset, first in enumerate((1, 6)):
        of = group("A", "dense", trades(*((first + n, first + n) for n in range(5))))
        one = batch(msgspec.structs.replace(of, first=None, last=None))
        packed = encode_batch(one, packed_from=1)
        assert isinstance(decode_any_batch(packed), PackedBatch)
        e.apply_batch(0, offset, one)
        other.apply(TRADES, 0, offset, packed)
    assert told(other) == (rows := told(e))
    assert [(row.first_id, row.last_id) for row in rows] == [(n, n + 1) for n in range(1, 10, 2)]


def test_ids_that_are_given_up_are_missing_for_good(monkeypatch) -> None:
    monkeypatch.setattr(ids, "MISSING_RANGES_MAX", 1)
    e = engine(["tick:2"])
    assert fold(e, 0, (1, 0), (3, 1)) == [(0, 0, (1, 3), 0, "live", ("gap", 1))]
    assert fold(e, 1, (5, 2)) == []
    assert fold(e, 2, (2, 0)) == []  # given up when 4 was missed: a repeat, for all we know
    assert fold(e, 3, (7, 3)) == [(0, 1, (5, 7), 3, "live", ("gap", 2))]
    assert fold(e, 4, (6, 2)) == [(0, 1, (5, 7), 4, "late", ("gap", 1))]


def test_ids_that_are_given_up_before_midnight_are_missing_in_both_days(monkeypatch) -> None:
    monkeypatch.setattr(ids, "MISSING_RANGES_MAX", 1)
    e = engine(["tick:2"])
    assert fold(e, 0, (1, -9), (2, -8)) == [(-1, 0, (1, 2), 0, "live", PROVEN)]
    assert fold(e, 1, (4, -7), (6, -6), unreal=[4, 6]) == []
    assert fold(e, 2, (7, 0), (8, 1)) == [
        (-1, 0, (1, 2), 2, "live", ("gap", 2)),
        (0, 0, (7, 8), 2, "live", ("gap", 2)),
    ]
