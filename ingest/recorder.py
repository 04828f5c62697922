"""``fibstream record``: the ingestor's connections and care for streams, with files for Kafka.

Whole desks run, so that silent streams are asked for again and books get the snapshots that a
replay needs; the rows that they make of the frames go nowhere.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from ingest import endpoints, rest
from ingest.desk import Desk
from ingest.exchanges import exchange as exchange_named
from ingest.exchanges.base import Control, Market, Request
from ingest.link import Taker
from ingest.market import desk_of, sources_of
from ingest.plan import Listed, choose, enabled, instruments, kinds
from ingest.publisher import Publisher
from ingest.reel import Reel, Rotation, check_folder
from ingest.rest import Host
from ingest.status import StatusBoard
from runtime import memory
from runtime.settings import Settings
from schemas.trades import Channel

logger = structlog.get_logger(__name__)

FLUSH_EVERY_S = 1.0  # what a kill -9 may cost
UNFLUSHED_BYTES_MAX = 4 << 20  # of one market; beyond it they are written at once
CHECK_S = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordOptions:
    """Where to, and how long; without an end it goes on until it is stopped."""

    folder: Path
    rotation: Rotation
    run_for_s: float | None = None
    frames_max: int | None = None


class Recorder:
    """One recording of the configured streams; ``summary`` is right at any time."""

    def __init__(self, settings: Settings, options: RecordOptions) -> None:
        self._settings = settings
        self._options = options
        self._exchange = exchange_named(settings.exchange)
        self._reels: dict[Channel, Reel] = {}
        self._desks: dict[Channel, Desk] = {}
        self._publisher = Publisher(_Nowhere(), [], dead_letters_topic="")
        self._began_s = time.monotonic()
        self._ended = "failed"

    async def run(self, stop: asyncio.Event) -> None:
        """Record until the end that the options name, or ``stop``.

        Raises Misconfigured where the settings, the addresses or the folder cannot work.
        """
        check_folder(self._options.folder)
        markets = enabled(self._settings, self._exchange)
        for market in markets:
            endpoints.socket(self._settings, market)
        async with AsyncExitStack() as stack:
            hosts = {
                m.channel: await stack.enter_async_context(
                    rest.open_host(self._settings, self._exchange.name, m)
                )
                for m in markets
            }
            listed: Listed = {
                m.channel: await instruments(
                    self._settings, self._exchange, m, hosts[m.channel].ask
                )
                for m in markets
            }
            await self._open(markets, hosts, listed)
            await self._record(stop)

    @property
    def summary(self) -> dict[str, Any]:
        """Return what was recorded so far."""
        reels = self._reels.values()
        return {
            "exchange": self._exchange.name,
            "ended": self._ended,
            "seconds": round(time.monotonic() - self._began_s, 3),
            "frames": sum(reel.frames for reel in reels),
            "bytes": sum(reel.bytes for reel in reels),
            "wrapped": sum(reel.wrapped for reel in reels),
            "markets": {
                channel: {
                    "frames": reel.frames,
                    "rest_bodies": reel.bodies,
                    "sockets": len(self._desks[channel].feeds),
                    "files": [str(path) for path in reel.paths],
                }
                for channel, reel in self._reels.items()
            },
        }

    async def _open(
        self, markets: Sequence[Market], hosts: Mapping[Channel, Host], listed: Listed
    ) -> None:
        settings, exchange = self._settings, self._exchange
        chosen = await choose(settings, exchange, markets, hosts, listed)
        wanted = kinds(settings)
        status = StatusBoard("")
        sources = {
            m.channel: sources_of(settings, exchange, m, listed[m.channel], 1) for m in markets
        }
        self._publisher = Publisher(
            _Nowhere(),
            [source for found in sources.values() for source in found.all()] + [status],
            dead_letters_topic="",
        )
        for market in markets:
            channel = market.channel
            reel = self._reels[channel] = Reel(
                self._options.folder, f"{exchange.name}_{channel}", self._options.rotation
            )
            desk = self._desks[channel] = desk_of(
                settings,
                exchange,
                market,
                instruments={i.symbol: i for i in listed[channel]},
                sources=sources[channel],
                publisher=self._publisher,
                status=status,
                host=_RecordedHost(hosts[channel], market, reel),
                taker=partial(_Tee, reel, self._is_full),
                sent=reel.sent,
            )
            for instrument in chosen[channel]:
                for kind in wanted:
                    desk.want(kind, instrument.symbol)

    async def _record(self, stop: asyncio.Event) -> None:
        """Run all until the end; close the sockets first, then write what is left."""
        work = [asyncio.create_task(desk.run()) for desk in self._desks.values()]
        work += [
            asyncio.create_task(self._publisher.run()),
            asyncio.create_task(self._flush_for_ever()),
        ]
        ending = asyncio.create_task(self._end(stop))
        memory.settle()
        logger.info("record_begun", folder=str(self._options.folder))
        try:
            done, _ = await asyncio.wait({ending, *work}, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {ending}:
                task.result()
        finally:
            for task in (ending, *work):
                task.cancel()
            await asyncio.gather(ending, *work, return_exceptions=True)
            with ExitStack() as closing:
                for reel in self._reels.values():
                    closing.callback(reel.close)

    async def _end(self, stop: asyncio.Event) -> None:
        until_s = self._began_s + (self._options.run_for_s or float("inf"))
        while not stop.is_set():
            if self._is_full():
                self._ended = "frames"
                return
            if time.monotonic() >= until_s:
                self._ended = "for"
                return
            await asyncio.sleep(CHECK_S)
        self._ended = "stopped"

    def _is_full(self) -> bool:
        frames_max = self._options.frames_max
        return frames_max is not None and frames_max <= sum(r.frames for r in self._reels.values())

    async def _flush_for_ever(self) -> None:
        flushed_s = time.monotonic()
        while True:
            await asyncio.sleep(CHECK_S)
            is_time = time.monotonic() - flushed_s >= FLUSH_EVERY_S
            for reel in self._reels.values():
                if is_time or reel.unflushed_bytes >= UNFLUSHED_BYTES_MAX:
                    reel.flush(time.time_ns())
            if is_time:
                flushed_s = time.monotonic()


class _Tee:
    """Every frame to the reel, then to the intake."""

    def __init__(self, reel: Reel, is_full: Callable[[], bool], intake: Taker) -> None:
        self._reel = reel
        self._intake = intake
        self._is_full = is_full

    def take(self, frame: bytes, recv_ns: int, source: str) -> tuple[Sequence[Control], bool]:
        """Take one frame, unless the recording has all that it wants."""
        if self._is_full():
            return (), False
        self._reel.frame(frame, recv_ns)
        return self._intake.take(frame, recv_ns, source)

    def report(self) -> None:
        """Move counts to the metrics."""
        self._intake.report()


class _RecordedHost(Host):
    """A host whose answers are recorded, but for the 24 h activity, which tells no stream."""

    def __init__(self, host: Host, market: Market, reel: Reel) -> None:
        self.budget = host.budget
        self._host = host
        self._activity = market.activity
        self._reel = reel

    async def ask(self, request: Request) -> bytes:
        """Return the answer, when the budget allows to ask."""
        return self._told(request, await self._host.ask(request))

    async def ask_paid(self, request: Request) -> bytes:
        """Return the answer to a request whose weight was spent already."""
        return self._told(request, await self._host.ask_paid(request))

    def _told(self, request: Request, body: bytes) -> bytes:
        if request != self._activity:
            self._reel.body(request.path, body, time.time_ns())
        return body


class _Nowhere:
    """A producer that acknowledges at once what it throws away."""

    async def send(
        self,
        topic: str,  # noqa: ARG002 - a producer's arguments
        value: bytes | None = None,  # noqa: ARG002
        *,
        key: bytes | None = None,  # noqa: ARG002
        partition: int | None = None,  # noqa: ARG002
    ) -> asyncio.Future[object]:
        """Forget one record."""
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done
