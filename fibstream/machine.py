"""Everything on one machine: the embedded servers first, then the topics, then the stages.

Servers and stages are supervised apart, because topics can be made only between the two.
"""

import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fibstream.topics import create_topics
from fibstream.workers import worker_children
from runtime.child import ChildSpec
from runtime.errors import Misconfigured
from runtime.ports import check_port, free_port
from runtime.servers import kafka, redis
from runtime.servers.folder import make_data_dir
from runtime.settings import Settings
from runtime.supervisor import Supervisor
from simulator import SimulatorOptions
from sinks import SINKS

GATEWAY = "websocket"  # the gateway's name among the consumers
WAREHOUSE = "clickhouse"  # which the recompute worker asks
CONSUMERS = (*SINKS, GATEWAY)
STAGE_READY_S = 90.0

Facts = Mapping[str, Mapping[str, Any]]
"""What each server announced when it was ready."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to run: ``simulator`` None streams from the exchanges themselves."""

    settings: Settings
    exchanges: Sequence[str] = ()
    """An ingestor for each; empty: for that of the settings."""
    simulator: SimulatorOptions | None = None
    is_ephemeral: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A running machine; ``settings`` hold the addresses that were found while starting."""

    settings: Settings
    servers: Supervisor
    stages: Supervisor


@asynccontextmanager
async def machine(plan: Plan) -> AsyncIterator[Machine]:
    """Start everything and yield it ready; stop it in reverse order."""
    settings = plan.settings
    _check(settings)
    async with AsyncExitStack() as stack:
        servers = await stack.enter_async_context(
            Supervisor(_servers(plan), data_dir=settings.data_dir)
        )
        await servers.start()
        settings = _found(settings, servers)
        await create_topics(settings)
        stages = await stack.enter_async_context(
            Supervisor(_stages(plan, settings, servers.facts), data_dir=settings.data_dir)
        )
        await stages.start()
        yield Machine(settings=settings, servers=servers, stages=stages)


def _check(settings: Settings) -> None:
    for name in settings.enabled_consumers:
        if name not in CONSUMERS:
            raise Misconfigured(
                "STREAMER_ENABLED_CONSUMERS",
                f"there is no consumer {name!r}",
                remedy=f"Known: {', '.join(CONSUMERS)}",
            )
    make_data_dir(settings.data_dir)
    if GATEWAY in settings.enabled_consumers:
        check_port(settings.websocket_host, settings.websocket_port, "STREAMER_WEBSOCKET_PORT")


def _servers(plan: Plan) -> list[ChildSpec]:
    settings, specs = plan.settings, []
    if not settings.kafka_bootstrap:
        specs.append(kafka.child(settings, ephemeral=plan.is_ephemeral))
    if "redis" in settings.enabled_consumers and not settings.redis_host:
        specs.append(redis.child(settings, ephemeral=plan.is_ephemeral))
    if plan.simulator is not None:
        specs.append(simulator_child(plan.simulator))
    return specs


def simulator_child(options: SimulatorOptions) -> ChildSpec:
    """Return the spec of a supervised simulator, which announces ``port``."""
    argv = [sys.executable, "-m", "simulator", "--port", str(options.port)]
    argv += ["--seed", str(options.seed), "--symbols", str(options.symbols)]
    argv += ["--rate", str(options.trades_per_s), "--history", str(options.history_s)]
    argv += ["--exchanges", ",".join(options.exchanges)]
    return ChildSpec(name="simulator", argv=argv, after=())


def _found(settings: Settings, servers: Supervisor) -> Settings:
    """Return the settings with the addresses that the servers announced."""
    facts = servers.facts
    update: dict[str, object] = {}
    if "kafka" in facts:
        update["kafka_bootstrap"] = facts["kafka"]["bootstrap"]
    if "redis" in facts:
        update |= {"redis_host": facts["redis"]["host"], "redis_port": facts["redis"]["port"]}
    return settings.model_copy(update=update)


def ingestor(exchange: str, exchanges: Sequence[str]) -> str:
    """Return the name of an exchange's ingestor among the processes."""
    return "ingest" if len(exchanges) == 1 else f"ingest-{exchange}"


def _stages(plan: Plan, settings: Settings, facts: Facts) -> Sequence[ChildSpec]:
    """Readers before writers: nothing waits, and the first trade finds every sink listening."""
    # Of several processes on one machine each takes a free port for its metrics.
    settings = _with_sql_port(settings.model_copy(update={"metrics_port": 0}))

    def stage(name: str, *argv: str, after: Sequence[str] = (), **own: object) -> ChildSpec:
        return ChildSpec(
            name=name,
            argv=[sys.executable, "-m", "fibstream", *argv],
            env=settings.model_copy(update=own).environment(),
            after=tuple(after),
            ready_timeout_s=STAGE_READY_S,
        )

    consumers = settings.enabled_consumers
    readers = [stage(f"sink-{n}", "sink", n) for n in consumers if n != GATEWAY]
    if GATEWAY in consumers:
        readers.append(stage("gateway", "gateway"))
    readers += worker_children(settings)
    exchanges = plan.exchanges or (settings.exchange,)
    names = [reader.name for reader in readers]
    ingestors = [
        stage(
            ingestor(exchange, exchanges),
            "ingest",
            after=names,
            exchange=exchange,
            **simulated_urls(exchange, facts),
        )
        for exchange in exchanges
    ]
    if plan.simulator is None:  # what a simulated exchange does wrong is there to be seen
        readers += [
            stage(f"recover-{exchange}", "recover", after=names, exchange=exchange)
            for exchange in exchanges
        ]
    if GATEWAY in consumers:  # where the rules are written
        readers.append(stage("alerts", "alerts", "run"))
    if WAREHOUSE in consumers:  # nothing waits for it: it corrects what is long over
        readers.append(stage("recompute", "recompute", after=[f"sink-{WAREHOUSE}"]))
        if plan.simulator is None:
            readers.append(stage("integrity", "integrity", after=[f"sink-{WAREHOUSE}"]))
    return [*readers, *ingestors]


def _with_sql_port(settings: Settings) -> Settings:
    """Fix the port of the SQL endpoint: whoever asks there finds it again after a restart."""
    if settings.clickhouse_url or settings.clickhouse_http_port:
        return settings
    if WAREHOUSE not in settings.enabled_consumers:
        return settings
    port = free_port(settings.clickhouse_http_host)
    return settings.model_copy(update={"clickhouse_http_port": port})


def simulated_urls(exchange: str, facts: Facts) -> dict[str, str]:
    """Return the addresses of a simulated exchange, where there is one."""
    if "simulator" not in facts:
        return {}
    base = f"127.0.0.1:{facts['simulator']['port']}/{exchange}"
    return {
        f"exchange_{channel}_{kind}_url": f"{scheme}://{base}/{channel}"
        for channel in ("spot", "linear")
        for kind, scheme in (("rest", "http"), ("ws", "ws"))
    }
