"""Events of many records on a real broker: every record once and in order, whatever happens."""

import asyncio
import random
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from chaining import APP, CHANGELOG, TOPIC, chained
from workers import exit_code

from runtime.child import Child, ChildSpec
from runtime.kafka import TopicSpec, ensure_topics

pytestmark = pytest.mark.integration

PARTITIONS = 4
KEYS = 4_000
WITHIN_S = 60.0


class Bench:
    """A topic with records, workers that chain them, and what they saved."""

    def __init__(self, bootstrap: str, prefix: str, folder: Path) -> None:
        self.bootstrap, self.prefix, self.folder = bootstrap, prefix, folder
        self.chains = dict.fromkeys(range(PARTITIONS), (0, 0))  # what a plain reader finds
        self.children: list[Child] = []
        self._producer = AIOKafkaProducer(bootstrap_servers=bootstrap, linger_ms=5)
        self._pick = random.Random(1)

    async def start(self) -> None:
        compacted = {"cleanup.policy": "compact"}
        await ensure_topics(
            self.bootstrap,
            [
                TopicSpec(name=self.prefix + TOPIC, partitions=PARTITIONS),
                TopicSpec(name=self.prefix + CHANGELOG, partitions=PARTITIONS, config=compacted),
            ],
        )
        await self._producer.start()

    async def stop(self) -> None:
        for child in self.children:
            await child.stop(0)
        await self._producer.stop()

    async def send(self, records: int, *, per_s: float | None = None) -> None:
        for n in range(records):
            partition = self._pick.randrange(PARTITIONS)
            value = None if n % 101 == 0 else b"%d" % n * self._pick.randrange(1, 40)
            await self._producer.send(self.prefix + TOPIC, value, key=b"k", partition=partition)
            offset, chain = self.chains[partition]
            self.chains[partition] = offset + 1, chained(chain, offset, value)
            if per_s and n % 50 == 49:
                await asyncio.sleep(50 / per_s)
        await self._producer.flush()

    async def fill_changelog(self) -> None:
        for n in range(KEYS):
            partition = n % PARTITIONS
            key, topic = b"key-%d" % n, self.prefix + CHANGELOG
            await self._producer.send(topic, b"old", key=key, partition=partition)
            await self._producer.send(topic, b"%d" % n, key=key, partition=partition)
        await self._producer.flush()

    async def worker(self, *, ready: bool = True) -> tuple[Child, int]:
        """Start a worker; return it, and how many keys its table had when it was recovered."""
        name = f"worker-{len(self.children)}"
        argv = (self.bootstrap, self.prefix, str(PARTITIONS), str(self.folder / name))
        spec = ChildSpec(name=name, argv=[sys.executable, "-m", "tests.support.chaining", *argv])
        child = await Child.start(spec, {}, self.folder / f"{name}.log")
        self.children.append(child)
        return child, (await child.ready())["keys"] if ready else 0

    async def saved(self) -> dict[int, tuple[int, int]]:
        found = dict.fromkeys(range(PARTITIONS), (0, 0))
        tps = [TopicPartition(self.prefix + CHANGELOG, p) for p in range(PARTITIONS)]
        async with AIOKafkaConsumer(bootstrap_servers=self.bootstrap) as consumer:
            consumer.assign(tps)
            await consumer.seek_to_beginning(*tps)
            ends = await consumer.end_offsets(tps)
            while any([await consumer.position(tp) < ends[tp] for tp in tps]):
                for tp, records in (await consumer.getmany(timeout_ms=200)).items():
                    for record in records:
                        if record.key == b"@%d" % tp.partition:
                            offset, chain = map(int, record.value.split())
                            found[tp.partition] = offset, chain
        return found

    async def committed(self) -> dict[int, int]:
        tps = [TopicPartition(self.prefix + TOPIC, p) for p in range(PARTITIONS)]
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.bootstrap, group_id=self.prefix + APP, enable_auto_commit=False
        )
        async with consumer:
            consumer.assign(tps)
            return {tp.partition: await consumer.committed(tp) or 0 for tp in tps}

    async def is_read(self) -> None:
        """Wait until every chain is the plain reader's."""
        async with asyncio.timeout(WITHIN_S):
            while (saved := await self.saved()) != self.chains:
                ahead = [p for p, (offset, _) in saved.items() if offset >= self.chains[p][0]]
                wrong = [p for p in ahead if saved[p] != self.chains[p]]
                assert not wrong, f"{saved} is not {self.chains}"
                await asyncio.sleep(0.2)


@pytest.fixture
async def bench(kafka_bootstrap, topic_prefix, tmp_path) -> AsyncIterator[Bench]:
    bench = Bench(kafka_bootstrap, topic_prefix, tmp_path)
    await bench.start()
    yield bench
    await bench.stop()


async def test_a_worker_recovers_its_table_and_sigterm_commits_nothing_that_is_not_saved(
    bench,
) -> None:
    """Two lives of a process take most of the time."""
    await bench.fill_changelog()
    await bench.send(20_000)
    worker, keys = await bench.worker()
    assert keys == KEYS
    feeding = asyncio.create_task(bench.send(4_000, per_s=4_000))
    async with asyncio.timeout(WITHIN_S):
        while not any(at for at, _ in (await bench.saved()).values()):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    await worker.stop(15)
    assert exit_code(worker) == 0
    saved = {partition: offset for partition, (offset, _) in (await bench.saved()).items()}
    # On a busy machine the last commit may not get through; ahead of what was saved it never is.
    committed = await bench.committed()
    assert all(committed[partition] <= offset for partition, offset in saved.items())
    await feeding
    _, keys = await bench.worker()
    assert keys == KEYS + sum(offset > 0 for offset in saved.values())
    await bench.is_read()


@pytest.mark.soak
@pytest.mark.timeout(180)
async def test_workers_killed_and_joining_read_every_record_once_and_in_order(bench) -> None:
    await bench.send(20_000)
    feeding = asyncio.create_task(bench.send(100_000, per_s=3_000))
    first, _ = await bench.worker()
    second, _ = await bench.worker()
    await asyncio.sleep(1.0)
    first.signal(signal.SIGKILL)
    third, _ = await bench.worker()
    await asyncio.sleep(0.5)
    second.signal(signal.SIGKILL)
    third.signal(signal.SIGKILL)
    fourth, _ = await bench.worker()
    await bench.worker()
    await asyncio.sleep(1.0)
    await fourth.stop(15)
    assert exit_code(fourth) == 0
    await feeding
    await bench.is_read()
    saved = await bench.saved()
    committed = await bench.committed()
    assert all(committed[partition] <= offset for partition, (offset, _) in saved.items())


@pytest.mark.soak
async def test_kill_9_again_and_again_under_load(bench) -> None:
    pick = random.Random(7)
    await bench.send(50_000)
    feeding = asyncio.create_task(bench.send(40_000, per_s=3_000))
    for _ in range(3):
        worker, _ = await bench.worker()
        await asyncio.sleep(pick.uniform(0.0, 0.6))
        worker.signal(signal.SIGKILL)
        await worker.ended()
    await bench.worker()
    await feeding
    await bench.is_read()
