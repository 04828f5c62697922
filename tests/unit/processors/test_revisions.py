"""One revision, one content: whatever the clock, the pulse, the checkpoints and the crashes did.

A log of trade records is folded by a worker that is disturbed at every step, and by calm ones. The
``Checkpoint`` is the real one; only the producer under it is a script.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from oracle import Candle, T, candles_of

from processors.checkpoint import Checkpoint, position_key
from processors.engine import ids
from processors.engine.engine import Engine
from schemas.klines import Kline, decode_klines, decode_prices
from schemas.recompute import decode_recompute
from schemas.topics import KLINES, KLINES_LIVE, PRICES, RECOMPUTE
from schemas.trades import Flag, SymbolTrades, TradeBatch

LENGTHS = (1_000, 5_000, 60_000)
GRACE_MS = 80
START_MS = 1_700_000_003_217
END_OF_TIME_MS = 2**50
CHANGELOG = "changelog"
PRICE_SCALE, QTY_SCALE = 4, 4  # of the truth; the venue may send fewer decimals
SERIES = (("binance", "spot", "A"), ("binance", "linear", "A"), ("kraken", "spot", "Б:1"))
STEPS_MS = (0, 0, 1, 400, 999, 2_500, 9_990, 11_000, 70_000, -20, -700)
EDGE = -1  # a step to just behind the end of the second, within the grace of its candle
HISTORY = 6  # trades before the first one that is streamed


class Crash(BaseException):
    """The process is gone."""


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


class Script:
    """An outbox that stores what is sent, until the process dies after so many records."""

    def __init__(self, world: "World", records_left: int) -> None:
        self._world = world
        self._open: list[tuple[str, bytes | None, bytes]] = []
        self._left = records_left

    def put(self, topic: str, partition: int, key: bytes | None, value: bytes) -> None:
        self._open.append((topic, key, value))

    async def send(self) -> None:
        records, self._open = self._open, []
        for record in records:
            if self._left == 0:
                raise Crash
            self._left -= 1
            self._world.store(*record)

    async def arrived(self) -> None:
        return

    def discard(self) -> None:
        self._open.clear()

    def die_after(self, records: int) -> None:
        self._left = records


class World:
    """What outlives a process: the log of trades, the changelog, and what was published."""

    def __init__(self) -> None:
        self.log: list[TradeBatch] = []
        self.changelog: dict[bytes, bytes] = {}
        self.contents: dict[tuple[object, ...], object] = {}  # of every revision ever seen
        self.final: dict[tuple[object, ...], Kline] = {}
        self.asked: set[tuple[object, ...]] = set()  # spans to recompute

    def store(self, topic: str, key: bytes | None, value: bytes) -> None:
        if topic == CHANGELOG:
            self.changelog[key] = value
        elif topic in (KLINES.name, KLINES_LIVE.name):
            envelope = decode_klines(value)
            for row in envelope.data:
                assert row.closed == (topic == KLINES.name)
                self.see((envelope.exchange, envelope.channel, row.symbol), row)
        elif topic == PRICES.name:
            envelope = decode_prices(value)
            for row in envelope.data:
                self.same((envelope.exchange, envelope.channel, row.symbol, row.rev), row)
        elif topic == RECOMPUTE.name:
            envelope = decode_recompute(value)
            for row in envelope.data:
                series = envelope.exchange, envelope.channel, row.symbol
                self.asked.add((*series, row.from_ms, row.to_ms))

    def see(self, series: tuple[str, ...], row: Kline) -> None:
        candle = *series, row.interval, row.timestamp
        self.same((*candle, row.version), row)
        if candle not in self.final or self.final[candle].version <= row.version:
            self.final[candle] = row

    def same(self, version: tuple[object, ...], row: object) -> None:
        known = self.contents.setdefault(version, row)
        assert known == row, f"one revision, two contents:\n{known}\n{row}"

    def is_asked(self, series: tuple[str, ...], length: int, open_ms: int) -> bool:
        return any(
            asked[:3] == series and asked[3] < open_ms + length and asked[4] >= open_ms
            for asked in self.asked
        )


class Process:
    """A worker without Kafka and Faust: reads the log from where its changelog says."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.engine = Engine(LENGTHS, grace_ms=GRACE_MS, live_every_ms=250, closes_quiet=True)
        self.script = Script(world, -1)
        self.checkpoint = Checkpoint(
            self.engine, self.script, changelog=CHANGELOG, prefix="", partitions=1
        )
        states = {k: v for k, v in world.changelog.items() if not k.startswith(b"@")}
        self.engine.restore(0, states)
        self.checkpoint.next_offset[0] = int(world.changelog.get(position_key(0), 0))

    def read(self, records: int) -> None:
        for _ in range(records):
            offset = self.checkpoint.next_offset[0]
            if offset == len(self.world.log):
                return
            self.checkpoint.next_offset[0] = offset + 1
            self.engine.apply(0, offset, self.world.log[offset])

    def publish(self, now_ms: int, caught_up: Iterable[int] = ()) -> None:
        run(self.checkpoint.send(now_ms, caught_up))

    def close_quiet(self, now_ms: int) -> None:
        self.engine.close_quiet(now_ms, {0})

    def save(self, now_ms: int) -> None:
        run(self.checkpoint.save(now_ms, lambda: True))


def run(coroutine) -> None:
    """Run a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise AssertionError("it waits")


def calm(log: list[TradeBatch], contents: dict, *, every: int, clock: bool) -> World:
    """Fold the log without a crash, publishing after every so many records."""
    world = World()
    world.log, world.contents = log, contents
    process = Process(world)
    for offset in range(len(log)):
        process.read(1)
        if clock:
            process.close_quiet(log[offset].recv_ns // 1_000_000 + 100)
        if offset % every == every - 1:
            process.publish(offset * 300, {0})
    finish(process)
    return world


def finish(process: Process) -> None:
    process.read(len(process.world.log))
    process.close_quiet(END_OF_TIME_MS)
    process.publish(END_OF_TIME_MS, {0})


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


def candle_of(row: Kline) -> Candle:
    return Candle(
        *map(int, (row.open, row.high, row.low, row.close)),
        *map(int, (row.volume, row.quote_volume)),
        *map(int, (row.taker_buy_volume, row.taker_buy_quote_volume)),
        row.trade_count,
        row.first_id,
        row.last_id,
    )


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
