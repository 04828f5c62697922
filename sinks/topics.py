"""The topics that a reader needs, made where they are missing."""

from collections.abc import Iterable

from runtime.kafka import TopicSpec, ensure_topics
from runtime.settings import Settings
from schemas.topics import Topic


async def ensure(settings: Settings, topics: Iterable[Topic]) -> None:
    """Create what is missing; raise Misconfigured where one has another shape."""
    specs = [
        TopicSpec(
            name=settings.kafka_topic_prefix + topic.name,
            partitions=topic.partitions or settings.kafka_partitions,
            replication=settings.kafka_replication,
            config=topic.settings(settings.kafka_replication),
        )
        for topic in topics
    ]
    await ensure_topics(settings.kafka_bootstrap, specs)
