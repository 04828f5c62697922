"""The edge to Kafka: the compacted topics of keys and tokens in and out, audit entries out."""

import asyncio

import structlog

from runtime.errors import Retriable
from runtime.settings import Settings
from schemas.keys import (
    ApiKey,
    AuditEntry,
    TokenFamily,
    encode_audit,
    encode_family,
    encode_key,
)
from schemas.topics import AUDIT, KEYS, TOKEN_FAMILIES
from sinks.gateway.compacted import STOP_WITHIN_S, CompactedLog
from sinks.gateway.security import metrics
from sinks.gateway.security.families import Families
from sinks.gateway.security.keys import KeyTable

logger = structlog.get_logger(__name__)

ENTRIES_PENDING_MAX = 1_000
TRIES_EVERY_S = 2.0


class KeyLog(CompactedLog):
    """A CompactedLog; ``write`` keys, ``write_use`` of tokens, ``audit`` calls."""

    def __init__(self, settings: Settings, table: KeyTable, families: Families) -> None:
        takes = {KEYS.name: table.take, TOKEN_FAMILIES.name: families.take}
        super().__init__(
            settings,
            (KEYS, TOKEN_FAMILIES),
            lambda topic, *record: takes[topic](*record),
            appends=(AUDIT,),
        )
        self._pending: set[asyncio.Task[None]] = set()
        self._is_delayed = False

    async def close(self) -> None:
        """Disconnect, after what is pending or a while."""
        if self._pending:
            _, unwritten = await asyncio.wait(self._pending, timeout=STOP_WITHIN_S)
            for task in unwritten:
                metrics.UNAUDITED.inc()
                task.cancel()
            if unwritten:
                logger.error("audit_unwritten", entries=len(unwritten))
        await super().close()

    async def write(self, key: ApiKey) -> None:
        """Make a key durable and known here; raise Retriable when that is not certain."""
        await self.read_back(KEYS, await self.append(KEYS, [(key.id, encode_key(key))]))

    async def write_use(self, family: TokenFamily) -> None:
        """Make the use of a token known to all gateways; raise Retriable when not certain."""
        record = (family.id, encode_family(family))
        await self.read_back(TOKEN_FAMILIES, await self.append(TOKEN_FAMILIES, [record]))

    async def audit(self, entry: AuditEntry) -> None:
        """Write an audit entry without a wait for it."""
        if len(self._pending) >= ENTRIES_PENDING_MAX:
            metrics.UNAUDITED.inc()
            return
        task = asyncio.create_task(self._audit(entry))
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)

    async def _audit(self, entry: AuditEntry) -> None:
        """Write it until it is written: at least once, or counted when the gateway ends."""
        while True:
            try:
                await self.append(AUDIT, [(None, encode_audit(entry))])
            except Retriable as e:
                if not self._is_delayed:  # once for all that wait
                    logger.warning("audit_delayed", reason=e.reason)
                self._is_delayed = True
                await asyncio.sleep(TRIES_EVERY_S)
            else:
                self._is_delayed = False
                return
