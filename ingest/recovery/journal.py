"""Progress on ``md.recovery.v1``: read once at the start, written after each step, and awaited."""

from collections.abc import Iterator

import msgspec
import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from ingest.recovery import metrics
from ingest.recovery.delivery import KafkaAway
from runtime.follow import Follower
from runtime.settings import Settings
from schemas.recovery import Backfill, Recovery, decode_progress, encode_progress
from schemas.topics import RECOVERY

logger = structlog.get_logger(__name__)


class Journal:
    """What every gap and every backfill has come to, by key."""

    def __init__(self, settings: Settings, producer: AIOKafkaProducer) -> None:
        self._bootstrap = settings.kafka_bootstrap
        self._topic = settings.kafka_topic_prefix + RECOVERY.name
        self._producer = producer
        self._found: dict[str, Recovery | Backfill] = {}

    async def load(self) -> None:
        """Read the topic to its end."""
        async with Follower(self._bootstrap, [self._topic], self._take) as follower:
            await follower.ready()

    def gaps(self) -> Iterator[Recovery]:
        """Yield the gaps in it."""
        return (one for one in self._found.values() if isinstance(one, Recovery))

    def backfill(self, key: str) -> Backfill | None:
        """Return a backfill of before."""
        found = self._found.get(key)
        return found if isinstance(found, Backfill) else None

    async def write(self, progress: Recovery | Backfill) -> None:
        """Return when it is stored; raise KafkaAway."""
        try:
            await self._producer.send_and_wait(
                self._topic, encode_progress(progress), key=progress.key.encode(), partition=0
            )
        except KafkaError as e:
            raise KafkaAway(f"Kafka did not store progress: {e!r}", retry_after_s=1.0) from e

    def _take(self, _topic: str, key: bytes | None, value: bytes | None) -> None:
        name = (key or b"").decode(errors="replace")
        if value is None:
            self._found.pop(name, None)
            return
        try:
            self._found[name] = decode_progress(value)
        except msgspec.MsgspecError as e:
            metrics.unreadable.inc()
            logger.warning("progress_unreadable", key=name, reason=str(e))
