"""What becomes of a record of Kafka that cannot be read: counted and told, and reading goes on."""

from typing import Any

import structlog

from runtime.errors import Poison
from sinks.gateway import metrics

logger = structlog.get_logger(__name__)


def refuse(topic: str, message: Any, error: Poison) -> None:
    """Count and tell a record; ``topic`` is its name without the prefix."""
    metrics.REFUSED.labels(topic).inc()
    logger.warning(
        "record_refused",
        topic=topic,
        partition=message.partition,
        offset=message.offset,
        reason=error.reason,
    )
