"""One trigger: it fires when what it watches gets over its limit, once until that is released."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import msgspec

from schemas.alerts import Trigger

Outcome = Literal["", "fired", "cooled"]


class Judgement(NamedTuple):
    """What one event means to one direction of a rule; neither over nor released is hysteresis."""

    direction: str
    is_over: bool
    is_released: bool
    say: Callable[[], str]
    """Makes the text of a crossing: most judgements need none."""
    starts_armed: bool = True
    """False: what is over when it is first seen has crossed before anybody looked."""
    is_past: bool = False
    """It happened before the rule was written: it tells on which side to begin, and fires not."""


def step(
    trigger: Trigger | None, judged: Judgement, position: int, at_ms: int, cooldown_ms: int
) -> tuple[Trigger | None, Outcome]:
    """Return the trigger after an event, and what came of it."""
    if trigger is None:
        if judged.starts_armed and (judged.is_past or not judged.is_over):
            return None, ""  # as good as armed: nothing to remember
        trigger = Trigger(is_armed=judged.starts_armed or not judged.is_over)
    elif judged.is_past:
        return Trigger(is_armed=not judged.is_over), ""
    if trigger.is_armed and judged.is_over:
        if trigger.fired_position >= 0 and at_ms - trigger.fired_ms < cooldown_ms:
            cooled = msgspec.structs.replace(trigger, is_armed=False, fired_position=position)
            return cooled, "cooled"
        return Trigger(is_armed=False, fired_ms=at_ms, fired_position=position), "fired"
    # A corrected candle has the position of the one that fired: it releases nothing.
    if not trigger.is_armed and judged.is_released and position > trigger.fired_position:
        return msgspec.structs.replace(trigger, is_armed=True), ""
    return trigger, ""
