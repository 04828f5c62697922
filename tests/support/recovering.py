"""A simulated exchange whose past is known, gaps that are told, and what recovery made of them."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from fibstream.topics import create_topics
from ingest.recovery.app import run
from runtime.kafka import partition_for
from runtime.settings import Settings, load_settings
from schemas.klines import Gap, GapEnvelope, StreamGap, StreamGapEnvelope, decode_gaps
from schemas.topics import GAPS, TRADES, symbol_key
from schemas.trades import TradeBatch, decode_batch, rows
from simulator import control
from simulator.server import Simulator

PARTITIONS = 4
WITHIN_S = 30.0


def recovery_settings(sim: Simulator, bootstrap: str, prefix: str, **more: object) -> Settings:
    exchange = str(more.get("exchange", "binance"))
    urls = {
        f"exchange_{channel}_rest_url": sim.url(channel, "rest", exchange=exchange)
        for channel in ("spot", "linear")
    }
    return load_settings(
        **{
            "_env_file": None,
            "kafka_bootstrap": bootstrap,
            "kafka_topic_prefix": prefix,
            "kafka_partitions": PARTITIONS,
            "recovery_settle_ms": 0,
            "recovery_rest_share": 1.0,
            "exchange_archive_url": sim.archive_url(exchange),
            **urls,
        }
        | more
    )


@dataclass
class Truth:
    """What a market traded, by place: every row of one symbol."""

    ids: list[int]
    uids: list[str]
    ts: list[int]

    @classmethod
    def of(cls, sim: Simulator, channel: str, symbol: str, exchange: str = "binance") -> "Truth":
        told = control.trades(sim.of(exchange)[channel], {"symbol": symbol, "limit": "100000"})
        return cls(told["id"], told["uid"], told["ts"])

    @classmethod
    def between(
        cls, sim: Simulator, channel: str, symbol: str, from_ms: int, to_ms: int
    ) -> "Truth":
        """All rows of [from_ms, to_ms) of Binance, the simulated past included."""
        ledger = sim.of("binance")[channel].ledgers[symbol]
        rows = ledger.rows(ledger.id_at(from_ms), ledger.id_at(to_ms))
        return cls([row.id for row in rows], [], [row.ts_ms for row in rows])

    def gap(self, symbol: str, first: int, last: int, rev: int = 10) -> Gap:
        """The range of the rows from place ``first`` to ``last`` as the engine would tell it."""
        return Gap(
            symbol=symbol,
            first_id=self.ids[first],
            last_id=self.ids[last],
            from_ms=self.ts[first - 1] if first else self.ts[0] - 1,
            to_ms=self.ts[last + 1],
            missing=self.ids[last] - self.ids[first] + 1,
            state="found",
            rev=rev,
        )


@dataclass
class Topic:
    """What is in the topics."""

    batches: list[tuple[int, TradeBatch]] = field(default_factory=list)
    gaps: list[Gap | StreamGap] = field(default_factory=list)

    def ids(self, symbol: str) -> list[int]:
        found = [t.id for _, b in self.batches for t in rows(b) if t.symbol == symbol]
        return sorted(found)

    def uids(self, symbol: str) -> list[str]:
        groups = [g for _, b in self.batches for g in b.symbols if g.symbol == symbol]
        return sorted(uid for group in groups for uid in group.uid or ())

    def states(self, symbol: str) -> dict[tuple[int, int], list[str]]:
        found = defaultdict(list)
        for gap in self.gaps:
            if isinstance(gap, Gap) and gap.symbol == symbol:
                found[gap.first_id, gap.last_id].append(gap.state)
        return dict(found)


class Scene:
    """Topics, and a recovery that runs as long as it is wanted."""

    def __init__(self, settings: Settings, producer: AIOKafkaProducer) -> None:
        self.settings = settings
        self._producer = producer

    async def tell(self, channel: str, *gaps: Gap | StreamGap, exchange: str = "binance") -> None:
        for gap in gaps:
            kind = GapEnvelope if isinstance(gap, Gap) else StreamGapEnvelope
            value = msgspec.json.encode(kind(exchange=exchange, channel=channel, data=[gap]))
            key = symbol_key(exchange, channel, gap.symbol)
            await self._producer.send_and_wait(self._name(GAPS), value, key=key)

    async def publish(self, value: bytes, exchange: str, channel: str, symbol: str) -> None:
        partition = partition_for(symbol_key(exchange, channel, symbol), PARTITIONS)
        await self._producer.send_and_wait(self._name(TRADES), value, partition=partition)

    @asynccontextmanager
    async def recovering(self) -> AsyncIterator[asyncio.Task]:
        stop = asyncio.Event()
        task = asyncio.create_task(run(self.settings, stop))
        try:
            yield task
        finally:
            stop.set()
            with suppress(asyncio.CancelledError):
                await asyncio.wait_for(task, 20)

    async def read(self) -> Topic:
        names = self._name(TRADES), self._name(GAPS)
        options = {"auto_offset_reset": "earliest", "enable_auto_commit": False}
        bootstrap = self.settings.kafka_bootstrap
        consumer = AIOKafkaConsumer(*names, bootstrap_servers=bootstrap, **options)
        await consumer.start()
        found = Topic()
        try:
            parts = sorted(consumer.assignment())
            ends = await consumer.end_offsets(parts)
            while any([await consumer.position(p) < ends[p] for p in parts]):
                for part, records in (await consumer.getmany(timeout_ms=200)).items():
                    for record in records:
                        if part.topic == names[0]:
                            found.batches.append((part.partition, decode_batch(record.value)))
                        else:
                            found.gaps += decode_gaps(record.value).data
        finally:
            await consumer.stop()
        return found

    async def until(self, done, task: asyncio.Task | None = None) -> Topic:
        """Read until it is so; fail with what there is, or with what ended the recovery."""
        topic = Topic()
        try:
            async with asyncio.timeout(WITHIN_S):
                while True:
                    topic = await self.read()
                    if done(topic):
                        return topic
                    if task is not None and task.done():
                        task.result()
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise AssertionError(f"not so in {WITHIN_S} s: {topic.gaps}") from None

    def _name(self, topic) -> str:
        return self.settings.kafka_topic_prefix + topic.name


@asynccontextmanager
async def scene(settings: Settings) -> AsyncIterator[Scene]:
    await create_topics(settings)
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap)
    await producer.start()
    try:
        yield Scene(settings, producer)
    finally:
        await producer.stop()


def settled(*states: str):
    """Return the question whether every told gap has ended in one of these states."""

    def ask(topic: Topic, gaps: Sequence[Gap]) -> bool:
        return all(
            topic.states(g.symbol).get((g.first_id, g.last_id), [""])[-1] in states for g in gaps
        )

    return ask
