"""Transport: Faust's Kafka consumer, handing over what it fetched of a partition as one event.

Faust spends about 100 us on an event, whatever is inside. To switch it on, right after the app is
made: ``app.transport = Transport(app.conf.broker_consumer, app)``; to read: ``records_of(event)``.
``stream_buffer_maxsize`` counts events now: 16 hold 8,000 records. An event's offset is its last
record's, so an ack of it acks them all. Changelogs pass one by one, as recovery wants them.
"""

import asyncio
import contextlib
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from aiokafka.errors import IllegalStateError
from faust.transport.consumer import ensure_TP, ensure_TPset
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import ConsumerMessage
from mode.utils.futures import maybe_async

from runtime.fetch_session import use_fetch_sessions

# An event is folded without a pause: these bound how long the loop waits, and what a queue holds.
EVENT_RECORDS_MAX = 500
EVENT_BYTES_MAX = 1 << 20
FETCH_TIMEOUT_S = 1.0
# The broker keeps a fetch this long when there is nothing to read. A seek waits for its end, and so
# does the clock that closes quiet candles.
FETCH_WAIT_MS = 100


class Record(NamedTuple):
    """One record of Kafka."""

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None


class Fetched(NamedTuple):
    """What one fetch brought of a partition, and how often the partition had been sought before."""

    moves: int
    records: Sequence[Any]


@dataclass(slots=True)
class Delivery:
    """An event that was handed over, and what became of it."""

    next_offset: int
    is_acked: bool = False


class Message(ConsumerMessage):
    """Many records as one message. Faust sets ``acked``; its delivery is told.

    The delivery, and not the message, is remembered until the commit: Faust takes a message that
    nobody holds any more for done, and waits for all others before it stops.
    """

    __slots__ = ("delivery", "records")

    def __init__(self, tp: TP, records: list[Record], generation: int) -> None:
        last = records[-1]
        self.delivery = Delivery(last.offset + 1)
        super().__init__(
            tp.topic,
            tp.partition,
            last.offset,
            last.timestamp_ms / 1_000,
            0,
            headers=None,
            key=None,
            value=None,
            checksum=None,
            tp=tp,
            generation_id=generation,
        )
        self.records = records

    @property
    def acked(self) -> bool:
        """Say whether every stream has acked it."""
        return self.delivery.is_acked

    @acked.setter
    def acked(self, is_acked: bool) -> None:
        self.delivery.is_acked = is_acked


def records_of(event: Any) -> Sequence[Record]:
    """Return the records of an event, in order; just one where the transport is Faust's own."""
    message = event.message
    if isinstance(message, Message):
        return message.records
    timestamp_ms = round((message.timestamp or 0) * 1_000)
    return (Record(message.offset, timestamp_ms, message.key, message.value),)


