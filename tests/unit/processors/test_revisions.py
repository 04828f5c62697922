"""One revision, one content: whatever the clock, the pulse, the checkpoints and the crashes did.

A log of trade records is folded by a worker that is disturbed at every step, and by calm ones.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest
from crashing import LENGTHS, START_MS, Crash, Process, World, calm, candle_of, finish
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from oracle import Candle, T, candles_of

from processors.engine import ids
from schemas.trades import Flag, SymbolTrades, TradeBatch

PRICE_SCALE, QTY_SCALE = 4, 4  # of the truth; the venue may send fewer decimals
SERIES = (("binance", "spot", "A"), ("binance", "linear", "A"), ("kraken", "spot", "Б:1"))
STEPS_MS = (0, 0, 1, 400, 999, 2_500, 9_990, 11_000, 70_000, -20, -700)
EDGE = -1  # a step to just behind the end of the second, within the grace of its candle
HISTORY = 6  # trades before the first one that is streamed


@dataclass
class Venue:
    """One symbol at its exchange: every trade it made, in the order of ids and of time."""

    born: list[T] = field(default_factory=list)
    held: list[T] = field(default_factory=list)  # made, not sent
    sent: list[T] = field(default_factory=list)
    unreal: set[int] = field(default_factory=set)  # ids of trades that belong to no candle
    scales: tuple[int, int] = (0, 0)
    steps_back: bool = False

    def make(self, step_ms: int, price: int, qty: int, *, is_real: bool = True) -> T:
        ms = self.born[-1].ts + step_ms if self.born else START_MS - 1_800
        if step_ms < EDGE:
            self.steps_back = True
        if step_ms == EDGE:
            ms += 1_010 - self.born[-1].ts % 1_000
        trade = T(len(self.born) + 1, ms, price, qty, 1 if price & 1 else -1, 1 + qty % 3)
        self.born.append(trade)
        if not is_real:
            self.unreal.add(trade.id)
        return trade

    def group(self, symbol: str, trades: list[T]) -> SymbolTrades:
        flags = [Flag.NON_MARKET if t.id in self.unreal else 0 for t in trades]
        price_by, qty_by = 10 ** self.scales[0], 10 ** self.scales[1]
        return SymbolTrades(
            symbol=symbol,
            price_scale=self.scales[0],
            qty_scale=self.scales[1],
            id=[t.id for t in trades],
            ts=[t.ts for t in trades],
            price=[t.price * price_by for t in trades],
            qty=[t.qty * qty_by for t in trades],
            side=[t.side for t in trades],
            flags=flags if any(flags) else 0,  # one number, as ingestors send it
            first=[t.id * 10 for t in trades],
            last=[t.id * 10 + t.count - 1 for t in trades],
        )

    def candles(self, trades: Iterable[T], length: int) -> dict[int, Candle]:
        return candles_of((t for t in trades if t.id not in self.unreal), length)


NEW = st.tuples(
    st.just("new"),
    st.sampled_from((*STEPS_MS, EDGE, EDGE)),
    st.sampled_from(["send", "send", "send", "hold"]),
    st.sampled_from([True, True, True, True, False]),
    st.integers(1, 9),
)
OLD = st.tuples(st.sampled_from(["held", "history", "again"]), st.integers(0, 20))
GROUP = st.tuples(
    st.sampled_from((0, 0, 0, 1, 2)),
    st.lists(st.one_of(NEW, NEW, OLD), min_size=1, max_size=12),
    st.sampled_from([None, None, None, (0, 1), (2, 0), (1, 3)]),
    st.sampled_from(["ids", "drawn"]),
)


class Revisions(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.world = World()
        self.venues = [Venue() for _ in SERIES]
        for venue in self.venues:
            for n in range(HISTORY):
                venue.make(300, 1 + n, 2 + n)
        self.process = Process(self.world)
        self.now_ms = 0

    @rule(group=GROUP, source=st.sampled_from(["live", "live", "live", "rest"]))
    def record(self, group, source) -> None:
        at, ops, scales, order = group
        venue, trades = self.venues[at], []
        for op in ops:
            trade = self.trade(venue, op)
            if trade is not None:
                trades.append(trade)
        if not trades:
            return
        if scales:
            venue.scales = tuple(map(max, zip(venue.scales, scales, strict=True)))
        if order == "ids":
            trades.sort()
        venue.sent += trades
        exchange, channel, symbol = SERIES[at]
        recv_ns = (max(t.ts for t in trades) + 7) * 1_000_000
        batch = TradeBatch(exchange, channel, source, recv_ns, [venue.group(symbol, trades)])
        self.world.log.append(batch)
        self.process.read(1)

    def trade(self, venue: Venue, op) -> T | None:
        match op:
            case "new", step_ms, fate, is_real, number:
                trade = venue.make(step_ms, number, 10 - number, is_real=is_real)
                if fate == "hold":
                    venue.held.append(trade)
                    return None
                return trade
            case "held", at if venue.held:
                return venue.held.pop(at % len(venue.held))
            case "history", at:
                return venue.born[at % HISTORY]
            case "again", at if venue.sent:
                return venue.sent[at % len(venue.sent)]
        return None

    @rule(ms=st.sampled_from([1, 100, 300, 3_000]))
    def pulse(self, ms) -> None:
        self.now_ms += ms
        self.process.publish(self.now_ms, {0})

    @rule(after_ms=st.sampled_from([0, 90, 1_500, 100_000]))
    def clock(self, after_ms) -> None:
        now_ms = max(v.born[-1].ts for v in self.venues) + after_ms
        self.process.close_quiet(now_ms)

    @rule(ms=st.sampled_from([1, 300]))
    def save(self, ms) -> None:
        self.now_ms += ms
        self.process.save(self.now_ms)

    @rule(after=st.integers(0, 8))
    def crash_in_save(self, after) -> None:
        self.process.script.die_after(after)
        try:
            self.process.save(self.now_ms)
        except Crash:
            self.process = Process(self.world)
        self.process.script.die_after(-1)

    @rule()
    def crash(self) -> None:
        self.process = Process(self.world)

    @rule(records=st.integers(1, 5))
    def read(self, records) -> None:
        self.process.read(records)

    def teardown(self) -> None:
        if not hasattr(self, "process"):
            return
        finish(self.process)
        world = self.world
        for every, clock in ((1, False), (1, True), (3, True), (10**9, False)):
            other = calm(world.log, world.contents, every=every, clock=clock)
            assert other.final == world.final
        for series, venue in zip(SERIES, self.venues, strict=True):
            for length in LENGTHS:
                self.judge(series, venue, length)

    def judge(self, series, venue: Venue, length: int) -> None:
        """Every candle is exact or asked for again; a proven one is the venue's own."""
        came, made = venue.candles(venue.sent, length), venue.candles(venue.born, length)
        for open_ms, candle in came.items():
            if self.world.is_asked(series, length, open_ms):
                continue
            row = self.world.final.get((*series, length, open_ms))
            assert row is not None, f"{series} {length} {open_ms} is missing"
            assert candle_of(row) == candle
            if row.quality == "proven" and not venue.steps_back:
                assert candle == made[open_ms]
        known = {(*series, length, open_ms) for open_ms in came}
        assert {c for c in self.world.final if c[:4] == (*series, length)} <= known


class FewRanges(Revisions):
    """The same with so few missing ranges remembered that some are forgotten."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(ids, "MISSING_RANGES_MAX", 2)

    def teardown(self) -> None:
        super().teardown()
        self.patch.undo()

    def judge(self, series, venue: Venue, length: int) -> None:
        """A trade of a forgotten range counts as a duplicate; nothing may be proven there."""
        made = venue.candles(venue.born, length)
        for open_ms, candle in made.items():
            row = self.world.final.get((*series, length, open_ms))
            is_asked = self.world.is_asked(series, length, open_ms)
            if row and row.quality == "proven" and not is_asked and not venue.steps_back:
                assert candle_of(row) == candle


class TestRevisions(Revisions.TestCase):
    settings = settings(max_examples=50, stateful_step_count=25, deadline=None)


class TestFewRanges(FewRanges.TestCase):
    settings = settings(max_examples=50, stateful_step_count=25, deadline=None)
