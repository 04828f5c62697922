"""What every test may ask for: a real broker, a real Redis, recorded frames, a name of its own."""

import asyncio
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

# How long one example takes depends on what else the machine does.
# Two cores run the suite in ten minutes: FIBSTREAM_EXAMPLES=1000 looks longer for what is wrong.
EXAMPLES = int(os.environ.get("FIBSTREAM_EXAMPLES", "50"))
hypothesis.settings.register_profile("fibstream", deadline=None, max_examples=EXAMPLES)
hypothesis.settings.load_profile("fibstream")

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def kafka_bootstrap() -> Iterator[str]:
    """One ephemeral broker for the whole session; take a ``topic_prefix`` on it."""
    from runtime.servers.kafka import EmbeddedKafka

    kafka = EmbeddedKafka(None, heap_mb=512)
    with asyncio.Runner() as runner:
        try:
            yield runner.run(kafka.start())
        finally:
            runner.run(kafka.stop())


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """One Redis for the whole session; take a ``topic_prefix`` for the keys."""
    from runtime.servers.redis import EmbeddedRedis

    redis = EmbeddedRedis(None)
    with asyncio.Runner() as runner:
        try:
            yield f"redis://{runner.run(redis.start())}/0"
        finally:
            runner.run(redis.stop())


@pytest.fixture
def topic_prefix() -> str:
    """A prefix for topics, groups and keys that no other test uses."""
    return f"t{uuid.uuid4().hex[:10]}."


@pytest.fixture(scope="session")
def captures() -> Path:
    """The folder of recorded frames, one folder per exchange."""
    folder = Path(os.environ.get("FIBSTREAM_CAPTURES") or REPOSITORY.parent / "shared" / "captures")
    if not folder.is_dir():
        pytest.skip(f"no captures at {folder}: set FIBSTREAM_CAPTURES to their folder")
    return folder
