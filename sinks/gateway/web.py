"""The gateway's application: the page and its files, health, the list of series, the WebSocket.

Nothing on the page comes from anywhere else: the policy below would not let it in.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request, WebSocket
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from schemas.intervals import Interval
from sinks.gateway.connection import MSGPACK, Connection, flush_soon
from sinks.gateway.documents import publish
from sinks.gateway.envelopes import error_text
from sinks.gateway.hub import Hub
from sinks.gateway.protocol import Refused
from sinks.gateway.seeds.forms import Form, form_of
from sinks.gateway.seeds.rest import ACTIVE

STATIC = Path(__file__).with_name("static")
STREAM_PATH = "/ws/stream"
SECONDS_PATH = "/ws/ohlc"
POLICY_VIOLATION = 1008
BODY_BYTES_MAX = 64 << 10
HSTS = "max-age=31536000"
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
                headers = MutableHeaders(scope=message)
                headers.update(SECURITY_HEADERS)
                if scope["scheme"] == "https":
                    headers["strict-transport-security"] = HSTS
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)


def build_web(
    hub: Hub,
    ready: asyncio.Event,
    is_silent: Callable[[], bool],
    websocket_path: str,
    routers: Sequence[APIRouter] = (),
    exchange: str = "binance",
    middleware: Sequence[Middleware] = (),
) -> FastAPI:
    """Return the application; ``ready`` is set once the candles of the past are in memory."""
    web = FastAPI(
        title="fibstream gateway",
        docs_url=None,
        redoc_url=None,
        max_body_size=BODY_BYTES_MAX,
        middleware=[Middleware(SecurityHeaders), *middleware],
    )
    chart_library = Path(str(files("litecharts.js").joinpath("lightweight-charts.js")))

    @web.get("/", include_in_schema=False)
    async def page(request: Request) -> Response:
        vary = {"vary": "accept"}
        if "text/html" in request.headers.get("accept", ""):
            return FileResponse(STATIC / "index.html", headers=vary)
        return JSONResponse({"message": ACTIVE}, headers=vary)  # programs ask whether it is up

    @web.get("/static/lightweight-charts.js", include_in_schema=False)
    async def chart() -> FileResponse:
        return FileResponse(chart_library, media_type="text/javascript")

    @web.get("/health/live")
    async def live() -> dict[str, str]:
        """Say that the process runs."""
        return {"status": "live"}

    @web.get("/health/ready", responses={503: {"description": "It loads, or Kafka is away."}})
    async def readiness() -> JSONResponse:
        """Say whether the candles shown are complete and up to date."""
        status = "loading" if not ready.is_set() else "kafka away" if is_silent() else "ready"
        facts = {"status": status, "series": len(hub.history.series), "clients": len(hub.clients)}
        return JSONResponse(facts, status_code=200 if status == "ready" else 503)

    @web.get("/api/v1/series")
    async def series() -> dict[str, Any]:
        """List the series of candles in memory and the intervals that are made."""
        return describe_series(hub)

    for router in routers:
        web.include_router(router)
    _add_sockets(web, Sockets(hub, ready, exchange), websocket_path)
    publish(web, websocket_path)
    web.mount("/static", StaticFiles(directory=STATIC), name="static")
    return web


class Sockets:
    """Serves every WebSocket in the form that its address asks for."""

    def __init__(self, hub: Hub, ready: asyncio.Event, exchange: str) -> None:
        self._hub = hub
        self._ready = ready
        self._exchange = exchange
        hub.turn.schedule = partial(flush_soon, hub)

    async def serve(self, websocket: WebSocket, said: Mapping[str, str]) -> None:
        """Serve one client to its end."""
        form: Form | None = None
        try:
            form = None if said.get("format") == MSGPACK else form_of(said, self._exchange)
        except Refused as e:
            await websocket.accept()
            await websocket.send_text(error_text(e))
            await websocket.close(POLICY_VIOLATION, "the address asks for what there is not")
            return
        await Connection(websocket, self._hub, self._ready, form).run()


def _add_sockets(web: FastAPI, sockets: Sockets, websocket_path: str) -> None:
    async def stream(websocket: WebSocket) -> None:
        await sockets.serve(websocket, websocket.query_params)

    async def seconds(websocket: WebSocket) -> None:
        await sockets.serve(websocket, {**websocket.query_params, "format": "ohlc"})

    # Not FastAPI's: what it keeps of each connection is a fifth of all that is kept.
    for path in {STREAM_PATH, websocket_path}:
        web.router.add_websocket_route(path, stream)
    web.router.add_websocket_route(SECONDS_PATH, seconds)


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
