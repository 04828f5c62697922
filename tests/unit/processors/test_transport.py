"""What an event of many records is, who may be handed it, and when its offset may be committed."""

import pytest
from aiokafka.structs import ConsumerRecord
from chaining import create_app
from faust import Event
from faust.types import TP
from faust.types.tuples import Message as FaustMessage

from processors.transport import (
    EVENT_BYTES_MAX,
    EVENT_RECORDS_MAX,
    Consumer,
    Fetched,
    Message,
    Record,
    cut,
    records_of,
)

HERE, THERE = TP("trades", 0), TP("trades", 1)


def kafka_records(tp: TP, first: int, count: int, value: bytes | None = b"v") -> list:
    return [
        ConsumerRecord(tp.topic, tp.partition, offset, 7, 0, b"k", value, None, 1, 1, ())
        for offset in range(first, first + count)
    ]


class Stream:
    """A consumer without a broker, and what its callback is given."""

    def __init__(self, folder) -> None:
        self.app = create_app("127.0.0.1:1", "", 2, str(folder))
        self.app.topics._acking_topics.add("trades")
        self.consumer: Consumer = self.app.consumer
        self.consumer.callback = self.take
        self.consumer._set_active_tps({HERE, THERE})
        self.messages: list[Message] = []
        self.returned: list[tuple[TP, int]] = []
        self.consumer._thread.move = self.move
        self.before_take = lambda _: None

    async def take(self, message: Message) -> None:
        self.before_take(message)
        message.incref()
        self.messages.append(message)

    def move(self, tp: TP, offset: int) -> None:
        self.returned.append((tp, offset))
        self.consumer._thread.moves[tp] += 1

    async def fetch(self, tp: TP, first: int, count: int, **also: list) -> None:
        await self.consumer._hand_over({tp: Fetched(0, kafka_records(tp, first, count))})

    def ack(self, *numbers: int) -> None:
        for n in numbers:
            self.messages[n].ack(self.consumer)


@pytest.fixture
async def stream(tmp_path) -> Stream:
    return Stream(tmp_path)


def test_a_fetch_is_cut_by_count_and_nothing_is_lost_between() -> None:
    parts = list(cut(kafka_records(HERE, 10, 2 * EVENT_RECORDS_MAX + 1)))
    assert [len(part) for part in parts] == [EVENT_RECORDS_MAX, EVENT_RECORDS_MAX, 1]
    offsets = [record.offset for part in parts for record in part]
    assert offsets == list(range(10, 10 + 2 * EVENT_RECORDS_MAX + 1))
    assert parts[0][0] == Record(10, 7, b"k", b"v")


def test_a_fetch_is_cut_by_bytes_and_a_giant_record_is_an_event_of_its_own() -> None:
    half = kafka_records(HERE, 0, 3, b"x" * (EVENT_BYTES_MAX // 2 - 1))
    giant = kafka_records(HERE, 3, 1, b"x" * (2 * EVENT_BYTES_MAX))
    small = kafka_records(HERE, 4, 2)
    assert [len(part) for part in cut([*half, *giant, *small])] == [2, 1, 1, 2]


def test_tombstones_have_no_size_and_no_value() -> None:
    assert [part[0].value for part in cut(kafka_records(HERE, 0, 1, None))] == [None]
    assert list(cut([])) == []


async def test_an_event_of_fausts_own_transport_is_one_record(stream) -> None:
    message = FaustMessage("trades", 0, 5, 1.234, 0, None, b"k", b"v", None)
    assert records_of(Event(stream.app, None, None, None, message)) == (
        Record(5, 1_234, b"k", b"v"),
    )


async def test_an_events_offset_is_its_last_records(stream) -> None:
    await stream.fetch(HERE, 40, 3)
    (message,) = stream.messages
    assert (message.tp, message.offset) == (HERE, 42)
    assert message.generation_id == stream.app.consumer_generation_id
    event = await stream.app.topic("trades", value_type=bytes, value_serializer="raw").decode(
        message
    )
    assert [record.offset for record in records_of(event)] == [40, 41, 42]


async def test_partitions_take_turns(stream) -> None:
    long = kafka_records(HERE, 0, 2 * EVENT_RECORDS_MAX)
    short = kafka_records(THERE, 0, 1)
    await stream.consumer._hand_over({HERE: Fetched(0, long), THERE: Fetched(0, short)})
    assert [message.tp for message in stream.messages] == [HERE, THERE, HERE]


async def test_only_what_is_acked_from_the_first_event_on_may_be_committed(stream) -> None:
    await stream.fetch(HERE, 0, 3 * EVENT_RECORDS_MAX)
    assert stream.consumer._new_offset(HERE) is None
    stream.ack(1)
    assert stream.consumer._new_offset(HERE) is None
    stream.ack(0)
    assert stream.consumer._new_offset(HERE) == 2 * EVENT_RECORDS_MAX
    assert stream.consumer._new_offset(HERE) is None
    stream.ack(2)
    assert stream.consumer._new_offset(HERE) == 3 * EVENT_RECORDS_MAX


async def test_an_ack_from_before_a_seek_commits_nothing_of_what_is_read_after_it(stream) -> None:
    """A hole is found, the consumer seeks back, and both reads end at the same offset."""
    await stream.fetch(HERE, 50, 50)
    await stream.consumer.seek(HERE, 0)
    await stream.consumer._hand_over({HERE: Fetched(1, kafka_records(HERE, 0, 100))})
    stream.ack(0)
    assert stream.consumer._new_offset(HERE) is None
    stream.ack(1)
    assert stream.consumer._new_offset(HERE) == 100


async def test_what_a_seek_overtakes_is_not_handed_over(stream) -> None:
    def seek(_: Message) -> None:
        stream.consumer._thread.moves[HERE] += 1

    stream.before_take = seek
    here = Fetched(0, kafka_records(HERE, 0, 3 * EVENT_RECORDS_MAX))
    there = Fetched(0, kafka_records(THERE, 0, 1))
    await stream.consumer._hand_over({HERE: here, THERE: there})
    assert [message.tp for message in stream.messages] == [HERE, THERE]
    assert stream.returned == []


async def test_what_was_fetched_of_a_paused_partition_is_given_back(stream) -> None:
    stream.before_take = lambda message: stream.consumer.pause_partitions({message.tp})
    await stream.fetch(HERE, 7, 3 * EVENT_RECORDS_MAX)
    assert len(stream.messages) == 1
    assert stream.returned == [(HERE, 7 + EVENT_RECORDS_MAX)]


async def test_nothing_is_committed_of_a_partition_that_was_taken_away(stream) -> None:
    await stream.fetch(HERE, 0, 10)
    deliveries = stream.consumer._deliveries
    stream.ack(0)
    stream.consumer._on_partitions_revoked = lambda _: _nothing()
    await stream.consumer.on_partitions_revoked({HERE})
    assert HERE not in deliveries
    assert stream.consumer._new_offset(HERE) is None


async def test_changelogs_pass_one_by_one(stream) -> None:
    table = stream.app.Table("t", partitions=2, key_type=bytes, value_type=bytes)
    changelog = TP(table.changelog_topic.get_topic_name(), 0)
    stream.consumer.resume_partitions({changelog})
    stream.consumer._stopped.clear()
    await stream.consumer._hand_over({changelog: Fetched(0, kafka_records(changelog, 5, 3))})
    assert [(message.offset, message.value) for message in stream.messages] == [
        (5, b"v"),
        (6, b"v"),
        (7, b"v"),
    ]
    assert not stream.consumer._deliveries


async def _nothing() -> None:
    """Return nothing."""
