"""The Faust application: an agent for each topic that is read, one table, an own producer.

Windowed tables, ``on_window_close`` and ``exactly_once`` are not used: each lost or doubled data.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

import faust
import structlog
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError
from faust.types import TP
from mode.utils.objects import cached_property
from mode.utils.queues import FlowControlEvent

from processors import metrics
from processors.agents.folds import chosen_folds
from processors.agents.reading import read
from processors.checkpoint import EXIT_LOST, Checkpoint, Names
from processors.departure import Residence, leave_for
from processors.engine.engine import Engine
from processors.fencing import FencedTable
from processors.fold import Fold
from processors.history import History
from processors.outbox import Outbox
from processors.transport import Transport
from processors.upkeep import COMPACTION_LAG_S
from processors.worker import Worker
from runtime.errors import PipelineError
from runtime.kafka import (
    METADATA_MAX_AGE_MS,
    TopicSpec,
    ensure_topics,
    producer_options,
    topic_specs,
    wait_for_broker,
)
from runtime.ready import announce
from runtime.settings import Settings
from runtime.shutdown import exit_code
from schemas.topics import CONTROL, DEAD_LETTERS, Topic, in_sync

logger = structlog.get_logger(__name__)

APP_ID = "fibstream.processor"
TABLE = "symbols"
SESSION_TIMEOUT_S = 6.0
HEARTBEAT_S = 0.5  # a rebalance is noticed this late
STOP_WITHIN_S = 15.0


class KeepingFlowControl(FlowControlEvent):
    """Flow control that does not empty the queues of a flow that was never suspended.

    After recovery Faust resumes a flow that already runs, and mode then clears every queue: the
    records in them are lost, while the consumer's position is past them.
    """

    def resume(self) -> None:
        """Resume a suspended flow; leave an active one as it is."""
        if not self.is_active():
            super().resume()


class App(faust.App):
    """Faust with repairs: nothing skipped after recovery, a word when it is over, more to ask."""

    recovered: asyncio.Event

    @cached_property
    def flow_control(self) -> FlowControlEvent:
        """Return the flow control shared by every stream."""
        return KeepingFlowControl()

    def generation(self) -> int:
        """Return the group's generation that this worker belongs to; negative: to none."""
        return int(self._kafka()._coordinator.generation)  # noqa: SLF001 - no public way

    def member_id(self) -> str:
        """Return by what name the group knows this worker."""
        return str(self._kafka()._coordinator.member_id)  # noqa: SLF001

    async def is_member(self, positions: Mapping[TP, int]) -> bool:
        """Ask the broker whether this worker owns its partitions still, by committing for them."""
        offsets = {TopicPartition(*tp): offset for tp, offset in positions.items()}
        if not offsets:
            return True
        consumer: Any = self.consumer
        try:
            await consumer._thread.call_thread(self._kafka().commit, offsets)  # noqa: SLF001
        except (CommitFailedError, IllegalStateError):
            return False
        return True

    def ends(self, tps: Iterable[TP]) -> dict[TP, Any]:
        """Return of each partition what knows its ``highwater``, as of the last fetch."""
        subscription = self._kafka()._subscription.subscription  # noqa: SLF001
        if subscription is None or subscription.assignment is None:
            return {}  # a rebalance has begun
        assignment = subscription.assignment
        return {tp: assignment.state_value(TopicPartition(*tp)) for tp in tps}

    def _kafka(self) -> Any:
        consumer: Any = self.consumer
        return consumer._thread._consumer  # noqa: SLF001 - Faust hides it

    def on_rebalance_end(self) -> None:
        """Tell that the tables are recovered and the partitions are ours."""
        super().on_rebalance_end()
        self.recovered.set()


def changelog_topic(settings: Settings) -> TopicSpec:
    """Return the changelog of the state table: compacted only, as many partitions as are read."""
    return TopicSpec(
        name=f"{settings.kafka_topic_prefix}{APP_ID}-{TABLE}-changelog",
        partitions=settings.kafka_partitions,
        replication=settings.kafka_replication,
        # Recovery reads it whole: compact early and often.
        config={
            "cleanup.policy": "compact",
            "min.cleanable.dirty.ratio": "0.1",
            "segment.ms": "60000",
            "segment.bytes": str(32 << 20),
            "min.compaction.lag.ms": str(COMPACTION_LAG_S * 1_000),
            # A late owner's record may have waited for long: its age counts from its arrival.
            "message.timestamp.type": "LogAppendTime",
        }
        | in_sync(settings.kafka_replication),
    )


