"""Venues whose ids are ranges, or only differ: repeats, overlaps and crashes at every step.

A plain set of everything that came says which trades count; the oracle folds those.
"""

from dataclasses import dataclass, field

import pytest
from crashing import LENGTHS, START_MS, Crash, Process, World, calm, candle_of, finish
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from oracle import T, candles_of

from processors.engine import recent
from schemas.trades import IdRule, SymbolTrades, TradeBatch, decode_batch, encode_batch

VENUES: tuple[tuple[str, IdRule, bool], ...] = (
    ("okx", "range", False),
    ("bybit", "unique", True),  # textual ids, and numbers that repeat
    ("hyperliquid", "unique", False),
)
STEPS_MS = (0, 0, 0, 1, 400, 999, 2_500, 11_000, 70_000, -20, -700)
CHANNEL, SYMBOL = "linear", "A:1"


@dataclass
class Venue:
    """One symbol: what it made, what it sent, and which of that counts."""

    name: str
    ids: IdRule
    has_uid: bool
    born: list[T] = field(default_factory=list)
    held: list[T] = field(default_factory=list)
    sent: list[T] = field(default_factory=list)
    counted: list[T] = field(default_factory=list)
    seen: set[object] = field(default_factory=set)
    steps_back: bool = False

    def make(self, step_ms: int, price: int, qty: int) -> T:
        n = len(self.born) + 1
        ms = self.born[-1].ts + step_ms if self.born else START_MS
        self.steps_back |= step_ms < 0
        count = 1 + qty % 3 if self.ids == "range" else 1
        uid = ""
        if self.ids == "range":
            id_ = (self.born[-1].id if self.born else 0) + count  # the last id in it
        elif self.has_uid:
            id_, uid = n // 3, f"{n * 7919 % 1_000_003:x}"
        else:
            id_ = n * 7919 % 1_000_003  # no order
        trade = T(id_, ms, price, qty, 1 if price & 1 else -1, count, uid)
        self.born.append(trade)
        return trade

    def ids_of(self, trade: T) -> set[object]:
        if self.ids == "range":
            return set(range(trade.id - trade.count + 1, trade.id + 1))
        return {trade.uid or trade.id}

    def send(self, trades: list[T]) -> SymbolTrades:
        self.sent += trades
        for trade in trades:
            mine = self.ids_of(trade)
            if not mine & self.seen:
                self.seen |= mine
                self.counted.append(trade)
        is_range = self.ids == "range"
        return SymbolTrades(
            symbol=SYMBOL,
            price_scale=0,
            qty_scale=0,
            id=[t.id for t in trades],
            ts=[t.ts for t in trades],
            price=[t.price for t in trades],
            qty=[t.qty for t in trades],
            side=[t.side for t in trades],
            first=[t.id - t.count + 1 for t in trades] if is_range else None,
            last=[t.id for t in trades] if is_range else None,
            uid=[t.uid for t in trades] if self.has_uid else None,
            ids=self.ids,
        )


NEW = st.tuples(
    st.just("new"),
    st.sampled_from(STEPS_MS),
    st.sampled_from(["send", "send", "send", "hold"]),
    st.integers(1, 9),
)
OLD = st.tuples(st.sampled_from(["held", "again", "again", "merged"]), st.integers(0, 20))
OVERLAP = st.tuples(st.just("overlap"), st.integers(1, 12))
OPS = st.lists(st.one_of(NEW, NEW, OLD, OVERLAP), min_size=1, max_size=8)
DISTURBANCE = st.one_of(
    st.tuples(st.just("nothing"), st.just(0)),
    st.tuples(st.just("pulse"), st.sampled_from([1, 300, 3_000])),
    st.tuples(st.just("clock"), st.sampled_from([0, 90, 1_500, 100_000])),
    st.tuples(st.just("save"), st.sampled_from([1, 300])),
    st.tuples(st.sampled_from(["crash_in_save", "crash_in_states"]), st.integers(0, 6)),
    st.tuples(st.just("crash"), st.just(0)),
    st.tuples(st.just("read"), st.integers(1, 5)),
)


