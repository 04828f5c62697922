"""The Faust application: one agent on the trades topic, one plain table, an own producer.

Windowed tables, ``on_window_close`` and ``exactly_once`` are not used: each lost or doubled data.
"""

import asyncio
import contextlib
import gc
import os
import sys
from typing import Any

import faust
import structlog
import uvloop
from aiokafka import AIOKafkaProducer
from mode.utils.objects import cached_property
from mode.utils.queues import FlowControlEvent

from processors import metrics
from processors.agents.trades import fold_trades
from processors.checkpoint import EXIT_LOST, Checkpoint
from processors.engine.engine import OUTPUTS, Engine
from processors.outbox import Outbox
from processors.worker import Worker
from runtime.errors import PipelineError
from runtime.kafka import (
    TopicSpec,
    ensure_topics,
    producer_options,
    topic_specs,
    wait_for_broker,
)
from runtime.ready import announce
from runtime.settings import Settings
from runtime.shutdown import exit_code
from schemas.intervals import parse_intervals
from schemas.topics import DEAD_LETTERS, TRADES, in_sync

logger = structlog.get_logger(__name__)

APP_ID = "fibstream.processor"
TABLE = "symbols"
SESSION_TIMEOUT_S = 6.0
HEARTBEAT_S = 1.5
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
    """Faust with two repairs: nothing skipped after recovery, and a word when it is over."""

    recovered: asyncio.Event

    @cached_property
    def flow_control(self) -> FlowControlEvent:
        """Return the flow control shared by every stream."""
        return KeepingFlowControl()

    def is_expelled(self) -> bool:
        """Say whether the group has dropped this worker, which Faust has yet to be told."""
        consumer: Any = self.consumer
        coordinator = consumer._thread._consumer._coordinator  # noqa: SLF001 - no public way
        return bool(coordinator.generation < 0)

    def on_rebalance_end(self) -> None:
        """Tell that the tables are recovered and the partitions are ours."""
        super().on_rebalance_end()
        self.recovered.set()


def changelog_topic(settings: Settings) -> TopicSpec:
    """Return the changelog of the state table: compacted only, as many partitions as trades."""
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
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=4 << 20,
        producer_request_timeout=30.0,
        stream_buffer_maxsize=1_000,
        stream_wait_empty=True,
        table_standby_replicas=0,
        worker_redirect_stdouts=False,
    )
    app.recovered = asyncio.Event()
    return app


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Process trades until ``stop``; creates the topics that are missing."""
    lengths = parse_intervals(settings.kline_intervals)
    # A record decodes into hundreds of lists that live for a moment: at the default threshold the
    # collector runs at every record and finds nothing.
    gc.set_threshold(100_000, 20, 100)
    # Faust's consumer has a thread of its own: a loop in C, and short turns at the interpreter, or
    # it waits 5 ms for every piece of a fetch while records are folded.
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    sys.setswitchinterval(0.0005)
    await wait_for_broker(settings.kafka_bootstrap)
    changelog = changelog_topic(settings)
    await ensure_topics(
        settings.kafka_bootstrap,
        [*topic_specs(settings, (TRADES, *OUTPUTS, DEAD_LETTERS)), changelog],
    )
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka_bootstrap, **producer_options() | {"linger_ms": 0}
    )
    await producer.start()
    app = create_app(settings)
    engine = Engine(
        lengths,
        grace_ms=settings.aggregator_waiter_latency_ms,
        live_every_ms=settings.live_update_interval_ms,
        closes_quiet=settings.aggregator_waiter_mode_enabled,
    )
    checkpoint = Checkpoint(
        engine,
        Outbox(producer),
        changelog=changelog.name,
        prefix=settings.kafka_topic_prefix,
        partitions=settings.kafka_partitions,
    )
    worker = _wire(app, checkpoint, settings)
    try:
        await _serve(app, worker, stop)
    except PipelineError as e:
        os._exit(exit_code(e))  # Faust runs, and its threads would not let the process end
    finally:
        await producer.stop()


def _wire(app: App, checkpoint: Checkpoint, settings: Settings) -> Worker:
    """Attach the agent, the table and the rebalance hook to the app."""
    name = settings.kafka_topic_prefix + TRADES.name
    # key_type and value_type, not schema: recovery decodes by them, and would read JSON else.
    table = app.Table(TABLE, partitions=settings.kafka_partitions, key_type=bytes, value_type=bytes)
    topic = app.topic(name, key_type=bytes, value_type=bytes, value_serializer="raw")
    worker = Worker(app, checkpoint, table, settings, topic=name)

    async def trades(stream: Any) -> None:
        await fold_trades(stream, worker)

    async def forget(*_: Any, **__: Any) -> None:
        worker.forget()

    app.agent(topic, name="trades")(trades)
    app.on_partitions_revoked.connect(forget)
    return worker


async def _serve(app: App, worker: Worker, stop: asyncio.Event) -> None:
    """Keep the worker beating through rebalances; end it when asked, or when Faust ends."""
    pulse = asyncio.create_task(worker.pulse())
    watch = asyncio.create_task(worker.watch())
    stopping = asyncio.create_task(stop.wait())
    await app.start()
    ended = asyncio.create_task(app.wait_until_stopped())
    is_announced = False
    while not stopping.done():
        recovered = asyncio.create_task(app.recovered.wait())
        done, _ = await asyncio.wait(
            {recovered, stopping, ended, pulse}, return_when=asyncio.FIRST_COMPLETED
        )
        recovered.cancel()
        if ended in done or pulse in done:
            logger.error("faust_ended", reason=repr(pulse.exception()) if pulse.done() else "")
            os._exit(EXIT_LOST)
        if app.recovered.is_set():
            app.recovered.clear()
            await worker.restore()
            if not is_announced:
                announce()
                is_announced = True
    await worker.finish()
    app.conf.stream_wait_empty = False  # what was read since then is for the next process
    # Nothing is pending now. Faust may wait for ever for a broker that is away.
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(app.stop(), STOP_WITHIN_S)
    pulse.cancel()
    watch.cancel()
    metrics.symbols.set(0)
