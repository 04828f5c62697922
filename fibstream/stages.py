"""Each stage as one process: settings, logs, and the stage's own ``run`` until it is told to stop.

Stages are imported when they are asked for, so that a Redis sink does not load ClickHouse.
"""

import asyncio
from collections.abc import Awaitable, Callable

from runtime.errors import Misconfigured
from runtime.logs import configure_logging
from runtime.settings import Settings, load_settings
from runtime.shutdown import run as run_until_stopped
from schemas.intervals import BadInterval, parse_intervals

Main = Callable[[Settings, asyncio.Event], Awaitable[None]]


def checked_settings(**overrides: object) -> Settings:
    """Read the settings and check what only the schemas can judge; raise Misconfigured."""
    settings = load_settings(**overrides)
    try:
        parse_intervals(settings.kline_intervals)
    except BadInterval as e:
        raise Misconfigured(
            "STREAMER_KLINE_INTERVALS", str(e), remedy="Example: 1s,1m,15m,1D,173m,fibonacci"
        ) from e
    return settings


def deployed_settings() -> Settings:
    """Read the settings of a process that is deployed alone: it must be told where Kafka is."""
    settings = checked_settings()
    if not settings.kafka_bootstrap:
        raise Misconfigured(
            "STREAMER_KAFKA_BOOTSTRAP",
            "is not set, and a single stage starts no broker of its own",
            remedy="Set it to host:port of the broker, or run `fibstream up` for everything.",
        )
    return settings


def run_stage(name: str, main: Main) -> int:
    """Run one stage in this process; return its exit code."""
    settings = deployed_settings()
    configure_logging(settings, process=name)
    return run_until_stopped(lambda stop: main(settings, stop))


def ingest() -> int:
    """Run the ingestor of ``STREAMER_EXCHANGE``."""
    from ingest.app import run

    return run_stage("ingest", run)


def process() -> int:
    """Run one Faust worker."""
    from processors.app import run

    return run_stage("process", run)


def sink(name: str) -> int:
    """Run the sink of that name."""
    from sinks.app import run

    return run_stage(f"sink-{name}", lambda settings, stop: run(name, settings, stop))


def gateway() -> int:
    """Run the WebSocket gateway."""
    from sinks.gateway.app import run

    return run_stage("gateway", run)
