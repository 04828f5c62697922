"""Kafka to stores and people: the registry of sinks.

Construction is deferred: running one sink does not import the client of another.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from runtime.errors import Misconfigured

if TYPE_CHECKING:
    from runtime.settings import Settings
    from sinks.base import Sink


def _clickhouse(settings: "Settings") -> "Sink":
    from sinks.clickhouse import ClickHouseSink  # noqa: PLC0415

    return ClickHouseSink(settings)


def _redis(settings: "Settings") -> "Sink":
    from sinks.redis import RedisSink  # noqa: PLC0415

    return RedisSink(settings)


def _memory(_settings: "Settings") -> "Sink":
    from sinks.memory import MemorySink  # noqa: PLC0415

    return MemorySink()


def _console(_settings: "Settings") -> "Sink":
    from sinks.console import ConsoleSink  # noqa: PLC0415

    return ConsoleSink()


def _file(_settings: "Settings") -> "Sink":
    from sinks.files import FileSink  # noqa: PLC0415

    return FileSink()


SINKS: dict[str, Callable[["Settings"], "Sink"]] = {
    "clickhouse": _clickhouse,
    "console": _console,
    "file": _file,
    "memory": _memory,
    "redis": _redis,
}


def create(name: str, settings: "Settings") -> "Sink":
    """Return the sink of that name; raise Misconfigured when there is none."""
    try:
        factory = SINKS[name]
    except KeyError:
        raise Misconfigured(
            "STREAMER_ENABLED_CONSUMERS",
            f"there is no sink {name!r}",
            remedy=f"Known sinks: {', '.join(sorted(SINKS))}, websocket (the gateway).",
        ) from None
    return factory(settings)
