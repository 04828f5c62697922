"""The kinds' topics from Kafka, each read only while somebody wants it.

Reading begins with the first subscriber, at the topic's end less what is needed to know the newest
state, and ends a while after the last one has gone.
"""

import asyncio
import time
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from runtime.errors import Misconfigured, Poison, Retriable
from runtime.fetch_session import use_fetch_sessions
from runtime.kafka import admin, close_consumer
from runtime.settings import Settings
from sinks import topics
from sinks.gateway import metrics
from sinks.gateway.kinds.kinds import Kinds
from sinks.gateway.kinds.past import Offsets, read_older
from sinks.gateway.kinds.rows import TOPICS
from sinks.gateway.protocol import KINDS, Kind
from sinks.gateway.refusals import refuse

logger = structlog.get_logger(__name__)

PAST_RECORDS_PER_PARTITION: dict[Kind, int] = {
    **dict.fromkeys(("prices", "tickers", "books", "ticks", "stats"), 5_000),
    "trades": 200,
    "gaps": 1_000,
}
LINGER_S = 30.0
"""How long a topic is still read when nobody wants it: a page that is loaded anew comes back."""
POLL_MS = 500
POLL_RECORDS_MAX = 200  # a few milliseconds of work, then clients get their turn
FETCH_WAIT_MS = 20
PAUSE_S = 1.0  # before reading begins anew
MISCONFIGURED_PAUSE_S = 10.0  # until somebody may have changed what is wrong


class KindFeed:
    """Reads for ``kinds`` while it ``run``s."""

    def __init__(self, settings: Settings, kinds: Kinds) -> None:
        self._settings = settings
        self._kinds = kinds
        self._wanted = {kind: asyncio.Event() for kind in KINDS}

    async def run(self) -> None:
        """Serve all kinds, for ever."""
        self._kinds.on_wanted = lambda kind: self._wanted[kind].set()
        # No TaskGroup: it hands a second cancellation to nobody, and the first may get lost.
        await asyncio.gather(*map(self._serve, KINDS))

    async def _serve(self, kind: Kind) -> None:
        """Read one kind whenever it is wanted."""
        while True:
            while not self._kinds.is_wanted(kind):
                self._wanted[kind].clear()
                await self._wanted[kind].wait()
            metrics.KINDS_READ.labels(kind).set(1)
            try:
                await self._read_once(kind)
            except (KafkaError, Retriable, TimeoutError) as e:
                logger.warning("kind_unread", kind=kind, reason=repr(e), retry_after_s=PAUSE_S)
                await asyncio.sleep(PAUSE_S)
            except Misconfigured as e:  # by a topic, or a broker: what else is read goes on
                pause_s = MISCONFIGURED_PAUSE_S
                logger.error("kind_unread", kind=kind, reason=str(e), retry_after_s=pause_s)  # noqa: TRY400
                await asyncio.sleep(pause_s)

    async def _read_once(self, kind: Kind) -> None:
        consumer = self._consumer()
        try:
            await consumer.start()
            use_fetch_sessions(consumer)
            await self._read(kind, consumer)
        finally:
            self._stop(kind)
            await close_consumer(consumer)

    def _stop(self, kind: Kind) -> None:
        """Forget at once: who comes now waits for a new beginning, and gets no old snapshot."""
        self._kinds.stop(kind)
        metrics.KINDS_READ.labels(kind).set(0)

    def _consumer(self) -> Any:
        return AIOKafkaConsumer(
            bootstrap_servers=self._settings.kafka_bootstrap,
            enable_auto_commit=False,
            auto_offset_reset="earliest",  # where retention outran us, go on with what is left
            fetch_max_wait_ms=FETCH_WAIT_MS,
        )

    async def _read(self, kind: Kind, consumer: Any) -> None:
        """Read the past, say so, and go on until nobody has wanted it for a while."""
        partitions = await self._partitions(kind)
        consumer.assign(partitions)
        begins = await consumer.beginning_offsets(partitions)
        ends = await consumer.end_offsets(partitions)
        past = PAST_RECORDS_PER_PARTITION[kind]
        starts = {tp: max(begins[tp], ends[tp] - past) for tp in partitions}
        for tp, start in starts.items():
            consumer.seek(tp, start)
        behind = [tp for tp in partitions if starts[tp] < ends[tp]]
        while behind:
            await self._step(kind, consumer)
            behind = [tp for tp in behind if await consumer.position(tp) < ends[tp]]
        self._kinds.ready(kind)
        logger.info("kind_begun", kind=kind)
        older = asyncio.create_task(self._read_older(kind, begins, starts))
        try:
            await self._follow(kind, consumer, older)
        finally:
            self._stop(kind)
            older.cancel()
            await asyncio.gather(older, return_exceptions=True)
        logger.info("kind_ended", kind=kind)

    async def _follow(self, kind: Kind, consumer: Any, older: asyncio.Task[None]) -> None:
        wanted_s = time.monotonic()
        while time.monotonic() - wanted_s < LINGER_S:
            await self._step(kind, consumer)
            if self._kinds.is_wanted(kind):
                wanted_s = time.monotonic()
            if older.done():
                older.result()

    async def _read_older(self, kind: Kind, begins: Offsets, ends: Offsets) -> None:
        """Read the states of symbols that have been quiet, where a topic has them."""
        if not TOPICS[kind].compacted or all(ends[tp] <= begins[tp] for tp in ends):
            return
        consumer = self._consumer()
        try:
            await consumer.start()
            consumer.assign(list(ends))
            await read_older(consumer, begins, ends, lambda found: self._kinds.merge(kind, found))
        except (KafkaError, Poison, TimeoutError) as e:
            logger.warning("older_states_unread", kind=kind, reason=repr(e))
        finally:
            await close_consumer(consumer)

    async def _partitions(self, kind: Kind) -> list[TopicPartition]:
        topic = TOPICS[kind]
        name = self._settings.kafka_topic_prefix + topic.name
        async with admin(self._settings.kafka_bootstrap) as client:
            (described,) = await client.describe_topics([name])
            if not described["partitions"]:
                await topics.ensure(self._settings, [topic])
                (described,) = await client.describe_topics([name])
        found = [TopicPartition(name, each["partition"]) for each in described["partitions"]]
        if not found:
            raise Retriable(f"{name} is not there yet", retry_after_s=PAUSE_S)
        return found

    async def _step(self, kind: Kind, consumer: Any) -> None:
        polled = await consumer.getmany(timeout_ms=POLL_MS, max_records=POLL_RECORDS_MAX)
        topic, queued = TOPICS[kind].name, 0
        for messages in polled.values():
            metrics.RECORDS.labels(topic).inc(len(messages))
            for message in messages:
                if message.value is not None:
                    queued += self._take(kind, message)
        metrics.QUEUED.inc(queued)
        await asyncio.sleep(0)  # buffered records are returned without a wait: let others run

    def _take(self, kind: Kind, message: Any) -> int:
        try:
            return self._kinds.take(kind, message.value)
        except Poison as e:
            refuse(TOPICS[kind].name, message, e)
            return 0
