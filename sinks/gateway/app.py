"""The gateway's process: bind, connect, load the past, announce, then serve until told to stop."""

import asyncio
import socket
import time
from collections.abc import Coroutine, Sequence
from contextlib import closing
from typing import Any

import structlog
from fastapi import APIRouter

from runtime.errors import Misconfigured
from runtime.ready import announce
from runtime.settings import Settings
from schemas.intervals import BadInterval, Interval, parse_intervals
from sinks.gateway.control import StreamTable
from sinks.gateway.control_log import ControlLog
from sinks.gateway.feed import Feed
from sinks.gateway.history import History
from sinks.gateway.hub import Hub
from sinks.gateway.instruments import build_instruments
from sinks.gateway.intervals import IntervalTable, build_intervals
from sinks.gateway.server import Server, listen
from sinks.gateway.streams import build_streams
from sinks.gateway.web import build_web

logger = structlog.get_logger(__name__)

TICK_S = 1.0
LOOPBACK = ("127.", "localhost", "::1")


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Serve candles until ``stop``; raise Misconfigured before anything has started."""
    hub = Hub(History(), _intervals(settings))
    feed = Feed(settings, hub)
    table = StreamTable()
    intervals = IntervalTable(hub.intervals, hub.want)
    control = ControlLog(settings, table, intervals)
    with closing(listen(settings.websocket_host, settings.websocket_port)) as listener:
        try:
            await _until(stop, _open(feed, control))
            if not stop.is_set():
                routes = [
                    build_streams(table, control.write),
                    build_instruments(table),
                    build_intervals(intervals, control.write),
                ]
                await _serve(settings, hub, feed, control, routes, listener, stop)
        finally:
            await control.close()
            await feed.close()


async def _open(feed: Feed, control: ControlLog) -> None:
    await feed.open()
    await control.open()


async def _serve(
    settings: Settings,
    hub: Hub,
    feed: Feed,
    control: ControlLog,
    routes: Sequence[APIRouter],
    listener: socket.socket,
    stop: asyncio.Event,
) -> None:
    ready = asyncio.Event()
    web = build_web(hub, ready, lambda: feed.is_silent, settings.websocket_path, routes)
    async with Server(web).running(listener) as serving:
        await _until(stop, feed.load(), _wait_for(serving))
        if stop.is_set():
            return
        hub.is_live = True
        ready.set()
        _announce(settings.websocket_host, listener.getsockname()[1], hub)
        await _until(stop, feed.follow(), control.follow(), _tick(hub, feed), _wait_for(serving))


def _intervals(settings: Settings) -> tuple[Interval, ...]:
    try:
        return parse_intervals(settings.kline_intervals)
    except BadInterval as e:
        raise Misconfigured(
            "STREAMER_KLINE_INTERVALS",
            f"{e.text!r} is not an interval: {e.reason}",
            remedy="Valid: 1s, 5m, 173m, 4h, 1D, 1w@mon and the preset fibonacci, comma separated.",
        ) from e


def _announce(host: str, port: int, hub: Hub) -> None:
    if not host.startswith(LOOPBACK):
        logger.warning("gateway_open_to_the_network", host=host, keys="none are asked for yet")
    logger.info(
        "gateway_ready", page=f"http://{host}:{port}/", series=len(hub.history.series), port=port
    )
    announce(port=port)


async def _tick(hub: Hub, feed: Feed) -> None:
    while True:
        await asyncio.sleep(TICK_S)
        hub.tick(time.time_ns() // 1_000_000, is_silent=feed.is_silent)


async def _wait_for(task: asyncio.Task[None]) -> None:
    await asyncio.shield(task)


async def _until(stop: asyncio.Event, *work: Coroutine[Any, Any, object]) -> None:
    """Return when told to stop or when the first work ends; a failure of any is raised."""
    tasks = [asyncio.ensure_future(stop.wait()), *map(asyncio.ensure_future, work)]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    for result in ended:
        if isinstance(result, Exception):
            raise result
