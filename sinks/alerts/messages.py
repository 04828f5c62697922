"""What is delivered: titles, bodies, and the dead letters of what could not be."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from schemas.alerts import Crossing, Rule
from schemas.dead_letters import DeadLetter
from sinks.alerts.machine import Key, kind_of
from sinks.alerts.targets import masked

LINES_MAX = 20  # of one message; the rest is counted


def title(rule: Rule) -> str:
    """Return the title of everything that a rule tells."""
    return f"{rule.id}: {rule.note or kind_of(rule)}"


def body(items: Sequence[tuple[Key, Crossing]]) -> str:
    """Return a line for each crossing, with its subject and time."""
    lines = [_line(*item) for item in items[:LINES_MAX]]
    if len(items) > LINES_MAX:
        lines.append(f"... and {len(items) - LINES_MAX} more")
    return "\n".join(lines)


def letter(
    rule: Rule, target: int, items: Sequence[tuple[Key, Crossing]], reason: str
) -> DeadLetter:
    """Return what is kept of a message that was given up; the target's URL is not in it."""
    to = masked(rule.to[target])
    told = [
        {
            "subject": key[1],
            "number": crossing.number,
            "at_ms": crossing.at_ms,
            "text": crossing.text,
        }
        for key, crossing in items
    ]
    return DeadLetter(
        reason=f"alert {rule.id} not delivered to {to}: {reason}",
        source=f"alerts/{rule.id}",
        payload=msgspec.json.encode({"rule": rule.id, "to": to, "crossings": told}),
        recv_ns=time.time_ns(),
    )


def _line(key: Key, crossing: Crossing) -> str:
    at = datetime.fromtimestamp(crossing.at_ms / 1_000, UTC)
    return f"{key[1]}: {crossing.text}, {at:%Y-%m-%d %H:%M:%S} UTC"
