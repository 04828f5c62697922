"""Alerts as a process: read, judge, store, deliver, in one loop; one process is enough.

Two would tell everything twice: nothing divides the work among them.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable

import structlog

from runtime import ready
from runtime.errors import Retriable
from runtime.kafka import wait_for_broker
from runtime.settings import Settings
from schemas.alerts import ConsumerLag, DiskFree, Rule
from sinks.alerts import gauges, metrics, targets
from sinks.alerts.courier import Courier, Send
from sinks.alerts.feed import Feed
from sinks.alerts.journal import Journal
from sinks.alerts.machine import Machine

logger = structlog.get_logger(__name__)

TICK_S = 1.0
MEASURE_EVERY_S = 5.0
STOP_WITHIN_S = 5.0


class Stopped(Exception):  # noqa: N818 - reads as what happened
    """The process ends while Kafka is away; what was not noted may be told once more."""


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Judge and deliver until ``stop``; what is not delivered then is after the next start."""
    await wait_for_broker(settings.kafka_bootstrap)
    alerts = Alerts(settings, stop)
    try:
        await alerts.open()
        ready.announce()
        await alerts.run()
    finally:
        await alerts.close()
    logger.info("alerts_stopped")


class Alerts:
    """The parts of the process, put together."""

    def __init__(
        self,
        settings: Settings,
        stop: asyncio.Event,
        send: Send = targets.send,
        make_courier: Callable[[Machine, Send], Courier] = Courier,
    ) -> None:
        self._settings = settings
        self._stop = stop
        self._machine = Machine()
        self._feed = Feed(settings, self._machine)
        self._journal = Journal(settings, self._machine, self._rules_changed)
        self._courier = make_courier(self._machine, send)
        self._are_rules_new = True
        self._ticked_s = 0.0
        self._measuring: asyncio.Task[gauges.Lags] | None = None
        self._measured_s = 0.0

    async def open(self) -> None:
        """Load what is stored, and begin to read; raise Retriable while Kafka is away."""
        await self._feed.open()
        await self._journal.open()
        await self._read_what_rules_need()
        logger.info("alerts_live", rules=len(self._machine.rules), states=len(self._machine.states))

    async def close(self) -> None:
        """Disconnect."""
        if self._measuring is not None:
            self._measuring.cancel()
            await asyncio.gather(self._measuring, return_exceptions=True)
        await self._journal.close()
        await self._feed.close()

    async def run(self) -> None:
        """Work until told to stop; then wait a moment for what is being sent."""
        try:
            while not self._stop.is_set():
                await self.step()
            await self._courier.wait(STOP_WITHIN_S)
            await self._settle()
        except Stopped:
            logger.warning("alerts_stopped_unsettled", waiting=len(self._machine.waiting))

    async def step(self) -> None:
        """Judge what came, store what that changed, and only then deliver it."""
        self._journal.check()
        await self._insist(self._read_what_rules_need)
        await self._insist(self._feed.step)
        self._judge_by_clock()
        await self._settle()
        self._courier.send_due(time.monotonic())

    async def _settle(self) -> None:
        """Note what was delivered; bury what is given up; store what changed."""
        given_up = self._courier.finish(time.monotonic())
        if given_up:
            await self._insist(lambda: self._journal.bury([letter for _, letter in given_up]))
        for parcel, _ in given_up:
            parcel.settle(self._machine)
        changes = self._machine.changes()
        if changes:
            await self._insist(lambda: self._journal.store(changes))
        for (kind, outcome), count in self._machine.outcomes.items():
            metrics.CROSSINGS.labels(kind, outcome).inc(count)
        self._machine.outcomes.clear()

    def _judge_by_clock(self) -> None:
        now_s = time.monotonic()
        if now_s - self._ticked_s < TICK_S or not self._feed.is_caught_up:
            return
        self._ticked_s = now_s
        metrics.STATES.set(len(self._machine.states))
        self._machine.tick(_now_ms())
        if now_s - self._measured_s >= MEASURE_EVERY_S:
            self._measured_s = now_s
            self._measure(self._machine.rules.values())

    def _measure(self, rules: Iterable[Rule]) -> None:
        paths = {rule.path for rule in rules if isinstance(rule, DiskFree) and rule.enabled}
        for path in paths:
            free = gauges.free_bytes(path)
            if free is not None:
                self._machine.take_disk(path, free, _now_ms())
        groups = {rule.group for rule in rules if isinstance(rule, ConsumerLag) and rule.enabled}
        if self._measuring is not None and self._measuring.done():
            self._take_lags(self._measuring)
            self._measuring = None
        if groups and self._measuring is None:
            self._measuring = asyncio.ensure_future(
                gauges.lags(self._settings.kafka_bootstrap, groups)
            )

    def _take_lags(self, measured: asyncio.Task[gauges.Lags]) -> None:
        try:
            self._machine.take_lags(measured.result(), _now_ms())
        except Retriable as e:
            logger.warning("lags_unknown", reason=e.reason)

    def _rules_changed(self) -> None:
        metrics.RULES.set(sum(rule.enabled for rule in self._machine.rules.values()))
        self._are_rules_new = True

    async def _read_what_rules_need(self) -> None:
        if not self._are_rules_new:
            return
        self._are_rules_new = False  # before it waits: the next rule may come meanwhile
        has_rules = any(rule.enabled for rule in self._machine.rules.values())
        try:
            await self._feed.read(self._machine.lookback_ms(), has_rules=has_rules)
        except Retriable:
            self._are_rules_new = True
            raise

    async def _insist(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do it until it is done: while Kafka is away nothing is judged, and nothing is lost."""
        while True:
            try:
                return await work()
            except Retriable as e:
                metrics.RETRIES.inc()
                logger.warning("retried_later", reason=e.reason, retry_after_s=e.retry_after_s)
                if self._stop.is_set():
                    raise Stopped from e
                await asyncio.sleep(e.retry_after_s)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
