"""Several workers side by side: one child each, with a folder and a metrics port of its own.

They are equals of one group. The broker divides the partitions among them; when one dies, joins or
leaves, all pause for a moment and divide anew.
"""

import asyncio
import signal
import sys
from collections.abc import Sequence

import structlog

from runtime.child import ChildSpec
from runtime.ready import announce
from runtime.settings import Settings
from runtime.supervisor import Supervisor

logger = structlog.get_logger(__name__)

READY_S = 90.0
STOP_S = 17.0  # a worker saves and leaves its group; all do at once


def worker_children(settings: Settings) -> Sequence[ChildSpec]:
    """Return the children of ``process_workers``; they start together."""
    count = settings.process_workers
    if count == 1:
        return [_child("process", settings)]
    if count > settings.kafka_partitions:
        logger.warning("workers_without_work", workers=count, partitions=settings.kafka_partitions)
    port = settings.metrics_port
    return [
        _child(
            f"process-{n}",
            settings.model_copy(
                update={
                    "process_workers": 1,
                    "data_dir": settings.data_dir / f"worker-{n}",
                    "metrics_port": port + n if port else 0,
                }
            ),
        )
        for n in range(1, count + 1)
    ]


def _child(name: str, settings: Settings) -> ChildSpec:
    return ChildSpec(
        name=name,
        argv=[sys.executable, "-m", "fibstream", "process"],
        env=settings.environment(),
        after=(),
        ready_timeout_s=READY_S,
        stop_timeout_s=STOP_S,
    )


async def run_workers(settings: Settings, stop: asyncio.Event) -> None:
    """Keep the workers running until ``stop``."""
    children = worker_children(settings)
    async with Supervisor(children, data_dir=settings.data_dir, passthrough=True) as supervisor:
        await supervisor.start(stop)
        if not stop.is_set():
            announce(workers=len(children))
            logger.info("workers_ready", workers=len(children))
            await supervisor.wait(stop)
        # All at once: one that stays would be given the partitions of those that leave.
        for child in children:
            supervisor.kill(child.name, signal.SIGTERM)