def create_app(settings: Settings) -> App:
    """Return the Faust app; opens no connection."""
    datadir = settings.data_dir / "faust"  # Faust wants a folder; the memory store leaves it empty
    datadir.mkdir(parents=True, exist_ok=True)
    brokers = ";".join(f"kafka://{b.strip()}" for b in settings.kafka_bootstrap.split(","))
    app = App(
        settings.kafka_topic_prefix + APP_ID,
        broker=brokers,
        store="memory://",
        datadir=str(datadir),
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        topic_partitions=settings.kafka_partitions,
        topic_replication_factor=settings.kafka_replication,
        processing_guarantee="at_least_once",
        broker_commit_interval=0.5,
        broker_session_timeout=SESSION_TIMEOUT_S,
        broker_heartbeat_interval=min(HEARTBEAT_S, SESSION_TIMEOUT_S / 4),
        broker_max_poll_records=1_000,
        consumer_metadata_max_age_ms=METADATA_MAX_AGE_MS,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=4 << 20,
        producer_request_timeout=30.0,
        stream_buffer_maxsize=16,  # events, each of up to 500 records
        stream_wait_empty=True,
        table_standby_replicas=0,
        worker_redirect_stdouts=False,
        Table=FencedTable,
    )
    app.transport = Transport(app.conf.broker_consumer, app)
    app.recovered = asyncio.Event()
    return app


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Fold the topics until ``stop``; creates those that are missing."""
    folds = chosen_folds(settings)
    await wait_for_broker(settings.kafka_bootstrap)
    topics = {topic.name: topic for fold in folds for topic in (*fold.reads, *fold.writes)}
    await ensure_topics(
        settings.kafka_bootstrap,
        [
            *topic_specs(settings, (*topics.values(), CONTROL, DEAD_LETTERS)),
            changelog_topic(settings),
        ],
    )
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka_bootstrap, **producer_options() | {"linger_ms": 0}
    )
    await producer.start()
    app = create_app(settings)
    residence = Residence(app.conf.datadir)
    predecessor = residence.predecessor()
    if predecessor:
        await leave_for(settings.kafka_bootstrap, app.conf.id, predecessor)
    worker = _wire(app, folds, producer, settings)
    try:
        async with AsyncExitStack() as stack:
            beats = [worker.pulse, worker.keep, worker.watch]
            for engine in (fold for fold in folds if isinstance(fold, Engine)):
                history = History(settings, worker.checkpoint, engine)
                await stack.enter_async_context(history)
                beats += [history.follow, history.fill]
            await _serve(app, worker, beats, residence, stop)
    except PipelineError as e:
        os._exit(exit_code(e))  # Faust runs, and its threads would not let the process end
    except Exception:  # whatever it was, the next process replays
        logger.exception("worker_failed")
        os._exit(EXIT_LOST)
    finally:
        await producer.stop()


def _wire(
    app: App, folds: Sequence[Fold], producer: AIOKafkaProducer, settings: Settings
) -> Worker:
    """Attach the agents, the table and the rebalance hook to the app."""
    prefix, partitions = settings.kafka_topic_prefix, settings.kafka_partitions
    # key_type and value_type, not schema: recovery decodes by them, and would read JSON else.
    table: Any = app.Table(TABLE, partitions=partitions, key_type=bytes, value_type=bytes)
    names = Names(changelog_topic(settings).name, prefix, partitions)
    checkpoint = Checkpoint(folds, Outbox(producer), Outbox(producer), table.data, names)
    worker = Worker(app, checkpoint, table.data, settings)

    def attach(topic: Topic) -> None:
        async def agent(stream: Any) -> None:
            await read(stream, topic, worker)

        source = app.topic(
            prefix + topic.name, key_type=bytes, value_type=bytes, value_serializer="raw"
        )
        app.agent(source, name=topic.name)(agent)

    async def forget(*_: Any, **__: Any) -> None:
        worker.forget()

    for topic in worker.topics.values():
        attach(topic)
    app.on_partitions_revoked.connect(forget, weak=False)
    return worker


async def _serve(
    app: App,
    worker: Worker,
    tasks: Sequence[Callable[[], Coroutine[Any, Any, None]]],
    residence: Residence,
    stop: asyncio.Event,
) -> None:
    """Keep the worker beating through rebalances; end it when asked, or when Faust ends."""
    beats = [asyncio.create_task(task()) for task in tasks]
    stopping = asyncio.create_task(stop.wait())
    await app.start()
    ended = asyncio.create_task(app.wait_until_stopped())
    is_announced = False
    while not stopping.done():
        recovered = asyncio.create_task(app.recovered.wait())
        done, _ = await asyncio.wait(
            {recovered, stopping, ended, *beats}, return_when=asyncio.FIRST_COMPLETED
        )
        recovered.cancel()
        if ended in done or done.intersection(beats):
            reasons = [repr(beat.exception()) for beat in beats if beat.done()]
            logger.error("faust_ended", reasons=reasons)
            os._exit(EXIT_LOST)
        if app.recovered.is_set():
            app.recovered.clear()
            residence.move_in(app.member_id())
            await worker.restore()
            if not is_announced:
                announce()
                is_announced = True
    await worker.finish()
    app.conf.stream_wait_empty = False  # what was read since then is for the next process
    # Nothing is pending now. Faust may wait for ever for a broker that is away.
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(app.stop(), STOP_WITHIN_S)
    residence.move_out()
    for beat in beats:
        beat.cancel()
    metrics.symbols.set(0)
