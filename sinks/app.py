"""One sink as a process: reach the store, join the group, say so, deliver until told to stop."""

import asyncio
from collections.abc import Awaitable

import structlog

from runtime import ready
from runtime.errors import Misconfigured
from runtime.kafka import wait_for_broker
from runtime.settings import Settings
from schemas.topics import DEAD_LETTERS
from sinks import create, topics
from sinks.base import Sink
from sinks.kafka_log import KafkaLog
from sinks.worker import SinkWorker

logger = structlog.get_logger(__name__)


async def run(name: str, settings: Settings, stop: asyncio.Event) -> None:
    """Run the sink ``name`` until ``stop`` is set; raise Misconfigured when it cannot start."""
    sink = create(name, settings)
    if not settings.kafka_bootstrap:
        raise Misconfigured(
            "STREAMER_KAFKA_BOOTSTRAP",
            "it is empty",
            remedy="Set it to host:port of a broker; `fibstream up` starts one and sets it.",
        )
    log = KafkaLog(sink, settings)
    try:
        if not await _unless_stopped(_open(sink, log, settings), stop):
            return
        ready.announce(**sink.facts())
        logger.info("sink_ready", sink=name, **sink.facts())
        await SinkWorker(sink, log, stop).run()
    finally:
        await log.close()
        await sink.close()
    logger.info("sink_stopped", sink=name)


async def _open(sink: Sink, log: KafkaLog, settings: Settings) -> None:
    await wait_for_broker(settings.kafka_bootstrap)
    await topics.ensure(settings, (*sink.topics, DEAD_LETTERS))
    await sink.open()
    await log.open()


async def _unless_stopped(work: Awaitable[None], stop: asyncio.Event) -> bool:
    """Wait for ``work``; give it up and return False when ``stop`` is set first."""
    working = asyncio.ensure_future(work)
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            return False
        working.result()
        return True
    finally:
        for task in (working, stopping):
            task.cancel()
        await asyncio.gather(working, stopping, return_exceptions=True)
