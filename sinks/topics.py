"""The topics that a reader needs, made where they are missing."""

from collections.abc import Iterable

from runtime.kafka import ensure_topics, topic_specs
from runtime.settings import Settings
from schemas.topics import Topic


async def ensure(settings: Settings, topics: Iterable[Topic]) -> None:
    """Create what is missing; raise Misconfigured where one has another shape."""
    await ensure_topics(settings.kafka_bootstrap, topic_specs(settings, topics))
