"""The publisher with a producer that plays a script."""

import asyncio
import itertools
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from aiokafka.errors import KafkaTimeoutError, OutOfOrderSequenceNumber

import ingest.publisher
from ingest.batches import Collector
from ingest.decimals import digits
from ingest.exchanges.base import TradeRow
from ingest.outgoing import TradeRecords
from ingest.publisher import (
    DEAD_LETTER_BYTES_MAX,
    DEAD_LETTERS_PER_S_MAX,
    IN_FLIGHT_RECORDS_MAX,
    TICK_MAX_S,
    TICK_MIN_S,
    Publisher,
    tick_s,
)
from runtime.errors import Retriable
from schemas.dead_letters import DeadLetter, decode_dead_letter
from schemas.trades import decode_batch


class Producer:
    """Keeps what it was given; acknowledges at once, unless told otherwise."""

    def __init__(self, *refusals: Exception, acknowledge: bool = True) -> None:
        self.refusals = list(refusals)
        self.acknowledge = acknowledge
        self.records: list[tuple[str, int, bytes]] = []
        self.futures: list[asyncio.Future[object]] = []

    async def send(self, topic, value=None, *, key=None, partition=None):
        if self.refusals:
            raise self.refusals.pop(0)
        self.records.append((topic, partition, value))
        future = asyncio.get_running_loop().create_future()
        self.futures.append(future)
        if self.acknowledge:
            future.set_result(None)
        return future

    def ids(self) -> list[int]:
        batches = [decode_batch(value) for topic, _, value in self.records if topic == "t"]
        return [i for batch in batches for group in batch.symbols for i in group.id]


def trade(id_: int) -> TradeRow:
    return TradeRow("trade", "A", id_, 1_700_000_000_000, *digits("1.5"), 2, 0, 1, 0, id_, id_)


def setup(producer: Producer, rows_max: int = 1_000) -> tuple[Publisher, Callable[..., None]]:
    collector = Collector("binance", "spot", partition_of=lambda _: 3)
    publisher = Publisher(
        producer, [TradeRecords(collector, "t")], dead_letters_topic="d", rows_max=rows_max
    )

    def take(*ids: int) -> None:
        for id_ in ids:
            collector.add(trade(id_), 1)
        publisher.collected(len(ids))

    return publisher, take


async def finish(publisher: Publisher, task: asyncio.Task[None]) -> None:
    publisher.close()
    await asyncio.wait_for(task, 2)


async def test_closing_flushes_what_was_taken() -> None:
    producer = Producer()
    publisher, take = setup(producer)
    task = asyncio.create_task(publisher.run())
    take(1, 2, 3)
    await finish(publisher, task)
    assert producer.ids() == [1, 2, 3]
    assert {(topic, partition) for topic, partition, _ in producer.records} == {("t", 3)}
    assert publisher.unacknowledged_rows == 0


async def test_a_full_producer_is_offered_the_same_record_again() -> None:
    producer = Producer(KafkaTimeoutError(), KafkaTimeoutError())
    publisher, take = setup(producer)
    task = asyncio.create_task(publisher.run())
    take(1)
    take(2)
    await finish(publisher, task)
    assert producer.ids() == [1, 2]


async def test_too_much_unacknowledged_closes_the_room_until_half_is_through() -> None:
    producer = Producer(acknowledge=False)
    publisher, take = setup(producer, rows_max=10)
    task = asyncio.create_task(publisher.run())
    take(*range(5))
    await until(lambda: len(producer.futures) == 1)
    assert publisher.room.is_set()
    take(*range(5, 10))
    assert not publisher.room.is_set(), "at once, not at the next tick"
    await until(lambda: len(producer.futures) == 2)
    producer.futures[0].set_result(None)
    await until(publisher.room.is_set)
    producer.futures[1].set_result(None)
    await finish(publisher, task)
    assert producer.ids() == list(range(10))


@pytest.mark.parametrize("when", ["queueing", "acknowledging"])
async def test_a_record_that_kafka_refuses_for_good_ends_the_publisher(when: str) -> None:
    error = OutOfOrderSequenceNumber()
    producer = Producer(*([error] if when == "queueing" else []), acknowledge=False)
    publisher, take = setup(producer)
    task = asyncio.create_task(publisher.run())
    take(1)
    if when == "acknowledging":
        await until(lambda: producer.futures)
        producer.futures[0].set_exception(error)
    with pytest.raises(Retriable, match="OutOfOrderSequenceNumber"):
        await asyncio.wait_for(task, 2)


async def test_dead_letters_are_bounded_in_size_and_number() -> None:
    producer = Producer()
    publisher, _ = setup(producer)
    task = asyncio.create_task(publisher.run())
    big = b"x" * (DEAD_LETTER_BYTES_MAX + 1)
    publisher.set_aside(DeadLetter(reason="big", source="s", payload=big, recv_ns=1))
    for _ in range(3 * DEAD_LETTERS_PER_S_MAX):
        publisher.set_aside(DeadLetter(reason="r", source="s", payload=b"y", recv_ns=1))
    await finish(publisher, task)
    letters = [decode_dead_letter(value) for topic, _, value in producer.records if topic == "d"]
    assert len(letters) == DEAD_LETTERS_PER_S_MAX
    assert len(letters[0].payload) == DEAD_LETTER_BYTES_MAX
    assert str(len(big)) in letters[0].reason
    assert all(len(value) < 1_000_000 for _, _, value in producer.records)


async def test_dead_letters_that_wait_for_kafka_are_bounded(monkeypatch) -> None:
    monkeypatch.setattr(ingest.publisher, "DEAD_LETTERS_WAITING_MAX", 25)
    seconds = itertools.count(start=1)
    clock = SimpleNamespace(monotonic=lambda: float(next(seconds)))
    monkeypatch.setattr(ingest.publisher, "time", clock)
    publisher, _ = setup(Producer())
    for _ in range(100):  # one a second: within the rate, and nobody flushes
        publisher.set_aside(DeadLetter(reason="r", source="s", payload=b"y", recv_ns=1))
    assert len(publisher._dead_letters) == 25


def test_the_tick_grows_with_the_load_and_with_what_kafka_owes() -> None:
    assert tick_s(0, 0) == tick_s(20_000, 0) == pytest.approx(TICK_MIN_S)
    assert tick_s(60_000, 0) == pytest.approx(3 * TICK_MIN_S)
    assert tick_s(1_000_000, 0) == TICK_MAX_S
    assert tick_s(0, IN_FLIGHT_RECORDS_MAX) == pytest.approx(TICK_MIN_S)
    assert tick_s(0, 4 * IN_FLIGHT_RECORDS_MAX) == pytest.approx(4 * TICK_MIN_S)
    assert tick_s(0, 100 * IN_FLIGHT_RECORDS_MAX) == TICK_MAX_S


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(2):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0)
