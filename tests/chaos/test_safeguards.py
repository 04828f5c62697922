"""Each safeguard of the worker, and what would happen without it.

Without the failures the successes would prove nothing. Workers die at chosen steps of a checkpoint,
never at a lucky moment, so the outcome is certain.
"""

import asyncio
import signal

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from workers import (
    PARTITIONS,
    SHORT_SESSION,
    Feed,
    Market,
    Workers,
    exit_code,
    read_to_the_end,
    read_topic,
    settled,
    state_positions,
    worker_settings,
)

from processors.app import APP_ID
from runtime.settings import Settings
from schemas.topics import TRADES

pytestmark = [
    pytest.mark.integration,
    pytest.mark.chaos,
    pytest.mark.soak,
    pytest.mark.timeout(120),
]

RECORDS = 1_000


@pytest.fixture
def settings(kafka_bootstrap, topic_prefix, tmp_path) -> Settings:
    return worker_settings(kafka_bootstrap, topic_prefix, tmp_path)


@pytest.fixture
async def workers(settings, tmp_path):
    async with Workers(settings, tmp_path, *SHORT_SESSION) as workers:
        yield workers


@pytest.fixture
def market() -> Market:
    return Market(seed=20)


async def died(workers: Workers, *options: str) -> None:
    worker = await workers.start(*options, ready=False)
    await asyncio.wait_for(worker.ended(), 30)
    assert exit_code(worker) == -9


async def is_found_wrong(settings: Settings, market: Market) -> None:
    await read_to_the_end(settings)
    with pytest.raises(AssertionError, match="candles are wrong"):
        await settled(settings, market.real, within_s=2)


async def test_death_at_any_step_of_a_checkpoint_changes_no_candle(
    settings, workers, market
) -> None:
    async with Feed(settings, market) as feed:
        for step in range(1, 5):  # before outputs have arrived, before states have, and once more
            await feed.send(400)
            await died(workers, "--die-at-arrival", str(step))
        await workers.start()
        await settled(settings, market.real)


@pytest.mark.parametrize("mutant", ["states-before-outputs", "positions-before-states"])
async def test_another_order_of_writing_would_lose_candles(
    settings, workers, market, mutant
) -> None:
    async with Feed(settings, market) as feed:
        await feed.send(RECORDS)
        await died(workers, "--mutant", mutant)
        await workers.start()
        await is_found_wrong(settings, market)


@pytest.mark.parametrize("mutant", [None, "follow-the-group"])
async def test_without_the_position_guard_a_commit_past_a_hole_would_lose_trades(
    settings, workers, market, mutant
) -> None:
    async with Feed(settings, market) as feed:
        await feed.send(RECORDS)
        await commit_ahead(settings)
        if mutant is None:
            await workers.start()
            await settled(settings, market.real)
        else:
            await workers.start("--mutant", mutant)
            await is_found_wrong(settings, market)


@pytest.mark.parametrize("options", [(), ("--believe-all",)])
async def test_a_late_write_of_a_frozen_worker_is_refused_and_would_lose_trades(
    settings, workers, market, options
) -> None:
    """It passes every check, freezes, and hands its states to the producer when it wakes up."""
    async with Feed(settings, market) as feed:
        late = await workers.start("--freeze-before-states", "3")
        await feed.send(800, per_s=400)
        owner = await workers.start()
        await feed.send(800)
        await read_to_the_end(settings)
        late.signal(signal.SIGCONT)
        await asyncio.wait_for(late.ended(), 20)
        assert exit_code(late) == -9  # its states have arrived
        ends = await ends_of_trades(settings)
        await feed.send(4)  # the owner goes on; most symbols are quiet and not written again
        await read_on(settings, ends)
        owner.signal(signal.SIGKILL)
        await owner.ended()
        successor = await workers.start(*options)
        await feed.send(400)
        if options:
            with pytest.raises(AssertionError, match=r"candles are wrong|two contents"):
                await settled(settings, market.real, within_s=5)
        else:
            await settled(settings, market.real)
            assert "late_writes_refused" in successor._log.read_text()


async def test_late_outputs_of_a_frozen_worker_say_what_the_new_owner_said(
    settings, workers, market
) -> None:
    async with Feed(settings, market) as feed:
        late = await workers.start("--freeze-before-outputs", "8")
        await feed.send(800, per_s=400)
        await workers.start()
        await feed.send(800)
        await settled(settings, market.real)
        late.signal(signal.SIGCONT)
        await asyncio.wait_for(late.ended(), 20)
        assert exit_code(late) == -9
        ledger = await settled(settings, market.real)  # no revision has two contents
        assert ledger.steps_back > 0


async def ends_of_trades(settings: Settings) -> dict[int, int]:
    records = await read_topic(settings, TRADES.name)
    return {record.partition: record.offset + 1 for record in records}


async def read_on(settings: Settings, before: dict[int, int]) -> None:
    """Wait until the changelog says that what was sent since then has been read."""
    new = dict((await ends_of_trades(settings)).items() - before.items())
    assert new
    async with asyncio.timeout(20):
        while not new.items() <= (await state_positions(settings)).items():  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def commit_ahead(settings: Settings) -> None:
    """Commit for the workers' group what nobody has read."""
    prefix = settings.kafka_topic_prefix
    group = AIOKafkaConsumer(bootstrap_servers=settings.kafka_bootstrap, group_id=prefix + APP_ID)
    async with group:
        tps = [TopicPartition(prefix + TRADES.name, p) for p in range(PARTITIONS)]
        group.assign(tps)
        await group.commit(dict(zip(tps, (0, 3, 20, 30), strict=True)))
