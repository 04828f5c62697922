"""Each stage as one process: settings, logs, and the stage's own ``run`` until it is told to stop.

Stages are imported when they are asked for, so that a Redis sink does not load ClickHouse.
"""

import asyncio
import contextlib
import json
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any

import structlog

from ingest.exchanges import exchange as exchange_named
from runtime import memory
from runtime.errors import Misconfigured
from runtime.logs import configure_logging
from runtime.metrics import serve_metrics
from runtime.servers.folder import make_data_dir
from runtime.settings import Settings, load_settings
from runtime.shutdown import run as run_until_stopped
from schemas.bars import BadBarSize, parse_bar_sizes
from schemas.intervals import BadInterval, parse_intervals

logger = structlog.get_logger(__name__)

if TYPE_CHECKING:
    from rich.console import Console

    from fibstream.chaos import ChaosOptions
    from fibstream.demo import DemoOptions
    from fibstream.verify import Wanted
    from ingest.recorder import RecordOptions

Main = Callable[[Settings, asyncio.Event], Awaitable[None]]


def checked_settings(**overrides: object) -> Settings:
    """Read the settings and check what only other packages can judge; raise Misconfigured."""
    settings = load_settings(**overrides)
    exchange_named(settings.exchange)
    try:
        parse_intervals(settings.kline_intervals)
    except BadInterval as e:
        raise Misconfigured(
            "STREAMER_KLINE_INTERVALS", str(e), remedy="Example: 1s,1m,15m,1D,173m,1w@mon,fibonacci"
        ) from e
    try:
        parse_bar_sizes(settings.bars)
    except BadBarSize as e:
        raise Misconfigured("STREAMER_BARS", str(e), remedy="Example: tick:1000,volume:50") from e
    return settings


def deployed_settings(**overrides: object) -> Settings:
    """Read the settings of a process that is deployed alone: it must be told where Kafka is."""
    from runtime.kafka import parse_bootstrap

    settings = checked_settings(**overrides)
    if not settings.kafka_bootstrap:
        raise Misconfigured(
            "STREAMER_KAFKA_BOOTSTRAP",
            "is not set, and a single stage starts no broker of its own",
            remedy="Set it to host:port of the broker, or run `fibstream up` for everything.",
        )
    parse_bootstrap(settings.kafka_bootstrap)
    return settings


def run_stage(name: str, main: Main) -> int:
    """Run one stage in this process; return its exit code."""
    settings = deployed_settings()
    configure_logging(settings, process=name)
    port = serve_metrics(settings.metrics_host, settings.metrics_port)
    memory.settle()
    logger.info("metrics_served", url=f"http://{settings.metrics_host}:{port}/metrics")
    return run_until_stopped(lambda stop: main(settings, stop))


def ingest() -> int:
    """Run the ingestor of ``STREAMER_EXCHANGE``."""
    from ingest.app import run

    return run_stage("ingest", run)


def record(settings: Settings, options: "RecordOptions") -> int:
    """Record what the ingestor would stream; the last line on stderr is the summary."""
    from ingest.recorder import Recorder

    configure_logging(settings, process="record")
    recorder = Recorder(settings, options)
    try:
        return run_until_stopped(recorder.run)
    finally:
        print(json.dumps(recorder.summary), file=sys.stderr, flush=True)  # noqa: T201


def process(workers: int | None = None) -> int:
    """Run so many Faust workers: one in this process, several as children of it."""
    settings = deployed_settings()
    if workers is not None:
        settings = settings.model_copy(update={"process_workers": workers})
    make_data_dir(settings.data_dir)  # Faust wants a folder of its own there
    if settings.process_workers > 1:
        from fibstream.workers import run_workers

        configure_logging(settings, process="process")
        return run_until_stopped(lambda stop: run_workers(settings, stop))
    from processors.app import run

    return run_stage("process", run)


def sink(name: str) -> int:
    """Run the sink of that name."""
    from sinks.app import run

    return run_stage(f"sink-{name}", lambda settings, stop: run(name, settings, stop))


def recompute() -> int:
    """Run the recompute worker."""
    from processors.recompute.app import run

    return run_stage("recompute", run)


def recover() -> int:
    """Run the recovery of ``STREAMER_EXCHANGE``."""
    from ingest.recovery.app import run

    return run_stage("recover", run)


def integrity() -> int:
    """Run the search for missing trades in the warehouse, again and again."""
    from sinks.integrity.app import run

    return run_stage("integrity", run)


def alerts() -> int:
    """Run the alerts: rules judged, crossings delivered."""
    from sinks.alerts.app import run

    return run_stage("alerts", run)


def run_verify(settings: Settings, wanted: "Wanted") -> dict[str, Any]:
    """Look for missing trades once; return the report."""
    from fibstream.verify import verify

    configure_logging(settings.model_copy(update={"log_level": "WARNING"}), process="verify")
    return asyncio.run(verify(settings, wanted))


def gateway() -> int:
    """Run the WebSocket gateway."""
    from sinks.gateway.app import run

    return run_stage("gateway", run)


def up(settings: Settings, *, run_for_s: float | None = None) -> int:
    """Run everything on this machine until it is told to stop."""
    from fibstream.machine import Plan, machine

    configure_logging(settings, process="up")

    async def work(stop: asyncio.Event) -> None:
        async with machine(Plan(settings=settings)) as running:
            announce_page(running.stages.facts)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(running.stages.wait(stop), run_for_s)

    return run_until_stopped(lambda stop: _unless_stopped(work(stop), stop))


async def _unless_stopped(work: Coroutine[Any, Any, None], stop: asyncio.Event) -> None:
    """Run ``work``; cancel it when told to stop, for it may be waiting for a start."""
    working = asyncio.ensure_future(work)
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    working.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await working


def announce_page(facts: dict[str, dict[str, object]]) -> None:
    """Say where the page is."""
    if "gateway" in facts:
        print(f"Open http://127.0.0.1:{facts['gateway']['port']}/", file=sys.stderr)  # noqa: T201


def run_demo(
    settings: Settings, options: "DemoOptions", console: "Console"
) -> tuple[int, dict[str, Any] | None]:
    """Run the demo; return the exit code and the report, None when it was interrupted."""
    from fibstream.demo import run_demo as play

    configure_logging(settings.model_copy(update={"log_level": "WARNING"}), process="demo")
    reports: list[dict[str, Any] | None] = []

    async def work(stop: asyncio.Event) -> None:
        reports.append(await play(settings, options, stop, console))

    code = run_until_stopped(lambda stop: _unless_stopped(work(stop), stop))
    return code, reports[0] if reports else None


def run_faults(settings: Settings, exchanges: Sequence[str]) -> dict[str, Any]:
    """Play every fault on every exchange; return the report."""
    from fibstream.faults import run_faults as play

    configure_logging(settings.model_copy(update={"log_level": "WARNING"}), process="faults")
    return asyncio.run(play(settings, exchanges))


def run_chaos(
    settings: Settings, options: "ChaosOptions", console: "Console", *, self_test: bool
) -> dict[str, Any]:
    """Play one schedule, or the self-test; return the report."""
    from fibstream import chaos

    configure_logging(settings, process="chaos")
    if self_test:
        return asyncio.run(chaos.self_test(settings))
    for act in options.schedule():
        console.print(str(act), highlight=False)
    return asyncio.run(chaos.run_chaos(settings, options))
