"""The audit: what is told of whom, and what an outage of Kafka makes of it."""

import asyncio

import pytest
from structlog.testing import capture_logs

from runtime.errors import Retriable
from runtime.settings import Settings
from schemas.keys import AuditEntry
from sinks.gateway.security import key_log
from sinks.gateway.security.admission import Visit
from sinks.gateway.security.doorkeeper import ANONYMOUS, LOCAL, Caller
from sinks.gateway.security.families import Families
from sinks.gateway.security.key_log import KeyLog
from sinks.gateway.security.keys import KeyTable
from sinks.gateway.security.roles import Role

ENTRY = AuditEntry(
    at_ms=1, key_id="", name="", role="admin", ip="::1", method="GET", path="/", status=200
)
VIEWER = Caller("k", "desk", Role.VIEWER)


@pytest.mark.parametrize(
    ("needed", "caller", "is_audited"),
    [
        (Role.ADMIN, VIEWER, True),
        (Role.OPERATOR, LOCAL, True),
        (Role.OPERATOR, None, False),
        (Role.OPERATOR, ANONYMOUS, False),
        (Role.VIEWER, VIEWER, False),
        (None, VIEWER, False),
    ],
)
def test_only_changes_of_somebody_known_are_entries(needed, caller, is_audited):
    assert Visit("POST", "/", needed=needed, caller=caller).is_audited is is_audited


class Unsteady(KeyLog):
    """Kafka comes and goes as the test says."""

    is_away = True

    def __init__(self) -> None:
        settings = Settings(_env_file=None, kafka_bootstrap="127.0.0.1:1")
        super().__init__(settings, KeyTable(), Families())
        self.written = 0

    async def append(self, topic, records) -> int:
        if self.is_away:
            raise Retriable("Kafka: away", retry_after_s=0.0)
        self.written += 1
        return 0


async def test_entries_wait_for_kafka_and_an_outage_is_told_once(monkeypatch):
    monkeypatch.setattr(key_log, "TRIES_EVERY_S", 0)
    log = Unsteady()
    with capture_logs() as told:
        for outage in (1, 2):
            log.is_away = True
            for _ in range(50):
                await log.audit(ENTRY)
            for _ in range(20):
                await asyncio.sleep(0)
            log.is_away = False
            await asyncio.gather(*log._pending)
            assert log.written == 50 * outage
            assert [line["event"] for line in told] == ["audit_delayed"] * outage
