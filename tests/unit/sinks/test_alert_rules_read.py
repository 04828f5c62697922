"""A rule that comes while rules are being read is read for, too."""

import asyncio

import pytest
from alerting import rule

from runtime.errors import Retriable
from runtime.settings import Settings
from sinks.alerts.app import Alerts


class Reading:
    """A feed whose reading is told when to end, and with what."""

    def __init__(self, alerts: Alerts) -> None:
        self.read_for: list[int] = []
        self.during: list = []
        self._machine = alerts._machine
        alerts._feed = self

    async def read(self, lookback_ms: int, *, has_rules: bool) -> None:
        self.read_for.append(lookback_ms)
        if self.during:
            self.during.pop(0)()


def away() -> None:
    raise Retriable("Kafka: away", retry_after_s=0.0)


@pytest.fixture
async def alerts():
    alerts = Alerts(Settings(_env_file=None, kafka_bootstrap="127.0.0.1:1"), asyncio.Event())
    yield alerts
    await alerts._journal.close()


async def test_a_rule_written_while_rules_are_read_is_looked_back_for(alerts):
    reading = Reading(alerts)

    def another() -> None:
        alerts._machine.put(rule("volume-spike", id="two"))
        alerts._rules_changed()

    reading.during = [another]
    for _ in range(3):
        await alerts._read_what_rules_need()
    first, second = reading.read_for
    assert (first, second > 0) == (0, True)


async def test_rules_that_could_not_be_read_for_are_tried_again(alerts):
    reading = Reading(alerts)
    reading.during = [away, away]
    await alerts._insist(alerts._read_what_rules_need)
    assert len(reading.read_for) == 3
