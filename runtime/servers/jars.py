"""Apache Kafka's jars: resolved once from Maven coordinates, then read from jgo's cache.

jgo takes a half-downloaded jar for a good one; so every jar is checked, and a broken set is
thrown away and fetched again.
"""

import contextlib
import shutil
import sys
import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jgo
from jgo.config import GlobalSettings
from jgo.maven import PythonResolver

from runtime.errors import Misconfigured
from runtime.servers.lock import locked

KAFKA_VERSION = "4.3.1"
# The `!` keeps log4j's own dependency versions out: they would bring kafka-clients 3.9.1.
ENDPOINT = (
    f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}+org.apache.logging.log4j:log4j-slf4j-impl:2.25.4!"
)
DOWNLOAD_MB = 45


def kafka_jars() -> list[Path]:
    """Return the broker's class path, from the cache or, the first time, from the network."""
    caches = GlobalSettings.load()
    # jgo asserts when two processes fetch the same jar.
    with locked(Path(caches.cache_dir) / "fibstream.lock", waits=True):
        for _ in range(2):
            environment = _resolve()
            jars = list(environment.all_jars)
            broken = [jar for jar in jars if not zipfile.is_zipfile(jar)]
            if environment.lock_path.exists() and not broken:
                return jars
            shutil.rmtree(environment.path)
            for jar in broken:
                for cached in caches.repo_cache.rglob(jar.name):
                    cached.unlink()
    raise _unresolved(f"broken even after a second download: {broken or environment.path}")


def _resolve() -> Any:
    try:
        return jgo.build(ENDPOINT, resolver=PythonResolver(progress_callback=_progress()))
    except (OSError, RuntimeError, ValueError, AssertionError, ET.ParseError) as e:
        raise _unresolved(f"{type(e).__name__}: {e}") from e


def _unresolved(reason: str) -> Misconfigured:
    return Misconfigured(
        "STREAMER_KAFKA_BOOTSTRAP",
        f"it is empty, and the embedded Kafka {KAFKA_VERSION} cannot be fetched ({reason})",
        remedy="Connect to the internet once (the jars are then kept), "
        "or set it to the host:port of a Kafka that runs already.",
    )


def _progress() -> Callable[[str, int], contextlib.AbstractContextManager[Any]]:
    fetched: list[str] = []

    @contextlib.contextmanager
    def download(filename: str, size_bytes: int) -> Iterator[Callable[[int], None]]:
        if not fetched:
            _say(f"Fetching Apache Kafka {KAFKA_VERSION}, once: about {DOWNLOAD_MB} MB")
        fetched.append(filename)
        _say(f"  {len(fetched)}: {filename} ({size_bytes / 1e6:.1f} MB)")
        yield lambda _bytes: None

    return download


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - a newcomer must see why he waits
