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

# A dead letter in base64 must pass any broker's default of 1 MB; the whole record is at its source.
LETTER_BYTES_MAX = 600 << 10


async def fold_trades(stream: Any, worker: Worker) -> None:
    """Apply every record of the stream to the worker's engine."""
    try:
        async for event in stream.noack().events():
            await _take(event, worker)
    except Exception:  # Faust would ack the event and lose it
        logger.exception("agent_failed")
        os._exit(EXIT_LOST)


async def _take(event: Any, worker: Worker) -> None:
    checkpoint, message = worker.checkpoint, event.message
    partition, offset = message.tp.partition, message.offset
    if worker.is_over:
        return
    if not await _is_next(message, worker):
        # A rebalance waits for the ack of every event. Faust may commit what it likes: where
        # reading goes on is told by the changelog alone.
        event.ack()
        return
    checkpoint.next_offset[partition] = offset + 1
    value = event.value or b""  # a tombstone has none
    try:
        checkpoint.engine.apply(partition, offset, decode_batch(value))
    except UnreadableBatch as e:
        metrics.refused.inc()
        source = f"{message.topic}/{partition}/{offset}"
        checkpoint.put([Output(DEAD_LETTERS, b"", _dead_letter(str(e), source, value))])
    checkpoint.events.append(event)
    metrics.records.inc()
    await worker.save_if_full()


async def _is_next(message: Any, worker: Worker) -> bool:
    """Say whether this is the very record that its partition waits for."""
    partition, next_offset = message.tp.partition, worker.checkpoint.next_offset
    if partition not in next_offset:
        await worker.restored.wait()
    expected = next_offset.get(partition)
    if expected is None:
        return False  # the partition was taken away meanwhile: its new owner reads it
    if message.offset > expected:
        await worker.seek_back(message.tp, message.offset)
    elif message.offset < expected:
        metrics.repeated.inc()
    else:
        worker.sought_s.pop(message.tp, None)
    return bool(message.offset == expected)


def _dead_letter(reason: str, source: str, value: bytes) -> bytes:
    if len(value) > LETTER_BYTES_MAX:
        reason += f" (the first {LETTER_BYTES_MAX} of {len(value)} bytes)"
    letter = DeadLetter(
        reason=reason, source=source, payload=value[:LETTER_BYTES_MAX], recv_ns=time.time_ns()
    )
    return encode_dead_letter(letter)
