"""The gateway's process: bind, connect, load the past, announce, then serve until told to stop."""

import asyncio
import socket
import time
from collections.abc import Coroutine, Iterable
from contextlib import closing
from typing import Any

import structlog
from fastapi import APIRouter

from runtime.errors import Misconfigured
from runtime.ready import announce
from runtime.settings import Settings
from schemas.intervals import BadInterval, Interval, parse_intervals
from sinks.gateway.alert_log import AlertLog
from sinks.gateway.alert_rules import AlertTable
from sinks.gateway.alerts import build_alerts
from sinks.gateway.commits import Commits
from sinks.gateway.control import StreamTable
from sinks.gateway.control_log import ControlLog
from sinks.gateway.data import build_data
from sinks.gateway.demand import Demand
from sinks.gateway.feed import Feed
from sinks.gateway.history import History
from sinks.gateway.hub import Hub
from sinks.gateway.instruments import build_instruments
from sinks.gateway.intervals import IntervalTable, build_intervals
from sinks.gateway.kinds.feed import KindFeed
from sinks.gateway.kinds.hints import Hints
from sinks.gateway.seam import Seam
from sinks.gateway.security import Security
from sinks.gateway.seeds import build_seeds
from sinks.gateway.server import Server, listen
from sinks.gateway.streams import build_streams
from sinks.gateway.udf import build_udf
from sinks.gateway.warehouse import Warehouse
from sinks.gateway.web import build_web

logger = structlog.get_logger(__name__)

CANCEL_AGAIN_S = 2.0
TICK_S = 1.0


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Serve candles until ``stop``; raise Misconfigured before anything has started."""
    gateway = Gateway(settings)
    with closing(listen(settings.websocket_host, settings.websocket_port)) as listener:
        try:
            await _until(stop, gateway.open())
            if not stop.is_set():
                await gateway.serve(listener, stop)
        finally:
            await gateway.close()


class Gateway:
    """The parts of the process, put together."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._security = Security(settings)
        self._hub = Hub(History(), _intervals(settings))
        self._feed = Feed(settings, self._hub)
        self._table = StreamTable()
        self._intervals = IntervalTable(self._hub.intervals, self._hub.want)
        self._control = ControlLog(settings, self._table, self._intervals)
        self._kinds = KindFeed(settings, self._hub.kinds)
        self._hub.kinds.advise = Hints(settings, self._table).of
        self._demand = Demand(
            self._intervals.wanted,
            self._hub.wanted_intervals,
            self._control.write,
            most=settings.gateway_intervals_on_demand_max,
        )
        self._hub.subscriptions.demand = self._demand.ask
        self._hub.subscriptions.lists = lambda key: self._table.lists(key[:3])
        self._alerts = AlertTable()
        self._alert_log = AlertLog(settings, self._alerts)
        self._warehouse = Warehouse(settings)
        self._commits = Commits(settings)
        self._seam = Seam(self._hub, self._warehouse, self._commits, self._feed)

    async def open(self) -> None:
        """Connect; raise Misconfigured when something is not there."""
        await _all(self._security.open(), self._open_rest())

    async def _open_rest(self) -> None:
        await self._feed.open()
        await self._control.open()
        await self._alert_log.open()
        await self._commits.open()

    async def close(self) -> None:
        """Disconnect."""
        await self._commits.close()
        await self._warehouse.close()
        await self._alert_log.close()
        await self._control.close()
        await self._feed.close()
        await self._security.close()

    async def serve(self, listener: socket.socket, stop: asyncio.Event) -> None:
        """Load the past, say so, and serve until told to stop."""
        settings, hub, feed = self._settings, self._hub, self._feed
        ready = asyncio.Event()
        path = settings.websocket_path
        web = build_web(
            hub,
            ready,
            lambda: feed.is_silent,
            path,
            self._routes(),
            settings.exchange,
            self._security.middleware(),
        )
        async with Server(
            web, tls=self._security.tls, compress=settings.websocket_compression
        ).running(listener) as serving:
            await _until(stop, feed.load(), _wait_for(serving))
            if stop.is_set():
                return
            hub.is_live = True
            work = [feed.follow(), self._control.follow(), _tick(hub, feed), _wait_for(serving)]
            work += [self._security.follow(), self._alert_log.follow()]
            work += [self._kinds.run(), self._demand.run()]
            if settings.clickhouse_url or settings.clickhouse_http_port:
                work.append(self._seam.run())
            ready.set()
            scheme = "https" if self._security.tls else "http"
            _announce(scheme, settings.websocket_host, listener.getsockname()[1], hub)
            await _until(stop, *work)

    def _routes(self) -> list[APIRouter]:
        return [
            *self._security.routers(),
            build_streams(self._table, self._control.write),
            build_instruments(self._table),
            build_intervals(self._intervals, self._control.write),
            build_alerts(self._alerts, self._alert_log.write),
            build_seeds(
                self._hub,
                self._table,
                self._control.write,
                self._feed.last,
                self._warehouse,
                self._settings,
                lambda: self._feed.is_silent,
            ),
            build_udf(self._warehouse, self._hub, self._table, self._settings),
            build_data(
                self._warehouse,
                self._hub,
                self._table,
                self._settings,
                lambda: self._feed.is_silent,
            ),
        ]


def _intervals(settings: Settings) -> tuple[Interval, ...]:
    try:
        return parse_intervals(settings.kline_intervals)
    except BadInterval as e:
        raise Misconfigured(
            "STREAMER_KLINE_INTERVALS",
            f"{e.text!r} is not an interval: {e.reason}",
            remedy="Valid: 1s, 5m, 173m, 4h, 1D, 1w@mon and the preset fibonacci, comma separated.",
        ) from e


def _announce(scheme: str, host: str, port: int, hub: Hub) -> None:
    page = f"{scheme}://{host}:{port}/"
    logger.info("gateway_ready", page=page, series=len(hub.history.series), port=port)
    announce(port=port)


async def _tick(hub: Hub, feed: Feed) -> None:
    while True:
        await asyncio.sleep(TICK_S)
        hub.tick(time.time_ns() // 1_000_000, is_silent=feed.is_silent)


async def _wait_for(task: asyncio.Task[None]) -> None:
    await asyncio.shield(task)


async def _all(*work: Coroutine[Any, Any, None]) -> None:
    """Return when all have; the first failure is raised at once, and the others are cancelled."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        await _cancelled(tasks)
        await asyncio.gather(*tasks, return_exceptions=True)


async def _until(stop: asyncio.Event, *work: Coroutine[Any, Any, object]) -> None:
    """Return when told to stop or when the first work ends; a failure of any is raised."""
    tasks = [asyncio.ensure_future(stop.wait()), *map(asyncio.ensure_future, work)]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await _cancelled(tasks)
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    for result in ended:
        if isinstance(result, Exception):
            raise result


async def _cancelled(tasks: Iterable[asyncio.Future[Any]]) -> None:
    """Cancel until all have ended.

    ``asyncio.wait_for``, by which aiokafka waits for answers, loses a cancellation that comes
    together with the answer (Python 3.11): who is not gone after a while is told once more.
    """
    waiting = set(tasks)
    while waiting:
        for task in waiting:
            task.cancel()
        _, waiting = await asyncio.wait(waiting, timeout=CANCEL_AGAIN_S)
