"""Each safeguard of the worker, and what would happen without it.

Without the failures the successes would prove nothing. Workers die at chosen steps of a checkpoint,
never at a lucky moment, so the outcome is certain.
"""

import asyncio

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
    settled,
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


async def commit_ahead(settings: Settings) -> None:
    """Commit for the workers' group what nobody has read."""
    prefix = settings.kafka_topic_prefix
    group = AIOKafkaConsumer(bootstrap_servers=settings.kafka_bootstrap, group_id=prefix + APP_ID)
    async with group:
        tps = [TopicPartition(prefix + TRADES.name, p) for p in range(PARTITIONS)]
        group.assign(tps)
        await group.commit(dict(zip(tps, (0, 3, 20, 30), strict=True)))
