"""Rules of alerts as the topics tell of them, and as they may be shown: targets masked; no I/O."""

from typing import Any

import msgspec

from runtime.errors import Poison
from schemas.alerts import AlertState, Rule, decode_alert_state, decode_rule, encode_alert
from schemas.topics import ALERTS
from sinks.alerts.targets import masked

RULES_MAX = 1_000


class AlertTable:
    """The rules, and what became of each; ``take`` keeps it up to date."""

    def __init__(self) -> None:
        self.rules: dict[str, Rule] = {}
        self._states: dict[str, dict[str, AlertState]] = {}

    def take(self, topic: str, key: bytes | None, value: bytes | None) -> None:
        """Take a record of one of the two topics (without prefix); raise Poison."""
        try:
            text = (key or b"").decode()
            if topic == ALERTS.name:
                self.rules.pop(text, None)
                if value is not None:
                    self.rules[text] = decode_rule(value)
                return
            rule_id, _, subject = text.partition("|")
            states = self._states.setdefault(rule_id, {})
            states.pop(subject, None)
            if value is not None:
                states[subject] = decode_alert_state(value)
            elif not states:
                del self._states[rule_id]
        except (msgspec.MsgspecError, ValueError) as e:
            raise Poison(f"{topic}: {e}", payload=b"") from e  # not kept: it may hold secrets

    def view(self, rule: Rule) -> dict[str, Any]:
        """Return a rule without its secrets, when it was told last, and what is not delivered."""
        shown: dict[str, Any] = msgspec.json.decode(encode_alert(rule))
        states = self._states.get(rule.id, {}).values()
        fired_ms = [t.fired_ms for s in states for t in s.triggers.values() if t.fired_ms]
        return shown | {
            "to": [masked(url) for url in rule.to],
            "fired_ms": max(fired_ms, default=None),
            "active": sorted(
                s.subject
                for s in states
                if any(not t.is_armed and t.fired_ms for t in s.triggers.values())
            )[:100],
            "crossings": sum(s.crossings for s in states),
            "waiting": sum(len(s.waiting) for s in states),
        }
