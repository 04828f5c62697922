"""The outbox: order by partition, and no batch forgotten before it is stored."""

import asyncio

import pytest
from aiokafka.producer.message_accumulator import BatchBuilder

from processors.outbox import IN_FLIGHT_BATCHES_MAX, Outbox


class Broker:
    """Takes batches as a producer does, and stores them when told."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, int, int]] = []  # topic, partition, records
        self.futures: list[asyncio.Future[None]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    def create_batch(self) -> BatchBuilder:
        return BatchBuilder(16_384, 0, is_transactional=False)

    async def send_batch(self, batch: BatchBuilder, topic: str, *, partition: int):
        await self.gate.wait()
        self.taken.append((topic, partition, batch.record_count()))
        future = asyncio.get_running_loop().create_future()
        self.futures.append(future)
        return future

    def store(self, first: int, last: int) -> None:
        for future in self.futures[first:last]:
            future.set_result(None)


@pytest.fixture
async def broker() -> Broker:
    return Broker()


@pytest.fixture
def outbox(broker) -> Outbox:
    return Outbox(broker)


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_batches_leave_in_the_order_in_which_they_were_put(broker, outbox) -> None:
    broker.gate.clear()
    sends = []
    for count in (1, 2, 3):
        for _ in range(count):
            outbox.put("t", 0, b"k", b"v")
        sends.append(asyncio.create_task(outbox.send()))
        await turn()
    broker.gate.set()
    await asyncio.gather(*sends)
    assert broker.taken == [("t", 0, 1), ("t", 0, 2), ("t", 0, 3)]


async def test_newer_batches_leave_while_somebody_waits_for_older_ones(broker, outbox) -> None:
    outbox.put("t", 0, b"k", b"1")
    await outbox.send()
    waiting = asyncio.create_task(outbox.arrived())
    await turn()
    outbox.put("t", 0, b"k", b"2")
    await outbox.send()
    assert len(broker.taken) == 2
    broker.store(0, 1)
    await asyncio.wait_for(waiting, 1)  # the newer one is not its concern


async def test_two_that_wait_both_wait_for_every_batch(broker, outbox) -> None:
    outbox.put("t", 0, b"k", b"1")
    await outbox.send()
    first, second = (asyncio.create_task(outbox.arrived()) for _ in range(2))
    await turn()
    assert not first.done()
    assert not second.done()
    broker.store(0, 1)
    await asyncio.wait_for(asyncio.gather(first, second), 1)


async def test_a_batch_that_failed_is_told_to_the_next_who_asks(broker, outbox) -> None:
    outbox.put("t", 0, b"k", b"1")
    await outbox.send()
    broker.futures[0].set_exception(ConnectionError("gone"))
    with pytest.raises(ConnectionError):
        await outbox.arrived()


async def test_too_many_batches_in_flight_hold_the_sender(broker, outbox) -> None:
    for _ in range(IN_FLIGHT_BATCHES_MAX):
        outbox.put("t", 0, b"k", b"1")
        await outbox.send()
    outbox.put("t", 0, b"k", b"1")
    sending = asyncio.create_task(outbox.send())
    await turn()
    assert not sending.done()
    broker.store(0, IN_FLIGHT_BATCHES_MAX + 1)
    await asyncio.wait_for(sending, 1)
