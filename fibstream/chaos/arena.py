"""Where it happens: a broker whose data is kept, an exchange, its ingestors, and the workers.

Ingestors reach the broker directly: what is judged is made of what they could write.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from fibstream.chaos.crew import WORKER, Crew
from fibstream.chaos.proxy import FaultProxy
from fibstream.chaos.schedule import EVERYBODY, KILLS, Act, Sick
from fibstream.machine import simulated_urls, simulator_child
from fibstream.topics import create_topics
from runtime.child import ChildSpec
from runtime.kafka import wait_for_broker
from runtime.ports import free_port
from runtime.servers.kafka import EmbeddedKafka
from runtime.servers.process import ServerDied
from runtime.settings import Settings
from runtime.supervisor import Supervisor
from simulator import SimulatorOptions

logger = structlog.get_logger(__name__)

# On a machine with other things to do a JVM takes minutes; to end it then is to begin again.
BROKER_WITHIN_S = 300.0
STARTS_MAX = 3  # somebody may have taken one of its ports meanwhile


class Broker:
    """The broker that is stopped and started, on one port and with one folder."""

    def __init__(self, folder: Path, proxies: Sequence[FaultProxy], *, heap_mb: int) -> None:
        self.port = free_port()
        self._folder = folder
        self._heap_mb = heap_mb
        self._doors = {proxy.target_port: proxy.port for proxy in proxies}
        self._kafka: EmbeddedKafka | None = None
        self._lock = asyncio.Lock()  # one outage at a time

    @property
    def bootstrap(self) -> str:
        """The address that no proxy stands in front of."""
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start it, and return when it answers."""
        for left in reversed(range(STARTS_MAX)):
            self._kafka = EmbeddedKafka(
                self._folder,
                port=self.port,
                heap_mb=self._heap_mb,
                doors=self._doors,
                start_within_s=BROKER_WITHIN_S,
            )
            try:
                await self._kafka.start()
            except ServerDied:
                await self._kafka.stop()
                if not left:
                    raise
            else:
                return

    async def stop(self) -> None:
        """Stop it in order, if it runs."""
        if self._kafka is not None:
            await self._kafka.stop()

    async def away(self, for_s: float, *, by_kill: bool) -> None:
        """Let it be away for a while; return when it answers again, and did so for as long.

        Where it takes long to come back, workers take long to start: the next outage waits for
        them, or none of them would ever be ready.
        """
        loop = asyncio.get_running_loop()
        async with self._lock:
            gone_s = loop.time()
            if by_kill and self._kafka is not None:
                os.kill(self._kafka.pid, signal.SIGKILL)
            await self.stop()
            await asyncio.sleep(for_s)
            await self.start()
            await asyncio.sleep(loop.time() - gone_s)


@dataclass(kw_only=True)
class Arena:
    """A running arena; ``done`` are the acts that had an effect."""

    settings: Settings
    broker: Broker
    crew: Crew
    simulator_port: int
    done: list[Act] = field(default_factory=list)

    async def play(self, acts: Sequence[Act]) -> None:
        """Do each act at its time, several at once where they overlap; return after the last."""
        began_s = asyncio.get_running_loop().time()

        async def at_its_time(act: Act) -> None:
            await asyncio.sleep(began_s + act.at_s - asyncio.get_running_loop().time())
            logger.info("act_begun", kind=act.kind, target=act.target, for_s=act.for_s)
            if await self.enact(act):
                self.done.append(act)

        async with asyncio.TaskGroup() as playing:
            for act in acts:
                playing.create_task(at_its_time(act))

    async def enact(self, act: Act) -> bool:
        """Do one act from its beginning to its end; say whether it had an effect."""
        name, crew = act.target, self.crew
        match act.kind:
            case "kill-broker" | "stop-broker":
                await self.broker.away(act.for_s, by_kill=act.kind == "kill-broker")
                had_effect = True
            case "kill":
                had_effect = await crew.strike(name, signal.SIGKILL)
            case "terminate":
                had_effect = await crew.strike(name, signal.SIGTERM)
            case "freeze":
                had_effect = await crew.strike(name, signal.SIGSTOP)
                await asyncio.sleep(act.for_s)
                crew.wake(name)
            case "leave":
                had_effect = await crew.leave(name)
                await asyncio.sleep(act.for_s)
                await crew.join(name)
            case "join":
                await crew.join(name)
                await asyncio.sleep(act.for_s)
                had_effect = await crew.leave(name)
            case sickness:
                had_effect = await self._sicken(act, sickness)
        return had_effect

    async def _sicken(self, act: Act, sickness: Sick) -> bool:
        proxies = self.crew.proxies
        chosen = list(proxies.values()) if act.target == EVERYBODY else [proxies[act.target]]
        for proxy in chosen:
            proxy.inflict(sickness, delay_s=act.delay_s)
        await asyncio.sleep(act.for_s)
        for proxy in chosen:
            proxy.heal()
        return True

    @property
    def kills(self) -> int:
        """How many processes were ended or stopped."""
        return sum(act.kind in KILLS for act in self.done)


@asynccontextmanager
async def arena(
    settings: Settings,
    simulator: SimulatorOptions,
    *,
    workers: Sequence[str],
    guests: Sequence[str],
    argv: Sequence[str] = WORKER,
) -> AsyncIterator[Arena]:
    """Start everything, and yield it with the workers ready and trades on their way."""
    async with AsyncExitStack() as stack:
        proxies = {name: FaultProxy() for name in (*workers, *guests)}
        for proxy in proxies.values():
            await proxy.start()
            stack.push_async_callback(proxy.stop)
        folder = settings.data_dir
        broker = Broker(folder / "kafka", list(proxies.values()), heap_mb=settings.kafka_heap_mb)
        stack.push_async_callback(broker.stop)
        exchange = await stack.enter_async_context(
            Supervisor([simulator_child(simulator)], data_dir=folder)
        )
        await asyncio.gather(broker.start(), exchange.start())
        settings = settings.model_copy(update={"kafka_bootstrap": broker.bootstrap})
        await wait_for_broker(settings.kafka_bootstrap)
        await create_topics(settings)
        crew = await stack.enter_async_context(Crew(settings, proxies, argv))
        ingestors = [_ingestor(settings, name, exchange) for name in simulator.exchanges]
        feed = await stack.enter_async_context(Supervisor(ingestors, data_dir=folder))
        await asyncio.gather(feed.start(), *(crew.join(name) for name in workers))
        port = int(exchange.facts["simulator"]["port"])
        yield Arena(settings=settings, broker=broker, crew=crew, simulator_port=port)


def _ingestor(settings: Settings, name: str, exchange: Supervisor) -> ChildSpec:
    own = {"exchange": name, "metrics_port": 0, **simulated_urls(name, exchange.facts)}
    return ChildSpec(
        name=f"ingest-{name}",
        argv=[sys.executable, "-m", "fibstream", "ingest"],
        env=settings.model_copy(update=own).environment(),
        after=(),
    )
