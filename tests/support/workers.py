"""Workers as processes, the trades they read, and the verdict over what they published.

The verdict has two judges that share no code: a calm fold of the very records in the topic, which
tells every field of the last revision of every candle, and the oracle, which tells its numbers.
"""

import asyncio
import random
import sys
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from oracle import Candle, T, candles_of

from fibstream.topics import create_topics
from processors.app import APP_ID, TABLE
from processors.changelog import position_key
from processors.engine.engine import Engine
from runtime.child import Child, ChildSpec
from runtime.kafka import partition_for
from runtime.settings import Settings
from schemas.intervals import Interval, parse_intervals
from schemas.klines import Kline, decode_klines
from schemas.topics import DEAD_LETTERS, KLINES, TRADES, symbol_key
from schemas.trades import (
    Flag,
    SymbolTrades,
    TradeBatch,
    UnreadableBatch,
    decode_batch,
    encode_batch,
)

PARTITIONS = 4
INTERVALS = ("1s", "5s", "1m", "173m")
SERIES = [
    *((exchange, "linear", f"S{n}USDT") for exchange in ("binance", "kraken") for n in range(6)),
    ("binance", "spot", "Ё:1"),
]
BY_ARRIVAL = ("kraken",)  # its ids only differ
START_MS = 1_700_000_000_000
UNREAL = 97  # every so many trades one counts in no candle
JITTER_MS = 4_000
END_OF_TIME_MS = 2**50
WITHIN_S = 40.0
SHORT_SESSION = ("-m", "tests.support.worker_process")
CHANGELOG = f"{APP_ID}-{TABLE}-changelog"

Series = tuple[str, str, str]
Real = Mapping[Series, Collection[T]]  # what came and counts, by symbol
CandleKey = tuple[str, str, str, Interval, int]


class Record(NamedTuple):
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None


def worker_settings(bootstrap: str, prefix: str, folder: Path, **changes: object) -> Settings:
    fields = {
        "kafka_bootstrap": bootstrap,
        "kafka_topic_prefix": prefix,
        "kafka_partitions": PARTITIONS,
        "kline_intervals": INTERVALS,
        "checkpoint_interval_ms": 300,
        "data_dir": folder,
    }
    return Settings(**{**fields, **changes})


