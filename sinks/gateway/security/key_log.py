"""The edge to Kafka: the compacted topic of keys in and out, and audit entries out."""

import asyncio

import structlog

from runtime.errors import Retriable
from runtime.settings import Settings
from schemas.keys import ApiKey, AuditEntry, encode_audit, encode_key
from schemas.topics import AUDIT, KEYS
from sinks.gateway.compacted import STOP_WITHIN_S, CompactedLog
from sinks.gateway.security import metrics
from sinks.gateway.security.keys import KeyTable

logger = structlog.get_logger(__name__)

ENTRIES_PENDING_MAX = 1_000


class KeyLog(CompactedLog):
    """A CompactedLog; ``write`` keys, ``audit`` calls."""

    def __init__(self, settings: Settings, table: KeyTable) -> None:
        super().__init__(
            settings, (KEYS,), lambda _, *record: table.take(*record), appends=(AUDIT,)
        )
        self._pending: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Disconnect, after what is pending or a while."""
        if self._pending:
            await asyncio.wait(self._pending, timeout=STOP_WITHIN_S)
        await super().close()

    async def write(self, key: ApiKey) -> None:
        """Make a key durable and known here; raise Retriable when that is not certain."""
        await self.read_back(KEYS, await self.append(KEYS, [(key.id, encode_key(key))]))

    async def audit(self, entry: AuditEntry) -> None:
        """Write an audit entry without a wait for it."""
        if len(self._pending) >= ENTRIES_PENDING_MAX:
            metrics.UNAUDITED.inc()
            return
        task = asyncio.create_task(self._audit(entry))
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)

    async def _audit(self, entry: AuditEntry) -> None:
        try:
            await self.append(AUDIT, [(None, encode_audit(entry))])
        except Retriable as e:
            metrics.UNAUDITED.inc()
            logger.warning("audit_unwritten", reason=e.reason)
