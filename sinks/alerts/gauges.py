"""What is measured and not read: lags of consumer groups, and free space; asked every so often."""

import os
from collections import defaultdict
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from runtime.errors import Retriable
from runtime.kafka import admin, close_consumer

logger = structlog.get_logger(__name__)

RETRY_AFTER_S = 5.0

Lags = dict[tuple[str, str], int]
"""By group and topic: records that are not read, of all partitions together."""


async def lags(bootstrap: str, patterns: Iterable[str]) -> Lags:
    """Ask Kafka how far the groups of those names are behind; raise Retriable."""
    wanted = list(patterns)
    try:
        async with admin(bootstrap) as client:
            groups = [group for group, *_ in await client.list_consumer_groups()]
            groups = [g for g in groups if any(fnmatchcase(g, each) for each in wanted)]
            committed = {group: await _committed(client, group) for group in groups}
        ends = await _ends(bootstrap, {tp for offsets in committed.values() for tp in offsets})
    except KafkaError as e:
        raise Retriable(f"Kafka: {e!r}", retry_after_s=RETRY_AFTER_S) from e
    found: Lags = defaultdict(int)
    for group, offsets in committed.items():
        for tp, offset in offsets.items():
            found[group, tp.topic] += max(0, ends.get(tp, offset) - offset)
    return dict(found)


async def _committed(client: AIOKafkaAdminClient, group: str) -> dict[TopicPartition, int]:
    found = await client.list_consumer_group_offsets(group)
    return {tp: each.offset for tp, each in found.items() if each.offset >= 0}


async def _ends(bootstrap: str, partitions: set[TopicPartition]) -> dict[TopicPartition, int]:
    if not partitions:
        return {}
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    try:
        await consumer.start()
        ends: dict[TopicPartition, int] = await consumer.end_offsets(list(partitions))
        return ends
    finally:
        await close_consumer(consumer)


def free_bytes(path: str, statvfs: Callable[[str], os.statvfs_result] = os.statvfs) -> int | None:
    """Return what is left to this user of the file system of ``path``; None where there is none."""
    try:
        found = statvfs(path)
    except OSError as e:
        logger.warning("disk_unseen", path=path, reason=e.strerror)
        return None
    return found.f_bavail * found.f_frsize
