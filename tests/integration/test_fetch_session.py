"""Fetches by increments on a real broker: what is read is what a plain consumer reads."""

import asyncio
import random
import time
from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from runtime.fetch_session import SessionClient, use_fetch_sessions
from runtime.kafka import TopicSpec, ensure_topics

pytestmark = pytest.mark.integration

PARTITIONS = 12
WITHIN_S = 30.0


@pytest.fixture
async def tps(kafka_bootstrap, topic_prefix) -> list[TopicPartition]:
    topic = topic_prefix + "increments"
    await ensure_topics(kafka_bootstrap, [TopicSpec(name=topic, partitions=PARTITIONS)])
    return [TopicPartition(topic, n) for n in range(PARTITIONS)]


@pytest.fixture
async def producer(kafka_bootstrap) -> AsyncIterator[AIOKafkaProducer]:
    async with AIOKafkaProducer(bootstrap_servers=kafka_bootstrap) as producer:
        yield producer


@pytest.fixture
async def consumer(kafka_bootstrap, tps) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka_bootstrap, auto_offset_reset="earliest", fetch_max_wait_ms=50
    )
    await consumer.start()
    use_fetch_sessions(consumer)
    consumer.assign(tps)
    yield consumer
    await consumer.stop()


def sessions(consumer: AIOKafkaConsumer) -> SessionClient:
    return consumer._fetcher._client


async def read(consumer: AIOKafkaConsumer, count: int) -> list[tuple[int, int]]:
    """Return (partition, offset) of the next records."""
    found: list[tuple[int, int]] = []
    async with asyncio.timeout(WITHIN_S):
        while len(found) < count:
            for tp, records in (await consumer.getmany(timeout_ms=200)).items():
                found += [(tp.partition, record.offset) for record in records]
    return found


async def send(producer: AIOKafkaProducer, tps: list[TopicPartition], size: int = 10) -> None:
    for tp in tps:
        await producer.send(tp.topic, b"x" * size, partition=tp.partition)
    await producer.flush()


async def test_every_record_comes_once_and_in_order_over_seeks_and_pauses(
    consumer, producer, tps
) -> None:
    pick = random.Random(7)
    expected = dict.fromkeys(range(PARTITIONS), 0)
    for _ in range(40):
        some = pick.choices(tps, k=5)
        await send(producer, some)
        paused = pick.sample(tps, 3)
        consumer.pause(*paused)
        consumer.resume(*paused)
        again = pick.choice(tps)
        back = pick.randrange(expected[again.partition] + 1)
        consumer.seek(again, back)
        repeated = expected[again.partition] - back
        expected[again.partition] = back
        for partition, offset in await read(consumer, len(some) + repeated):
            assert offset == expected[partition]
            expected[partition] += 1
    assert sum(expected.values()) == 200


async def test_a_fetch_names_only_what_has_moved_and_is_answered_only_with_news(
    consumer, producer, tps
) -> None:
    await send(producer, tps)
    await read(consumer, PARTITIONS)
    (session,) = sessions(consumer)._sessions.values()
    asked: list[int] = []
    answered: list[int] = []
    narrowed, taken = session.narrowed, session.answered

    def noted(fetch):
        made = narrowed(fetch)
        asked.append(sum(len(partitions) for _, partitions in made.topics))
        return made

    def heard(response):
        answered.append(sum(len(partitions) for _, partitions in response.topics))
        taken(response)

    session.narrowed, session.answered = noted, heard
    for _ in range(5):
        await send(producer, tps[:1])
        await read(consumer, 1)
    assert max(asked[2:]) <= 1
    assert max(answered[2:]) <= 1


async def test_a_session_that_the_broker_has_forgotten_is_begun_anew(
    consumer, producer, tps
) -> None:
    await send(producer, tps)
    await read(consumer, PARTITIONS)
    (session,) = sessions(consumer)._sessions.values()
    session._id += 12_345
    await send(producer, tps)
    assert sorted(await read(consumer, PARTITIONS)) == [(n, 1) for n in range(PARTITIONS)]
    session._epoch += 3
    await send(producer, tps)
    assert sorted(await read(consumer, PARTITIONS)) == [(n, 2) for n in range(PARTITIONS)]


async def test_quiet_partitions_are_known_to_have_ended_and_when_that_was_last_said(
    consumer, producer, tps
) -> None:
    await send(producer, tps)
    await read(consumer, PARTITIONS)
    for _ in range(2):  # a new assignment of the same partitions knows nothing of the old one
        begun_ms = time.time_ns() // 1_000_000
        async with asyncio.timeout(WITHIN_S):
            while not all(
                consumer.highwater(tp) == 1 and (consumer.last_poll_timestamp(tp) or 0) > begun_ms
                for tp in tps
            ):
                await consumer.getmany(timeout_ms=20)
        consumer.unsubscribe()
        consumer.assign(tps)
        for tp in tps:
            consumer.seek(tp, 1)


async def test_answers_that_are_cut_at_the_byte_limit_leave_nothing_out(
    kafka_bootstrap, producer, tps
) -> None:
    for _ in range(5):
        await send(producer, tps, 20_000)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka_bootstrap,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=50,
        fetch_max_bytes=50_000,
    )
    await consumer.start()
    try:
        use_fetch_sessions(consumer)
        consumer.assign(tps)
        found = await read(consumer, 5 * PARTITIONS)
    finally:
        await consumer.stop()
    assert sorted(found) == [(n, at) for n in range(PARTITIONS) for at in range(5)]


async def test_a_session_that_is_begun_anew_ends_the_one_before(consumer, producer, tps) -> None:
    await send(producer, tps)
    await read(consumer, PARTITIONS)
    (session,) = sessions(consumer)._sessions.values()
    before = session._id
    session.forget()
    await send(producer, tps)
    await read(consumer, PARTITIONS)
    assert session._id not in (0, before)
    session._id, session._epoch, session._known = before, 5, {}
    await send(producer, tps)
    await read(consumer, PARTITIONS)
    assert session._id != before, "the broker knows it no more"
