"""Reading a topic into its folds: every offset once and in order, or the process ends.

Faust skips and repeats records after restarts under load. The position kept in the changelog is
the judge: a record below it is a repeat, one above it reveals a hole and the consumer seeks back.
"""

import asyncio
import os
import time
from collections.abc import Sequence
from typing import Any

import structlog
from faust.types import TP

from processors import metrics
from processors.checkpoint import EXIT_LOST
from processors.fold import Fold, Output, Unreadable
from processors.transport import Record, records_of
from processors.worker import Worker
from schemas.dead_letters import DeadLetter, encode_dead_letter
from schemas.topics import DEAD_LETTERS, Topic
from schemas.trades import UnreadableBatch

logger = structlog.get_logger(__name__)

# Folding a fetch may take seconds; so long may outputs, heartbeats and the watchdog wait for it.
TURN_S = 0.02
# A dead letter in base64 must pass any broker's default of 1 MB; the whole record is at its source.
LETTER_BYTES_MAX = 600 << 10


async def read(stream: Any, topic: Topic, worker: Worker) -> None:
    """Apply every record of the stream to the folds that read its topic."""
    folds = worker.readers(topic)
    try:
        async for event in stream.noack().events():
            await _take(event, topic, folds, worker)
            await asyncio.sleep(0)  # events that wait come without one: the pulse wants its turn
    except Exception:  # Faust would ack the event and lose it
        logger.exception("agent_failed", topic=topic.name)
        os._exit(EXIT_LOST)


async def _take(event: Any, topic: Topic, folds: Sequence[Fold], worker: Worker) -> None:
    checkpoint, tp = worker.checkpoint, event.message.tp
    if worker.is_over:
        return
    records = await _next_records(event, worker)
    if not records:
        # A rebalance waits for the ack of every event. Faust may commit what it likes: where
        # reading goes on is told by the changelog alone.
        event.ack()
        return
    turn_ends_s = time.monotonic() + TURN_S
    for record in records:
        if time.monotonic() > turn_ends_s:
            await worker.give_way()
            if worker.is_over:
                return
            if checkpoint.next_offset.get(tp) != record.offset:
                event.ack()  # taken away meanwhile: whoever owns it now reads on
                return
            turn_ends_s = time.monotonic() + TURN_S
        checkpoint.next_offset[tp] = record.offset + 1
        _apply(record, topic, tp, folds, worker)
    checkpoint.applied(event, len(records))
    metrics.records.inc(len(records))
    worker.notice(records[-1].timestamp_ms)
    await worker.save_if_full()


def _apply(record: Record, topic: Topic, tp: TP, folds: Sequence[Fold], worker: Worker) -> None:
    value = record.value or b""  # a tombstone has none
    problem = ""
    for fold in folds:
        try:
            fold.apply(topic, tp.partition, record.offset, value)
        except (Unreadable, UnreadableBatch) as e:
            problem = str(e)
    if problem:
        metrics.refused.inc()
        source = f"{tp.topic}/{tp.partition}/{record.offset}"
        letter = Output(DEAD_LETTERS, b"", _dead_letter(problem, source, value))
        worker.checkpoint.put([letter])


async def _next_records(event: Any, worker: Worker) -> Sequence[Record]:
    """Return of an event the records for which its partition waits; empty: it is of no use."""
    tp, next_offset = event.message.tp, worker.checkpoint.next_offset
    if tp not in next_offset:
        await worker.restored.wait()
    expected = next_offset.get(tp)
    if expected is None:
        return ()  # the partition was taken away meanwhile: its new owner reads it
    records = records_of(event)
    if records[0].offset < expected:
        fresh = [record for record in records if record.offset >= expected]
        metrics.repeated.inc(len(records) - len(fresh))
        records = fresh
    if records and records[-1].offset - expected + 1 != len(records):
        await worker.seek_back(tp, records[0].offset)
        return ()
    worker.sought.discard(tp)
    return records


def _dead_letter(reason: str, source: str, value: bytes) -> bytes:
    if len(value) > LETTER_BYTES_MAX:
        reason += f" (the first {LETTER_BYTES_MAX} of {len(value)} bytes)"
    letter = DeadLetter(
        reason=reason, source=source, payload=value[:LETTER_BYTES_MAX], recv_ns=time.time_ns()
    )
    return encode_dead_letter(letter)
