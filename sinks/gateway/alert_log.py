"""The edge to Kafka of alerts: rules and states in, rules out."""

from collections.abc import Mapping

from runtime.settings import Settings
from schemas.alerts import Rule, encode_alert
from schemas.topics import ALERT_STATES, ALERTS
from sinks.gateway.alert_rules import AlertTable
from sinks.gateway.compacted import CompactedLog

TOPICS = (ALERTS, ALERT_STATES)


class AlertLog(CompactedLog):
    """A CompactedLog; ``write`` rules (None: no more)."""

    def __init__(self, settings: Settings, table: AlertTable) -> None:
        super().__init__(settings, TOPICS, table.take)

    async def write(self, changes: Mapping[str, Rule | None]) -> None:
        """Make rules durable and visible here; raise Retriable when that is not certain."""
        records = [
            (rule_id, None if rule is None else encode_alert(rule))
            for rule_id, rule in changes.items()
        ]
        await self.read_back(ALERTS, await self.append(ALERTS, records))
