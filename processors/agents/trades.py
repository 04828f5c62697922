"""The agent on ``md.trades.v1``: every offset once and in order, or the process ends.

Faust skips and repeats records after restarts under load. The position kept in the changelog is
the judge: an event below it is a repeat, one above it reveals a hole and the consumer seeks back.
"""

import os
import time
from typing import Any

import structlog

from processors import metrics
from processors.checkpoint import EXIT_LOST
from processors.engine.engine import Output
from processors.worker import Worker
from schemas.dead_letters import DeadLetter, encode_dead_letter
from schemas.topics import DEAD_LETTERS
from schemas.trades import UnreadableBatch, decode_batch

logger = structlog.get_logger(__name__)


async def fold_trades(stream: Any, worker: Worker) -> None:
    """Apply every record of the stream to the worker's engine."""
    try:
        async for event in stream.noack().events():
            await _take(event, worker)
    except Exception:  # Faust would ack the event and lose it
        logger.exception("agent_failed")
        os._exit(EXIT_LOST)


async def _take(event: Any, worker: Worker) -> None:
    message = event.message
    partition, offset = message.tp.partition, message.offset
    checkpoint = worker.checkpoint
    expected = checkpoint.next_offset.get(partition)
    if expected is None:
        await worker.restored.wait()
        expected = checkpoint.next_offset.get(partition)
        if expected is None:
            return  # of a partition that was taken away meanwhile: its new owner reads it
    if offset < expected:
        metrics.repeated.inc()
        event.ack()
        return
    if offset > expected:
        await worker.seek_back(message.tp, expected, offset)
        return
    worker.is_sought.discard(partition)
    checkpoint.next_offset[partition] = offset + 1
    try:
        batch = decode_batch(event.value)
        checkpoint.engine.apply(partition, offset, batch)
    except UnreadableBatch as e:
        metrics.refused.inc()
        letter = DeadLetter(
            reason=str(e),
            source=f"{message.topic}/{partition}/{offset}",
            payload=event.value,
            recv_ns=time.time_ns(),
        )
        checkpoint.put([Output(DEAD_LETTERS, b"", encode_dead_letter(letter))])
    checkpoint.events.append(event)
    metrics.records.inc()
    await worker.yield_if_full()
