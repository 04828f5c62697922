"""The topics of the pipeline, created from the catalogue."""

from processors.app import changelog_topic
from runtime.kafka import TopicSpec, ensure_topics, wait_for_broker
from runtime.settings import Settings
from schemas.topics import CATALOGUE


def topic_specs(settings: Settings) -> list[TopicSpec]:
    """Return every topic under the configured prefix, the worker's changelog among them."""
    specs = [
        TopicSpec(
            name=settings.kafka_topic_prefix + topic.name,
            partitions=topic.partitions or settings.kafka_partitions,
            replication=settings.kafka_replication,
            config=topic.settings(settings.kafka_replication),
        )
        for topic in CATALOGUE
    ]
    return [*specs, changelog_topic(settings)]


async def create_topics(settings: Settings) -> list[str]:
    """Create what is missing and return its names; raise Misconfigured where the shape differs."""
    await wait_for_broker(settings.kafka_bootstrap)
    return await ensure_topics(settings.kafka_bootstrap, topic_specs(settings))
