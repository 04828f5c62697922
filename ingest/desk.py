"""One market while it streams: which streams run, on which sockets, and what became of each.

Wanted is what the settings name, overruled stream by stream by ``md.control.v1``.
"""

import asyncio
import math
import time
from collections.abc import Collection, Coroutine, Mapping, Sequence
from typing import Any

import structlog

from ingest.books import SnapshotFetcher
from ingest.exchanges.base import Instrument
from ingest.feed import Feed
from ingest.gaps import StreamGaps
from ingest.intake import Intake
from ingest.link import Route
from ingest.pacing import Budgets, attempts_of
from ingest.polls import Asker, Poller
from ingest.silence import Change, Watch
from ingest.status import StatusBoard
from ingest.streams import Shard, StreamName, Streams
from runtime.errors import PipelineError
from schemas.control import Control, StreamState
from schemas.streams import Kind, StreamKey, Transport

logger = structlog.get_logger(__name__)

PULSE_S = 0.25
TELL_EVERY_S = 0.5
ACTIVITY_EVERY_S = 60.0
STREAMS_AT_ONCE = 64  # looked at before frames are read again: a third of a millisecond


class Desk:
    """Runs the streams of one market until it is cancelled."""

    def __init__(
        self,
        route: Route,
        intake: Intake,
        *,
        instruments: Mapping[str, Instrument],
        gaps: StreamGaps,
        status: StatusBoard,
        ask: Asker,
        snapshots: SnapshotFetcher | None,
        attempts: Budgets | None = None,
        pool_size: int,
        hot_pairs: bool = False,
        lifetime_s: float | None = None,
    ) -> None:
        self._route = route
        self._intake = intake
        self._instruments = instruments
        self._gaps = gaps
        self._status = status
        self._ask = ask
        self._snapshots = snapshots
        self._hot_pairs = hot_pairs
        self._lifetime_s = lifetime_s
        self._streams = Streams(route.market, pool_size)
        self._pollers = {poll.kind: Poller(poll, ask, intake) for poll in route.market.polls}
        self._attempts = attempts or attempts_of(route.market.limits)
        self._feeds: dict[Shard, list[Feed]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._failed: asyncio.Future[None] | None = None
        self._activity_asked_s = time.monotonic()

    # -- what is wanted

    def want(self, kind: Kind, symbol: str) -> None:
        """Stream, or poll, a kind of a symbol from now on."""
        name = kind, symbol
        if self._streams.has(kind):
            if name in self._streams:
                return
            self._streams.add(kind, symbol)
        elif kind in self._pollers:
            self._pollers[kind].symbols[symbol] = None
        else:
            return
        self._intake.want(kind, symbol)
        self._open_feeds()

    def drop(self, kind: Kind, symbol: str) -> None:
        """Stream it no more."""
        if (kind, symbol) in self._streams:
            self._streams.remove(kind, symbol)
        elif kind in self._pollers:
            self._pollers[kind].symbols.pop(symbol, None)
        self._intake.drop(kind, symbol)
        self._gaps.ended(kind, symbol, _now_ms())
        self._tell(kind, symbol, "stopped")

    def obey(self, key: StreamKey, control: Control | None, *, is_default: bool) -> None:
        """Do what a control record says; without one, what the settings say."""
        if self.transport(key.kind) != key.transport:
            logger.warning("order_refused", stream=str(key), reason="no such transport")
            return
        if not (is_default if control is None else control.enabled):
            self.drop(key.kind, key.symbol)
            return
        problem = self._problem(key)
        if problem:
            self._tell(key.kind, key.symbol, "refused", problem)
            return
        self.want(key.kind, key.symbol)

    def _problem(self, key: StreamKey) -> str:
        instrument = self._instruments.get(key.symbol)
        if instrument is None:
            return f"{key.exchange} has no {key.channel} symbol {key.symbol}"
        if not instrument.is_streamed:
            return f"{key.symbol} is {instrument.status}, or of a kind that is not streamed"
        return ""

    def streams(self, key: StreamKey) -> bool:
        """Say whether a stream runs here."""
        return (key.kind, key.symbol) in self._intake.watches

    def transport(self, kind: Kind) -> Transport | None:
        """Return how the market tells a kind, None where it does not."""
        if self._streams.has(kind):
            return "ws"
        return "http" if kind in self._pollers else None

    # -- life

    @property
    def feeds(self) -> Sequence[Feed]:
        """The feeds that there are now."""
        return [feed for feeds in self._feeds.values() for feed in feeds]

    @property
    def sockets(self) -> int:
        """How many sockets carry what is wanted."""
        return len(self._streams.shards) * (2 if self._hot_pairs else 1)

    async def run(self) -> None:
        """Run until cancelled; raise what a feed raises (Misconfigured: a wrong address)."""
        self._failed = asyncio.get_running_loop().create_future()
        self._open_feeds()
        for poller in self._pollers.values():
            self._start(poller.run())
        if self._snapshots is not None:
            self._start(self._snapshots.run())
        self._start(self._pulse())
        try:
            await self._failed
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _open_feeds(self) -> None:
        if self._failed is None:  # not running yet
            return
        for shard in self._streams.shards:
            if shard in self._feeds:
                continue
            pair = (True, False) if self._hot_pairs else (True,)
            feeds = [
                Feed(
                    self._route,
                    shard,
                    self._attempts,
                    self,
                    leads=leads,
                    lifetime_s=self._lifetime_s,
                )
                for leads in pair
            ]
            self._feeds[shard] = feeds
            for feed in feeds:
                self._start(feed.run())

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        failed = self._failed
        if task.cancelled() or failed is None or failed.done():
            return
        error = task.exception()
        if error is not None:
            failed.set_exception(error)

    # -- told by the feeds

    def lost(self, feed: Feed, reason: str) -> None:
        """Say which streams nobody delivers now, and trust no book of them."""
        twin = next((t for t in self._feeds[feed.shard] if t.is_delivering), None)
        was_leading = feed.leads
        if twin is not None and was_leading:
            feed.lead(leads=False)
            twin.lead(leads=True)
        since_ms = _wall_ms(feed.dark_since_s)
        for kind, symbol in self._dark(feed.shard, has_twin=twin is not None, leads=was_leading):
            self._gaps.found(kind, symbol, "disconnected", since_ms, reason)
            if kind == "books":
                self._intake.void_books([symbol])

    def restored(self, feed: Feed) -> None:
        """A socket delivers them again; a book is whole when it has a snapshot."""
        if not any(t.leads and t.is_delivering for t in self._feeds[feed.shard]):
            for twin in self._feeds[feed.shard]:
                twin.lead(leads=twin is feed)
        now_ms, now_s = _now_ms(), time.monotonic()
        for kind, symbol in self._streams.streams_of(feed.shard):
            if kind != "books":
                self._gaps.recovered(kind, symbol, "disconnected", now_ms)
            watch = self._intake.watches.get((kind, symbol))
            if watch is not None:
                watch.restart(now_s)

    def _dark(self, shard: Shard, *, has_twin: bool, leads: bool) -> Sequence[StreamName]:
        """Return the streams that a lost socket leaves without any."""
        names = self._streams.streams_of(shard)
        if not has_twin:
            return names
        return [name for name in names if leads and self._streams.is_exclusive(*name)]

    # -- judging

    async def _pulse(self) -> None:
        told_s = 0.0
        while True:
            await asyncio.sleep(PULSE_S)
            now_s = time.monotonic()
            is_reading = self._route.room.is_set()
            overdue = []
            for at, watch in enumerate(list(self._intake.watches.values())):
                if at % STREAMS_AT_ONCE == 0:
                    await asyncio.sleep(0)
                if self._intake.watches.get((watch.kind, watch.symbol)) is not watch:
                    continue  # dropped meanwhile
                if not is_reading or not self._is_judged(watch):
                    watch.restart(now_s)
                    continue
                self._judge(watch, now_s)
                if watch.is_overdue(now_s):
                    overdue.append(watch.symbol)
            if overdue and now_s - self._activity_asked_s > ACTIVITY_EVERY_S:
                self._activity_asked_s = math.inf  # one question at a time
                self._start(self._ask_activity(overdue))
            if is_reading:
                self._mend_books()
            if now_s >= told_s + TELL_EVERY_S:
                told_s = now_s
                await self._tell_all()
            self._intake.flush()

    def _mend_books(self) -> None:
        intake = self._intake
        intake.pulse_books(time.time_ns())
        for symbol in intake.books_to_renew:
            self._streams.renew("books", symbol)
        intake.books_to_renew.clear()
        if self._snapshots is not None:
            self._snapshots.ask(intake.books_to_fetch)
        intake.books_to_fetch.clear()

    def _is_judged(self, watch: Watch) -> bool:
        return self._streams.has(watch.kind) and (
            self._streams.is_active(watch.kind, watch.symbol) or watch.silent_from_s is not None
        )

    def _judge(self, watch: Watch, now_s: float) -> None:
        traded_s = self._intake.traded_s(watch.symbol, besides=watch.kind)
        kind, symbol = watch.kind, watch.symbol
        match watch.pulse(now_s, traded_s):
            case Change.SILENT:
                from_ms = _wall_ms(watch.last_s)
                self._gaps.found(kind, symbol, "silent", from_ms, "acknowledged, but no data")
                self._streams.renew(kind, symbol)
            case Change.STILL_SILENT:
                self._streams.renew(kind, symbol)
            case Change.RECOVERED:
                self._gaps.recovered(kind, symbol, "silent", _now_ms())

    async def _ask_activity(self, overdue: Collection[str]) -> None:
        """Ask the venue by REST whether symbols trade whose streams say nothing."""
        market = self._route.market
        try:
            body = await self._ask(market.activity)
            self._intake.activity.counted(market.read_activity(body), overdue, time.monotonic())
        except PipelineError as e:
            logger.warning("activity_unknown", reason=str(e))
        finally:
            self._activity_asked_s = time.monotonic()

    # -- telling

    def left_alone(self, names: Collection[tuple[Kind, str]], since_ms: int) -> None:
        """Nobody streamed these since an earlier ingestor ended, well or not: say so."""
        for kind, symbol in names:
            if (kind, symbol) in self._streams:
                self._gaps.found(kind, symbol, "disconnected", since_ms, "no ingestor ran")

    async def _tell_all(self) -> None:
        market = self._route.market
        self._status.beat(self._route.exchange.name, market.channel, _now_ms())
        for at, (kind, symbol) in enumerate(self._streams.names()):
            if at % STREAMS_AT_ONCE == 0:
                await asyncio.sleep(0)
            if (kind, symbol) not in self._streams:
                continue  # dropped meanwhile
            self._tell_one(kind, symbol)
        now_s = time.monotonic()
        for kind, poller in self._pollers.items():
            is_silent = poller.is_silent(now_s)
            for symbol in poller.symbols:
                if is_silent:
                    self._gaps.found(kind, symbol, "silent", _now_ms(), "REST gives no answer")
                else:
                    self._gaps.recovered(kind, symbol, "silent", _now_ms())
                heard: StreamState = "live" if poller.answered_s else "subscribing"
                self._tell(kind, symbol, "silent" if is_silent else heard)

    def _tell_one(self, kind: Kind, symbol: str) -> None:
        refusal = self._streams.refusal(kind, symbol)
        if refusal:
            self._gaps.found(kind, symbol, "refused", _now_ms(), refusal)
            self._tell(kind, symbol, "refused", refusal)
            return
        self._gaps.recovered(kind, symbol, "refused", _now_ms())
        is_whole = kind != "books" or self._intake.is_book_live(symbol)
        if kind == "books" and is_whole:
            self._gaps.recovered(kind, symbol, "disconnected", _now_ms())
        reason = self._gaps.is_open(kind, symbol)
        if reason == "silent":
            self._tell(kind, symbol, "silent")
        elif is_whole and self._streams.is_active(kind, symbol):
            self._tell(kind, symbol, "live")
        else:
            self._tell(kind, symbol, "subscribing", reason)

    def _tell(self, kind: Kind, symbol: str, state: StreamState, detail: str = "") -> None:
        transport = self.transport(kind) or "ws"
        market = self._route.market
        key = StreamKey(self._route.exchange.name, market.channel, symbol, kind, transport)
        self._status.set(key, state, _now_ms(), detail)


def _wall_ms(at_s: float) -> int:
    """Return the wall clock's ms of a monotonic time."""
    return _now_ms() - int((time.monotonic() - at_s) * 1_000)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
