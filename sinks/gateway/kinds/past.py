"""The states that a compacted topic still has from before its newest records, newest first.

Read backwards, in stretches of growing length: what was told last of a symbol is found first, so
each symbol is told once, and never an older state after a newer one.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import structlog
from aiokafka import TopicPartition

from runtime.errors import Poison
from sinks.gateway.kinds.known import Latest

logger = structlog.get_logger(__name__)

STRETCH_RECORDS = 5_000  # of each partition, to begin with
RECORDS_MAX = 5_000_000  # in all; symbols that were told before are not known until they change
POLL_MS = 500
POLL_RECORDS_MAX = 500
REST_S = 0.01  # between polls: clients come first

Offsets = Mapping[TopicPartition, int]


async def read_older(
    consumer: Any, begins: Offsets, ends: Offsets, merge: Callable[[Latest], object]
) -> None:
    """Read what stands between two offsets of each partition, and ``merge`` it by and by."""
    size, total = STRETCH_RECORDS, 0
    while any(ends[tp] > begins[tp] for tp in ends):
        starts = {tp: max(begins[tp], end - size) for tp, end in ends.items()}
        stretch = Latest()
        total += await _read(consumer, starts, ends, stretch)
        merge(stretch)
        ends, size = starts, size * 2
        if total > RECORDS_MAX:
            logger.warning("older_states_unread", records_max=RECORDS_MAX)
            return


async def _read(consumer: Any, starts: Offsets, ends: Offsets, into: Latest) -> int:
    unread = {tp for tp in ends if starts[tp] < ends[tp]}
    for tp in ends:
        consumer.seek(tp, starts[tp])
        if tp in unread:
            consumer.resume(tp)
        else:
            consumer.pause(tp)
    count = 0
    while unread:
        polled = await consumer.getmany(*unread, timeout_ms=POLL_MS, max_records=POLL_RECORDS_MAX)
        for tp, messages in polled.items():
            count += len(messages)
            for message in messages:
                if message.offset < ends[tp] and message.value is not None:
                    _take(into, message)
        for tp in list(unread):
            if await consumer.position(tp) >= ends[tp]:
                unread.discard(tp)
                consumer.pause(tp)
        await asyncio.sleep(REST_S)
    return count


def _take(into: Latest, message: Any) -> None:
    try:
        for _ in into.take(message.value, lambda _: False):
            pass
    except Poison as e:
        logger.warning("record_refused", offset=message.offset, reason=e.reason)
