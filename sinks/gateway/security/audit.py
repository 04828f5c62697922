"""The log of calls that need more than reading rights: a line, and a record of ``md.audit.v1``.

The call does not wait for Kafka: where it does not acknowledge, the line is what stays. Calls of
nobody that is known are no entries: anybody could make as many as they like.
"""

import time
from collections.abc import Awaitable, Callable

import structlog

from schemas.keys import AuditEntry
from sinks.gateway.security.admission import Visit

logger = structlog.get_logger(__name__)

Append = Callable[[AuditEntry], Awaitable[None]]


class Audit:
    """``note`` what was asked, by whom, and what was answered."""

    def __init__(self, append: Append) -> None:
        self._append = append

    async def note(self, visit: Visit, status: int) -> None:
        """Log one call."""
        caller = visit.caller
        entry = AuditEntry(
            at_ms=time.time_ns() // 1_000_000,
            key_id=caller.key_id if caller else "",
            name=caller.name if caller else "",
            role=caller.role.text if caller else "nobody",
            ip=visit.ip,
            method=visit.method,
            path=visit.told,
            status=status,
        )
        logger.info(
            "call_audited",
            key_id=entry.key_id,
            name=entry.name,
            role=entry.role,
            ip=entry.ip,
            method=entry.method,
            path=entry.path,
            status=status,
        )
        await self._append(entry)
