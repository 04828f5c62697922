"""Departure: a worker that was killed cannot leave its group, so its successor does it for it.

Else the broker waits for the dead one's session to end before anybody is given its partitions. Who
is dead is told by a lock: a folder has one process at a time, and the kernel frees it at its death.
"""

import fcntl
from pathlib import Path
from typing import Any

import structlog
from aiokafka.errors import KafkaError
from aiokafka.protocol.group import LeaveGroupRequest

from runtime.kafka import admin

logger = structlog.get_logger(__name__)


class Residence:
    """The folder of a worker, and which member of the group lives there."""

    def __init__(self, folder: Path) -> None:
        self._member = folder / "member"
        self._lock = (folder / "worker.lock").open("w")
        self._is_ours = self._occupy()

    def predecessor(self) -> str:
        """Return the member that died here; empty: none, or somebody still lives here."""
        if not self._is_ours or not self._member.exists():
            return ""
        return self._member.read_text()

    def move_in(self, member: str) -> None:
        """Write down who lives here."""
        if self._is_ours:
            self._member.write_text(member)

    def move_out(self) -> None:
        """Leave nothing to clean up."""
        if self._is_ours:
            self._member.unlink(missing_ok=True)

    def _occupy(self) -> bool:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logger.warning("folder_shared", folder=str(self._member.parent))
            return False
        return True


async def leave_for(bootstrap: str, group: str, member: str) -> None:
    """Take a dead member out of its group; without success its session ends by itself."""
    try:
        async with admin(bootstrap) as client:
            coordinator = await client.find_coordinator(group)
            request: Any = LeaveGroupRequest(group, member)
            response: Any = await client._send_request(request, coordinator)  # noqa: SLF001
    except KafkaError as e:
        logger.warning("departure_failed", member=member, reason=repr(e))
        return
    logger.info("predecessor_left", member=member, error=response.error_code)
