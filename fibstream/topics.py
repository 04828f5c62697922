"""The topics of the pipeline, created from the catalogue."""

from processors.app import changelog_topic
from runtime.kafka import ensure_topics, topic_specs, wait_for_broker
from runtime.settings import Settings
from schemas.topics import CATALOGUE


async def create_topics(settings: Settings) -> list[str]:
    """Create what is missing and return its names; raise Misconfigured where the shape differs."""
    await wait_for_broker(settings.kafka_bootstrap)
    specs = [*topic_specs(settings, CATALOGUE), changelog_topic(settings)]
    return await ensure_topics(settings.kafka_bootstrap, specs)