class Market:
    """Seeded trades of a few symbols on two exchanges, in records as ingestors write them.

    Trades come late and twice, some never come, some come back from REST, scales grow, and a few
    trades count in no candle.
    """

    def __init__(self, seed: int) -> None:
        # What came and counts, by symbol, in the order in which it came first.
        self.real: dict[Series, dict[T, None]] = defaultdict(dict)
        self._random = random.Random(seed)
        self._now_ms = START_MS
        self._next_id = dict.fromkeys(SERIES, 1_000)
        self._late: list[tuple[int, Series, T]] = []  # when it is sent
        self._decimals = dict.fromkeys(SERIES, 0)

    def records(self) -> Iterator[tuple[int, TradeBatch]]:
        """Make records without end, each with its partition."""
        while True:
            self._now_ms += self._random.choice((0, 5, 40, 300))
            groups: dict[tuple[int, str, str, str], list[SymbolTrades]] = defaultdict(list)
            for series in self._random.sample(SERIES, 3):
                partition = partition_for(symbol_key(*series), PARTITIONS)
                for source, trades in self._tick(series):
                    where = partition, series[0], series[1], source
                    groups[where].append((self._group(series, trades), series, trades))
            for (partition, exchange, channel, source), found in groups.items():
                for _, series, trades in found:
                    self.real[series] |= dict.fromkeys(t for t in trades if t.id % UNREAL)
                recv_ns, symbols = self._now_ms * 1_000_000, [group for group, _, _ in found]
                yield partition, TradeBatch(exchange, channel, source, recv_ns, symbols)

    def _tick(self, series: Series) -> Iterable[tuple[str, list[T]]]:
        pick = self._random
        live, recovered = [], []
        for _ in range(pick.choice((1, 2, 3, 20))):
            trade = self._trade(series)
            fate = pick.random()
            if fate < 0.02:
                continue  # it never comes
            if fate < 0.1:
                self._late.append((self._now_ms + pick.randrange(JITTER_MS), series, trade))
            else:
                live.append(trade)
        due = [late for late in self._late if late[1] == series and late[0] <= self._now_ms]
        for late in due:
            self._late.remove(late)
            (recovered if late[2].id % 2 else live).append(late[2])
        if live and pick.random() < 0.05:
            live.append(live[0])
        for source, trades in (("live", live), ("rest", recovered)):
            if trades:
                yield source, trades

    def _trade(self, series: Series) -> T:
        pick = self._random
        id_ = self._next_id[series]
        self._next_id[series] = id_ + 1
        side = pick.choice((1, -1))
        return T(id_, self._now_ms, pick.randrange(100, 900), pick.randrange(1, 99), side)

    def _group(self, series: Series, trades: list[T]) -> SymbolTrades:
        if self._random.random() < 0.005:
            self._decimals[series] = min(6, self._decimals[series] + 1)
        decimals = self._decimals[series]
        flags = [0 if t.id % UNREAL else Flag.NON_MARKET for t in trades]
        return SymbolTrades(
            symbol=series[2],
            price_scale=decimals,
            qty_scale=decimals // 2,
            id=[t.id for t in trades],
            ts=[t.ts for t in trades],
            price=[t.price * 10**decimals for t in trades],
            qty=[t.qty * 10 ** (decimals // 2) for t in trades],
            side=[t.side for t in trades],
            flags=flags if any(flags) else 0,
            ids="unique" if series[0] in BY_ARRIVAL else "dense",
        )


class Feed:
    """Writes a market's records into the trades topic."""

    def __init__(self, settings: Settings, market: Market) -> None:
        self._topic = settings.kafka_topic_prefix + TRADES.name
        self._records = market.records()
        self._producer = AIOKafkaProducer(
            bootstrap_servers=settings.kafka_bootstrap, enable_idempotence=True, linger_ms=2
        )

    async def __aenter__(self) -> Self:
        await self._producer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._producer.stop()

    async def send(self, records: int, *, per_s: float | None = None) -> None:
        for n, (partition, batch) in enumerate(islice(self._records, records)):
            await self._producer.send(self._topic, encode_batch(batch), partition=partition)
            if per_s and n % 10 == 9:
                await asyncio.sleep(10 / per_s)
        await self._producer.flush()


@dataclass
class Ledger:
    """What a sink would hold, and what it would have seen on the way."""

    final: dict[CandleKey, Kline] = field(default_factory=dict)
    contents: dict[tuple[object, ...], Kline] = field(default_factory=dict)
    last: dict[CandleKey, Kline] = field(default_factory=dict)
    rows: int = 0
    steps_back: int = 0  # rows older than one before them, as a replay after a crash repeats

    def take(self, record: Record) -> None:
        envelope = decode_klines(record.value)
        for row in envelope.data:
            key = symbol_key(envelope.exchange, envelope.channel, row.symbol)
            assert record.key == key
            assert record.partition == partition_for(key, PARTITIONS)
            self.rows += 1
            candle = envelope.exchange, envelope.channel, row.symbol, row.frame, row.timestamp
            known = self.contents.setdefault((*candle, row.version), row)
            assert known == row, f"one revision, two contents:\n{known}\n{row}"
            self.last[candle] = row
            newest = self.final.setdefault(candle, row)
            if newest.version < row.version:
                self.final[candle] = row
            self.steps_back += row.version < newest.version


class Reader:
    """Reads a topic from its beginning, as far as it goes at each call."""

    def __init__(self, settings: Settings, name: str) -> None:
        partitions = 1 if name == DEAD_LETTERS.name else settings.kafka_partitions
        self._tps = [
            TopicPartition(settings.kafka_topic_prefix + name, p) for p in range(partitions)
        ]
        self._consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka_bootstrap)

    async def __aenter__(self) -> Self:
        await self._consumer.start()
        self._consumer.assign(self._tps)
        await self._consumer.seek_to_beginning(*self._tps)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()

    async def rest(self) -> list[Record]:
        """Return what has come since the last call."""
        found: list[Record] = []
        ends = await self._consumer.end_offsets(self._tps)
        while any([await self._consumer.position(tp) < ends[tp] for tp in self._tps]):
            for tp, records in (await self._consumer.getmany(timeout_ms=200)).items():
                found += [Record(tp.partition, r.offset, r.key, r.value) for r in records]
        return found


async def read_topic(settings: Settings, name: str) -> list[Record]:
    """Return everything in a topic."""
    async with Reader(settings, name) as reader:
        return await reader.rest()


async def expected(settings: Settings, real: Real) -> dict[CandleKey, Kline]:
    """Return the last revision of every candle, folded calmly and checked against the oracle."""
    intervals = parse_intervals(settings.kline_intervals)
    engine = Engine(intervals, grace_ms=80, live_every_ms=250, closes_quiet=True)
    ledger = Ledger()
    for record in await read_topic(settings, TRADES.name):
        with suppress(UnreadableBatch):
            engine.apply_batch(record.partition, record.offset, decode_batch(record.value or b""))
    is_closing = True
    while is_closing:  # the clock closes so many candles at once
        engine.tick(END_OF_TIME_MS, range(PARTITIONS))
        is_closing = False
        for topic, key, value in engine.outputs(0, ()):
            if topic is KLINES:
                is_closing = True
                ledger.take(Record(partition_for(key, PARTITIONS), 0, key, value))
    for series, trades in real.items():
        for interval in intervals:
            for open_ms, candle in candles_of(
                trades, interval.length_ms, by_arrival=series[0] in BY_ARRIVAL
            ).items():
                assert numbers(ledger.final[*series, interval, open_ms]) == candle
    return ledger.final


def numbers(row: Kline) -> Candle:
    return Candle(
        *map(int, (row.open, row.high, row.low, row.close)),
        *map(int, (row.volume, row.quote_volume)),
        *map(int, (row.taker_buy_volume, row.taker_buy_quote_volume)),
        *(row.trade_count, row.first_id, row.last_id),
    )


async def published(settings: Settings) -> Ledger:
    """Return what the candle topic holds."""
    ledger = Ledger()
    for record in await read_topic(settings, KLINES.name):
        ledger.take(record)
    return ledger


async def state_positions(settings: Settings) -> dict[int, int]:
    """Return where reading goes on, by partition, as the changelog says; 0 is left out."""
    records = await read_topic(settings, CHANGELOG)
    positions = {
        r.partition: int(r.value)
        for r in records
        if r.key == position_key(TRADES.name, r.partition)
    }
    return {partition: at for partition, at in positions.items() if at}


async def read_to_the_end(settings: Settings) -> None:
    """Wait until the changelog says that every trade has been read."""
    records = await read_topic(settings, TRADES.name)
    ends = {record.partition: record.offset + 1 for record in records}
    async with asyncio.timeout(WITHIN_S):
        while await state_positions(settings) != ends:  # noqa: ASYNC110 - a topic has no event
            await asyncio.sleep(0.1)


async def settled(settings: Settings, real: Real, *, within_s: float = WITHIN_S) -> Ledger:
    """Wait until every candle is what it must be; fail with the first that is not."""
    wanted = await expected(settings, real)
    ledger = Ledger()
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + within_s
    async with Reader(settings, KLINES.name) as reader:
        while True:
            for record in await reader.rest():
                ledger.take(record)
            wrong = [key for key, row in wanted.items() if ledger.final.get(key) != row]
            if not wrong:
                assert ledger.final.keys() == wanted.keys()
                return ledger
            if loop.time() > deadline_s:
                first = wrong[0]
                raise AssertionError(
                    f"{len(wrong)} of {len(wanted)} candles are wrong after {within_s} s,"
                    f" the first:\n{ledger.final.get(first)}\nexpected\n{wanted[first]}"
                )
            await asyncio.sleep(0.2)


class Workers:
    """Starts workers and leaves none behind."""

    def __init__(self, settings: Settings, folder: Path, *argv: str) -> None:
        self._settings = settings
        self._folder = folder
        self.argv = [sys.executable, *(argv or ("-m", "fibstream", "process"))]
        self._children: list[Child] = []

    async def __aenter__(self) -> Self:
        await create_topics(self._settings)
        return self

    async def __aexit__(self, *_: object) -> None:
        for child in self._children:
            await child.stop(0)

    async def start(self, *options: str, ready: bool = True) -> Child:
        """Start one worker, and wait until it owns its partitions."""
        spec = ChildSpec(
            name=f"worker-{len(self._children)}",
            argv=[*self.argv, *options],
            env=self._settings.environment(),
        )
        child = await Child.start(spec, {}, self._folder / f"{spec.name}.log")
        self._children.append(child)
        if ready:
            await child.ready()
        return child


def exit_code(child: Child) -> int | None:
    """Return how the process ended, None while it runs."""
    return child._process.returncode
