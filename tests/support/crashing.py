"""A worker without Kafka and Faust, and what outlives it: folds a log, crashes, and goes on.

The ``Checkpoint`` is the real one; only the producer under it is a script.
"""

from collections.abc import Iterable

from faust.types import TP
from oracle import Candle

from processors.changelog import is_position, position_key
from processors.checkpoint import Checkpoint, Names
from processors.engine.engine import Engine
from processors.fencing import FencedStore, Token
from schemas.intervals import Interval
from schemas.klines import Kline, decode_klines, decode_prices
from schemas.recompute import decode_recompute
from schemas.topics import KLINES, KLINES_LIVE, PRICES, RECOMPUTE, TRADES
from schemas.trades import TradeBatch

LENGTHS = (1_000, 5_000, 60_000)
GRACE_MS = 80
START_MS = 1_700_000_003_217
END_OF_TIME_MS = 2**50
CHANGELOG = "changelog"
POSITION = position_key(TRADES.name, 0)
WHERE = TP(TRADES.name, 0)


class Crash(BaseException):
    """The process is gone."""


class Script:
    """An outbox that stores what is sent, until the process dies after so many records.

    Of states alone (``of_states``), or of whatever is sent.
    """

    def __init__(self, world: "World", records_left: int) -> None:
        self._world = world
        self._open: list[tuple[str, bytes | None, bytes]] = []
        self._left = records_left
        self._of_states = False

    def put(self, topic: str, partition: int, key: bytes | None, value: bytes, _=()) -> None:
        self._open.append((topic, key, value))

    async def send(self) -> None:
        records, self._open = self._open, []
        for record in records:
            if not self._of_states or record[0] == CHANGELOG:
                if self._left == 0:
                    raise Crash
                self._left -= 1
            self._world.store(*record)

    async def arrived(self) -> None:
        return

    def discard(self) -> None:
        self._open.clear()

    def die_after(self, records: int, *, of_states: bool = False) -> None:
        self._left, self._of_states = records, of_states


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
        self.engine = Engine(
            map(Interval, LENGTHS),
            grace_ms=GRACE_MS,
            live_every_ms=250,
            closes_quiet=True,
            rules={},
        )
        self.script = Script(world, -1)
        self.checkpoint = Checkpoint(
            [self.engine],
            self.script,
            self.script,
            FencedStore("memory://", None, None, table_name="states"),
            Names(changelog=CHANGELOG, prefix="", partitions=1),
        )
        states = {k: v for k, v in world.changelog.items() if not is_position(k)}
        self.engine.restore(0, states)
        position = int(world.changelog.get(POSITION, 0))
        run(self.checkpoint.claim({WHERE: position}, {0: Token(1, 1)}, lambda: None))

    def read(self, records: int) -> None:
        for _ in range(records):
            offset = self.checkpoint.next_offset[WHERE]
            if offset == len(self.world.log):
                return
            self.checkpoint.next_offset[WHERE] = offset + 1
            self.engine.apply_batch(0, offset, self.world.log[offset])

    def publish(self, now_ms: int, caught_up: Iterable[int] = ()) -> None:
        run(self.checkpoint.send(now_ms, {self.engine.name: set(caught_up)}))

    def close_quiet(self, now_ms: int) -> None:
        self.engine.tick(now_ms, {0})

    def save(self, now_ms: int) -> None:
        run(self.checkpoint.save(now_ms, {}, lambda: None))


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


def candle_of(row: Kline) -> Candle:
    return Candle(
        *map(int, (row.open, row.high, row.low, row.close)),
        *map(int, (row.volume, row.quote_volume)),
        *map(int, (row.taker_buy_volume, row.taker_buy_quote_volume)),
        row.trade_count,
        row.first_id,
        row.last_id,
    )
