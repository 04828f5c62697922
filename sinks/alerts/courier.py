"""Who brings crossings to their targets: again after failures, and at last to the dead letters.

What waits for one target of one rule goes in one message, so a storm of crossings is no storm of
messages. What was brought is noted afterwards: a kill between the two brings it once more.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass

import structlog

from runtime.backoff import Backoff
from schemas.alerts import Crossing, Rule
from schemas.dead_letters import DeadLetter
from sinks.alerts import metrics
from sinks.alerts.machine import Key, Machine
from sinks.alerts.messages import body, letter, title
from sinks.alerts.targets import masked

logger = structlog.get_logger(__name__)

WAITING_MAX = 1_000  # crossings; of more the oldest become dead letters
SENDING_MAX = 8  # messages at a time
TRIES_MAX = 30  # with the pauses below about three quarters of an hour
PAUSES = Backoff(first_s=1.0, max_s=120.0)

Send = Callable[[str, str, str], Awaitable[str]]
"""URL, title, body; it returns why it failed, "" when it did not."""
Address = tuple[str, int, int]
"""Rule, its version, and which of its targets."""


@dataclass(slots=True)
class Parcel:
    """What goes to one target in one message."""

    rule: Rule
    target: int
    items: list[tuple[Key, Crossing]]

    @property
    def address(self) -> Address:
        """Where it goes."""
        return self.rule.id, self.rule.changed_ms, self.target

    def settle(self, machine: Machine) -> None:
        """Note that all of it needs to be told no more."""
        for key, crossing in self.items:
            machine.settle(key, self.rule.changed_ms, (crossing.number,), self.target)


@dataclass(slots=True)
class _Trial:
    tries: int = 0
    next_s: float = 0.0


class Courier:
    """``send_due``, then ``finish``, which says what to bury; both between two stores."""

    def __init__(
        self,
        machine: Machine,
        send: Send,
        *,
        pauses: Backoff = PAUSES,
        tries_max: int = TRIES_MAX,
        waiting_max: int = WAITING_MAX,
    ) -> None:
        self._machine = machine
        self._send = send
        self._pauses = pauses
        self._tries_max = tries_max
        self._waiting_max = waiting_max
        self._trials: dict[Address, _Trial] = {}
        self._sending: dict[asyncio.Task[str], Parcel] = {}

    def send_due(self, now_s: float) -> None:
        """Begin to send what is stored and whose pause is over."""
        busy = {parcel.address for parcel in self._sending.values()}
        for parcel in self._parcels():
            if len(self._sending) >= SENDING_MAX:
                return
            trial = self._trials.setdefault(parcel.address, _Trial())
            if parcel.address in busy or trial.next_s > now_s:
                continue
            url = parcel.rule.to[parcel.target]
            work = self._send(url, title(parcel.rule), body(parcel.items))
            self._sending[asyncio.ensure_future(work)] = parcel

    def finish(self, now_s: float) -> list[tuple[Parcel, DeadLetter]]:
        """Note what was brought; return what is given up, to be buried and then settled."""
        given_up = list(self._too_many())
        for task in [task for task in self._sending if task.done()]:
            parcel = self._sending.pop(task)
            reason = task.result()
            if not reason:
                self._trials.pop(parcel.address, None)
                self._delivered(parcel)
            elif self._failed(parcel, reason, now_s):
                given_up.append((parcel, letter(parcel.rule, parcel.target, parcel.items, reason)))
        known = {(rule.id, rule.changed_ms) for rule in self._machine.rules.values()}
        for address in [a for a in self._trials if a[:2] not in known]:
            del self._trials[address]
        return given_up

    async def wait(self, timeout_s: float) -> None:
        """Return when nothing is being sent, or after a while."""
        if self._sending:
            await asyncio.wait(self._sending, timeout=timeout_s)

    def _parcels(self) -> Iterator[Parcel]:
        """Group what waits by target, those first that wait longest."""
        found: dict[Address, Parcel] = {}
        for key in self._machine.waiting:
            rule, state = self._machine.rules[key[0]], self._machine.states[key]
            for crossing in state.waiting:
                for target in crossing.left:
                    parcel = Parcel(rule, target, [])
                    found.setdefault(parcel.address, parcel).items.append((key, crossing))
        return iter(found.values())

    def _too_many(self) -> Iterator[tuple[Parcel, DeadLetter]]:
        every = [(key, c) for key in self._machine.waiting for c in self._waiting(key)]
        metrics.WAITING.set(len(every))
        over = len(every) - self._waiting_max
        if over <= 0:
            return
        going = {(key, c.number) for parcel in self._sending.values() for key, c in parcel.items}
        every.sort(key=lambda each: each[1].at_ms)
        for key, crossing in [e for e in every if (e[0], e[1].number) not in going][:over]:
            rule = self._machine.rules[key[0]]
            for target in crossing.left:
                parcel = Parcel(rule, target, [(key, crossing)])
                reason = f"more than {self._waiting_max} crossings wait"
                metrics.DELIVERIES.labels("dead").inc()
                yield parcel, letter(rule, target, parcel.items, reason)

    def _waiting(self, key: Key) -> Iterable[Crossing]:
        return self._machine.states[key].waiting

    def _delivered(self, parcel: Parcel) -> None:
        metrics.DELIVERIES.labels("delivered").inc()
        oldest_ms = min(crossing.at_ms for _, crossing in parcel.items)
        metrics.DELAY.observe(max(0.0, time.time() - oldest_ms / 1_000))
        parcel.settle(self._machine)
        logger.info("alert_delivered", rule=parcel.rule.id, crossings=len(parcel.items))

    def _failed(self, parcel: Parcel, reason: str, now_s: float) -> bool:
        """Say whether it was the last try."""
        trial = self._trials.setdefault(parcel.address, _Trial())
        trial.tries += 1
        is_last = trial.tries >= self._tries_max
        pause_s = self._pauses.delay_s(trial.tries, random.random())  # noqa: S311 - no secret
        trial.next_s = now_s + pause_s
        metrics.DELIVERIES.labels("dead" if is_last else "failed").inc()
        logger.warning(
            "alert_not_delivered",
            rule=parcel.rule.id,
            to=masked(parcel.rule.to[parcel.target]),
            reason=reason,
            tries=trial.tries,
            retry_after_s=None if is_last else round(pause_s, 1),
        )
        if is_last:
            del self._trials[parcel.address]
        return is_last