def cut(records: Iterable[Any]) -> Iterator[list[Record]]:
    """Cut what was fetched into the records of one event each."""
    part: list[Record] = []
    size = 0
    for record in records:
        length = len(record.value or b"") + len(record.key or b"")
        if part and (len(part) == EVENT_RECORDS_MAX or size + length > EVENT_BYTES_MAX):
            yield part
            part, size = [], 0
        part.append(Record(record.offset, record.timestamp, record.key, record.value))
        size += length
    if part:
        yield part


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """Faust's consumer thread, in the app's own loop; it says of a fetch whether a seek came after.

    Handing every fetch from one thread to the other, and the interpreter with it, cost 2 ms and a
    tenth of the worker. Heartbeats share the loop now: who folds gives way every 20 ms.
    """

    wait_for_shutdown = False  # what the thread would tell when it has ended

    def __init__(self, consumer: Any, loop: asyncio.AbstractEventLoop, beacon: Any) -> None:
        super().__init__(consumer, loop=loop, thread_loop=loop, beacon=beacon)

    def __post_init__(self) -> None:
        super().__post_init__()
        # How often each partition was sought or taken away.
        self.moves: Counter[TP] = Counter()

    async def start(self) -> None:
        """Connect."""
        self._thread_started.set()
        await self._default_start()

    async def stop(self) -> None:
        """Leave the group and disconnect."""
        if self._started.is_set() and not self._stopped.is_set():
            await super().stop()
            await self.on_thread_stop()
            await self._default_stop_children()
            await self._default_stop_futures()

    def _stopped_set(self) -> None:
        self._stopped.set()

    async def call_thread(self, fun: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a method of the consumer."""
        return await maybe_async(fun(*args, **kwargs))

    async def getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:  # noqa: ASYNC109
        """Fetch; whoever gives up waiting for it ends it, so no records are taken for nobody."""
        consumer = self._ensure_consumer()
        return await self._fetch_records(
            consumer,
            active_partitions,
            timeout=timeout,
            max_records=consumer._max_poll_records,  # noqa: SLF001 - as Faust does
        )

    async def _fetch_records(  # type: ignore[override]
        self, *args: Any, **kwargs: Any
    ) -> dict[TP, Fetched]:
        found: dict[TP, Fetched] = {}
        for partition, records in (await super()._fetch_records(*args, **kwargs)).items():
            tp = ensure_TP(partition)
            found[tp] = Fetched(self.moves[tp], records)
        return found

    def move(self, tp: TP, offset: int) -> None:
        """Seek, and make void what was fetched."""
        self.seek(tp, offset)
        self.moves[ensure_TP(tp)] += 1

    async def _seek_wait(self, consumer: Any, partitions: Mapping[TP, int]) -> None:
        self.moves.update(ensure_TPset(partitions))
        await super()._seek_wait(consumer, partitions)

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Go on where the group has committed."""
        offsets: Mapping[TP, int] = await self._ensure_consumer().seek_to_committed()
        self.moves.update(ensure_TPset(offsets))
        return offsets

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Make void what was fetched, then let the app know."""
        self.moves.update(revoked)
        await super().on_partitions_revoked(revoked)

    async def on_start(self) -> None:
        """Connect."""
        await super().on_start()
        use_fetch_sessions(self._ensure_consumer())

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS  # noqa: SLF001 - Faust has no setting for it
        return consumer


class Consumer(driver.Consumer):
    """Hands over, acks and commits by the event."""

    _thread: ConsumerThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Handed over and not yet committed, in order; as many as the app leaves without an ack.
        self._deliveries: defaultdict[TP, deque[Delivery]] = defaultdict(deque)

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def _drain_messages(self, fetcher: Any) -> None:
        """Fetch and hand over until the fetcher is stopped."""
        try:
            while not (self.should_stop or fetcher.should_stop):
                fetched: Any
                fetched, _ = await self._wait_next_records(FETCH_TIMEOUT_S)
                if fetched:
                    await self._hand_over(fetched)
        except self.consumer_stopped_errors:
            if not self.app.should_stop:
                raise

    async def _hand_over(self, fetched: Mapping[TP, Fetched]) -> None:
        """Hand over one message of each partition in turn."""
        turns = deque((tp, found.moves, self._messages(tp, found)) for tp, found in fetched.items())
        while turns:
            tp, moves, messages = turns.popleft()
            if not self.flow_active:
                await self.wait(self.can_resume_flow.wait())
            if self._thread.moves[tp] != moves:
                continue  # sought or taken away meanwhile: the rest is read again
            message = next(messages, None)
            if message is None:
                continue
            if tp not in self._get_active_partitions():
                await self._return(message)
                continue
            await self._deliver(message)
            turns.append((tp, moves, messages))

    def _messages(self, tp: TP, found: Fetched) -> Iterator[ConsumerMessage]:
        if self._is_changelog_tp(tp):
            return (self._to_message(tp, record) for record in found.records)
        app = self.app
        return (Message(tp, part, app.consumer_generation_id) for part in cut(found.records))

    async def _return(self, message: ConsumerMessage) -> None:
        """Give back what was fetched of a partition that is paused: it is read again later."""
        first = message.records[0].offset if isinstance(message, Message) else message.offset
        with contextlib.suppress(IllegalStateError):  # it was taken away: its next owner reads it
            await self.seek(message.tp, first)

    async def _deliver(self, message: ConsumerMessage) -> None:
        if isinstance(message, Message):
            self._deliveries[message.tp].append(message.delivery)
            # It may wait here, for a full queue or the end of a rebalance, and is void then.
            await self.callback(message)
        else:
            # Never after a rebalance has begun: recovery believes the offset of what it is given.
            await self.wait_first(self.callback(message), self.suspend_flow.wait())

    def on_buffer_full(self, tp: TP) -> None:
        """Do nothing: a full queue makes the next event wait, and the fetches with it."""

    async def _seek(self, partition: TP, offset: int) -> None:
        self._thread.move(partition, offset)
        self._deliveries.pop(ensure_TP(partition), None)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Forget what was handed over: its acks come too late."""
        for tp in revoked:
            self._deliveries.pop(tp, None)
        await super().on_partitions_revoked(revoked)

    def _new_offset(self, tp: TP) -> int | None:
        """Return where the group may go on: up to the first event without an ack."""
        # Faust's own accounts are by the offset, and take the records between events for holes.
        self._acked[tp].clear()
        self._acked_index[tp].clear()
        deliveries, offset = self._deliveries[tp], None
        while deliveries and deliveries[0].is_acked:
            offset = deliveries.popleft().next_offset
        return offset


class Transport(driver.Transport):
    """Faust's transport over aiokafka, with events of many records."""

    Consumer = Consumer
