"""The gateway's application: the page and its files, health, the list of series, the WebSocket.

Nothing on the page comes from anywhere else: the policy below would not let it in.
"""

import asyncio
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, WebSocket
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from schemas.intervals import Interval
from sinks.gateway.connection import Connection, Writer
from sinks.gateway.hub import Hub

STATIC = Path(__file__).with_name("static")
STREAM_PATH = "/ws/stream"
SECURITY_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-cache",  # kept, but asked for anew: an upgrade shows at once
}


class SecurityHeaders:
    """Adds the headers to every HTTP answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on; what goes back gets the headers."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(SECURITY_HEADERS)
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)


def build_web(
    hub: Hub,
    ready: asyncio.Event,
    is_silent: Callable[[], bool],
    websocket_path: str,
    routers: Sequence[APIRouter] = (),
) -> FastAPI:
    """Return the application; ``ready`` is set once the candles of the past are in memory."""
    web = FastAPI(title="fibstream gateway", docs_url=None, redoc_url=None)
    web.add_middleware(SecurityHeaders)
    chart_library = Path(str(files("litecharts.js").joinpath("lightweight-charts.js")))

    @web.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(STATIC / "index.html")

    @web.get("/static/lightweight-charts.js", include_in_schema=False)
    async def chart() -> FileResponse:
        return FileResponse(chart_library, media_type="text/javascript")

    @web.get("/health/live")
    async def live() -> dict[str, str]:
        """Say that the process runs."""
        return {"status": "live"}

    @web.get("/health/ready")
    async def readiness() -> JSONResponse:
        """Say whether the candles shown are complete and up to date."""
        status = "loading" if not ready.is_set() else "kafka away" if is_silent() else "ready"
        facts = {"status": status, "series": len(hub.history.series), "clients": len(hub.clients)}
        return JSONResponse(facts, status_code=200 if status == "ready" else 503)

    @web.get("/api/v1/series")
    async def series() -> dict[str, Any]:
        """List the series of candles in memory and the intervals that are made."""
        return describe_series(hub)

    writer = Writer()

    async def stream(websocket: WebSocket) -> None:
        await Connection(websocket, hub, ready, writer).run()

    for router in routers:
        web.include_router(router)
    for path in {STREAM_PATH, websocket_path}:
        web.add_api_websocket_route(path, stream)
    web.mount("/static", StaticFiles(directory=STATIC), name="static")
    return web


def describe_series(hub: Hub) -> dict[str, Any]:
    """Return every market with its intervals, in order of name."""
    markets: dict[tuple[str, str, str], list[Interval]] = {}
    made = set(hub.intervals)
    for key in (key for key in hub.history.series if key.interval in made):
        markets.setdefault((key.symbol, key.exchange, key.channel), []).append(key.interval)
    return {
        "intervals": [interval.text for interval in hub.intervals],
        "candles_per_series": hub.history.candles_per_series,
        "series": [
            {
                "symbol": symbol,
                "exchange": exchange,
                "channel": channel,
                "intervals": [interval.text for interval in sorted(its)],
            }
            for (symbol, exchange, channel), its in sorted(markets.items())
        ],
    }
