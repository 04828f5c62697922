"""What is wanted of the streams of one exchange, as ``md.control.v1`` says it now.

A stream without a record there is the settings' business; a record can be taken back.
"""

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import msgspec
import structlog

from ingest import metrics
from runtime.follow import READY_WITHIN_S, Follower
from schemas.control import (
    ALIVE,
    RUNNING,
    STOPPED,
    Control,
    decode_control,
    decode_stream_status,
    is_interval_key,
)
from schemas.streams import StreamKey, stream_key
from schemas.trades import Channel

logger = structlog.get_logger(__name__)

STREAMS_MAX = 100_000


class Controls:
    """``async with Controls(...) as c: await c.ready()``, then ``wanted`` and ``changes``."""

    def __init__(self, bootstrap: str, topic: str, exchange: str) -> None:
        self._exchange = exchange
        self._controls: dict[StreamKey, Control] = {}
        self._changed: dict[StreamKey, None] = {}  # in order, each key once: it cannot outgrow them
        self._follower = Follower(bootstrap, [topic], self._take)

    async def __aenter__(self) -> Self:
        await self._follower.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._follower.__aexit__(kind, error, traceback)

    async def ready(self, *, timeout_s: float = READY_WITHIN_S) -> None:
        """Return when all is known that was said before; raise Retriable after ``timeout_s``.

        What was known by then is no change any more.
        """
        await self._follower.ready(timeout_s=timeout_s)
        self._changed.clear()

    def wanted(self, key: StreamKey) -> Control | None:
        """Return what is wanted of a stream; None: what the settings say."""
        return self._controls.get(key)

    def keys(self) -> Iterable[StreamKey]:
        """Return every stream of the exchange that something is said about."""
        return list(self._controls)

    async def changes(self) -> AsyncIterator[StreamKey]:
        """Yield a stream whenever what is wanted of it has changed; ask ``wanted`` what it is now.

        Changes of one stream that nobody asked for in time are one.
        """
        while True:
            while self._changed:
                key = next(iter(self._changed))
                del self._changed[key]
                yield key
            await self._follower.until(lambda: bool(self._changed))

    def _take(self, _topic: str, key: bytes | None, value: bytes | None) -> None:
        if is_interval_key(key):
            return  # the worker's business
        try:
            name = stream_key((key or b"").decode())
            control = None if value is None else decode_control(value)
            if control is not None and control.key != name:
                raise ValueError(f"it is about {control.key}")  # noqa: TRY301
        except (msgspec.MsgspecError, ValueError) as e:
            metrics.controls_refused.inc()
            logger.warning("control_refused", key=repr(key), reason=str(e))
            return
        if name.exchange != self._exchange or control == self._controls.get(name):
            return
        if control is None:
            del self._controls[name]
        elif name in self._controls or len(self._controls) < STREAMS_MAX:
            self._controls[name] = control
        else:
            metrics.controls_refused.inc()
            logger.warning("control_refused", key=repr(key), reason=f"more than {STREAMS_MAX}")
            return
        self._changed[name] = None


@dataclass(slots=True)
class Told:
    """What an earlier run of an exchange's ingestors said last on ``md.streams.v1``."""

    running: set[StreamKey] = field(default_factory=set)
    """What of it this run does not stream has stopped."""
    alive_ms: dict[Channel, int] = field(default_factory=dict)
    """When the ingestor of that share last said that it lives, or that it stops."""


async def told_before(bootstrap: str, topic: str, exchange: str, share: str = "1/1") -> Told:
    """Read what was told until now; raise Retriable where Kafka does not answer."""
    told = Told()

    def take(_topic: str, key: bytes | None, value: bytes | None) -> None:
        try:
            name = stream_key((key or b"").decode())
            status = None if value is None else decode_stream_status(value)
        except (msgspec.MsgspecError, ValueError):
            return  # of a writer that is not ours; nothing follows from it
        if name.exchange != exchange:
            return
        was_stopped = status is not None and status.detail == STOPPED  # with all others: it ran
        is_running = status is not None and (status.state in RUNNING or was_stopped)
        if name.symbol.startswith(ALIVE):
            if name.symbol != ALIVE + share:
                return
            told.alive_ms.pop(name.channel, None)
            if status is not None and is_running:
                told.alive_ms[name.channel] = status.since_ms
        elif is_running:
            told.running.add(name)
        else:
            told.running.discard(name)

    async with Follower(bootstrap, [topic], take) as follower:
        await follower.ready()
    return told