class IdRules(RuleBasedStateMachine):
    @initialize(facts=st.sampled_from(VENUES))
    def begin(self, facts) -> None:
        self.world = World()
        self.venue = Venue(*facts)
        self.process = Process(self.world)
        self.now_ms = 0

    @rule(ops=OPS, source=st.sampled_from(["live", "live", "rest"]), then=DISTURBANCE)
    def record(self, ops, source, then) -> None:
        venue = self.venue
        trades = [trade for op in ops for trade in self.trades(venue, op)]
        if venue.has_uid:
            trades = list(dict.fromkeys(trades))  # a record with one twice is refused
        if trades:
            self.append(trades, source)
        what, number = then
        getattr(self, what)(number)

    def append(self, trades: list[T], source: str) -> None:
        venue = self.venue
        recv_ns = (max(t.ts for t in trades) + 7) * 1_000_000
        batch = TradeBatch(venue.name, CHANNEL, source, recv_ns, [venue.send(trades)])
        self.world.log.append(decode_batch(encode_batch(batch)))
        self.process.read(1)

    def trades(self, venue: Venue, op) -> list[T]:
        match op:
            case "new", step_ms, fate, number:
                trade = venue.make(step_ms, number, 10 - number)
                if fate == "send":
                    return [trade]
                venue.held.append(trade)
            case "held", at if venue.held:
                return [venue.held.pop(at % len(venue.held))]
            case "again", at if venue.sent:
                return [venue.sent[at % len(venue.sent)]]
            case "overlap", count:  # after a reconnect the venue sends its last trades again
                return venue.born[-count:]
            case "merged", at if venue.ids == "range" and len(venue.born) > 1:
                one, two = venue.born[at % (len(venue.born) - 1) :][:2]
                return [two._replace(qty=one.qty + two.qty, count=one.count + two.count)]
        return []

    def nothing(self, _) -> None:
        return

    def pulse(self, ms) -> None:
        self.now_ms += ms
        self.process.publish(self.now_ms, {0})

    def clock(self, after_ms) -> None:
        born = self.venue.born
        self.process.close_quiet(born[-1].ts + after_ms if born else after_ms)

    def save(self, ms) -> None:
        self.now_ms += ms
        self.process.save(self.now_ms)

    def crash_in_save(self, after, *, of_states: bool = False) -> None:
        self.process.script.die_after(after, of_states=of_states)
        try:
            self.process.save(self.now_ms)
        except Crash:
            self.process = Process(self.world)
        self.process.script.die_after(-1)

    def crash_in_states(self, after) -> None:
        self.crash_in_save(after, of_states=True)

    def crash(self, _) -> None:
        self.process = Process(self.world)

    def read(self, records) -> None:
        self.process.read(records)

    def teardown(self) -> None:
        if not hasattr(self, "process"):
            return
        finish(self.process)
        world = self.world
        for every, clock in ((1, False), (1, True), (3, True), (10**9, False)):
            assert calm(world.log, world.contents, every=every, clock=clock).final == world.final
        for length in LENGTHS:
            self.judge(self.venue, length)

    def judge(self, venue: Venue, length: int) -> None:
        series = venue.name, CHANNEL, SYMBOL
        by_arrival = venue.ids == "unique"
        came = candles_of(venue.counted, length, by_arrival=by_arrival)
        made = candles_of(venue.born, length, by_arrival=by_arrival)
        for open_ms, candle in came.items():
            if self.world.is_asked(series, length, open_ms):
                continue
            row = self.world.final[(*series, length, open_ms)]
            assert candle_of(row) == candle
            if by_arrival:
                began = open_ms <= venue.counted[0].ts
                assert (row.quality, row.missing) == ("gap" if began else "assumed", 0)
            elif row.quality == "proven" and not venue.steps_back and candle != made[open_ms]:
                # Only merged messages told these trades: as many, and as much of them.
                assert (candle.volume, candle.count) == (made[open_ms].volume, made[open_ms].count)
        known = {(*series, length, open_ms) for open_ms in came}
        assert {c for c in self.world.final if c[:4] == (*series, length)} <= known


class FewIds(IdRules):
    """The same with so few ids remembered that repeats count again: what counts may not turn on
    crashes and checkpoints all the same."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        for name, value in (("KEPT_MS", 3_000), ("KEPT_MIN", 4), ("KEPT_MAX", 8), ("CHUNK_IDS", 2)):
            self.patch.setattr(recent, name, value)

    def teardown(self) -> None:
        super().teardown()
        self.patch.undo()

    def judge(self, venue: Venue, length: int) -> None:
        if venue.ids == "range":
            super().judge(venue, length)


class TestIdRules(IdRules.TestCase):
    settings = settings(max_examples=50, stateful_step_count=25, deadline=None)


class TestFewIds(FewIds.TestCase):
    settings = settings(max_examples=50, stateful_step_count=25, deadline=None)
