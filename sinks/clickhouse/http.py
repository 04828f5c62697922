"""The small HTTP endpoint beside chDB: ClickHouse's HTTP interface for readers.

``curl 'http://127.0.0.1:PORT/?query=SELECT...'`` and clickhouse-connect work. Anyone who reaches
the port may read; nobody may write, or reach the host through the engine.
"""

import asyncio
import contextlib
import ipaddress
import socket
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import structlog
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from runtime.ports import port_refused
from sinks import metrics
from sinks.clickhouse.query import (
    READONLY,
    SYNTAX_ERROR,
    TOO_MANY_QUERIES,
    Queries,
    QueryFailed,
)

logger = structlog.get_logger(__name__)

PORT = "STREAMER_CLICKHOUSE_HTTP_PORT"
RUNNING_MAX = 2  # queries
WAITING_MAX = 16  # queries
SQL_BYTES_MAX = 1 << 20
STOP_WITHIN_S = 3

# What clients say about the transport, the user and the session: nothing here to choose from.
IGNORED = {
    *("query", "database", "default_format", "user", "password", "quota_key", "role"),
    *("query_id", "session_id", "session_timeout", "session_check", "client_protocol_version"),
    *("compress", "decompress", "enable_http_compression", "http_zlib_compression_level"),
    *("wait_end_of_query", "buffer_size", "send_progress_in_http_headers"),
    *("http_headers_progress_interval_ms", "add_http_cors_header", "readonly"),
}
# https://github.com/ClickHouse/ClickHouse/blob/master/src/Server/HTTPHandler.cpp
BAD_REQUEST = {6, 26, 27, 36, 38, 41, 43, 53, 62, 69, 72, 115, 130, 407, 456, 457}
NOT_FOUND = {16, 46, 47, 50, 60, 73, 81}
STATUS = {READONLY: 403, 159: 408, 396: 413, TOO_MANY_QUERIES: 503}
CONTENT_TYPES = {
    "TabSeparated": "text/tab-separated-values; charset=UTF-8",
    "TabSeparatedWithNames": "text/tab-separated-values; charset=UTF-8",
    "CSV": "text/csv; charset=UTF-8; header=absent",
    "CSVWithNames": "text/csv; charset=UTF-8; header=present",
    "JSON": "application/json; charset=UTF-8",
    "JSONCompact": "application/json; charset=UTF-8",
    "JSONEachRow": "application/x-ndjson; charset=UTF-8",
    "Pretty": "text/plain; charset=UTF-8",
}


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # the process's own stop event ends this server


class HttpEndpoint:
    """Answers SQL on one port until it is closed."""

    def __init__(self, queries: Queries, host: str, port: int) -> None:
        self._queries = queries
        self._host = host
        self._port = port
        self._threads = ThreadPoolExecutor(RUNNING_MAX, thread_name_prefix="query")
        self._in_flight = 0
        self._serving: asyncio.Task[None] | None = None
        config = uvicorn.Config(
            self._app(),
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=STOP_WITHIN_S,
            h11_max_incomplete_event_size=SQL_BYTES_MAX,
        )
        self._server = _Server(config)

    async def open(self) -> int:
        """Listen; return the port. Raise Misconfigured when it is taken."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        # The protocol is named because asyncio turns Nagle's delay (40 ms) off only where it is.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((self._host, self._port))
        except OSError as e:
            listener.close()
            raise port_refused(self._host, self._port, PORT, e) from e
        port: int = listener.getsockname()[1]
        self._serving = asyncio.create_task(self._server.serve([listener]))
        logger.info("sql_endpoint_ready", host=self._host, port=port)
        return port

    async def close(self) -> None:
        """Stop listening; a query that still runs is given a moment, then left to its limit."""
        serving, self._serving = self._serving, None
        if serving is not None:
            self._server.should_exit = True
            await serving
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _app(self) -> Starlette:
        async def ok(_request: Request) -> Response:
            return PlainTextResponse("Ok.\n")

        routes = [
            Route("/ping", ok),
            Route("/", self._answer, methods=["GET", "POST"]),
        ]
        # A page in a browser on this machine must not read through a name that it controls.
        local = {"localhost", "127.0.0.1", self._host}
        hosts = sorted(local) if _is_loopback(self._host) else ["*"]
        return Starlette(
            routes=routes, middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=hosts)]
        )

    async def _answer(self, request: Request) -> Response:
        if not request.query_params and request.method == "GET":
            return PlainTextResponse("Ok.\n")
        if self._in_flight >= RUNNING_MAX + WAITING_MAX:
            metrics.QUERIES.labels("busy").inc()
            text = f"Code: {TOO_MANY_QUERIES}. DB::Exception: Too many simultaneous queries."
            return _failure(QueryFailed(text, TOO_MANY_QUERIES))
        self._in_flight += 1
        try:
            return await self._run(request)
        except QueryFailed as e:
            refused = e.code == READONLY
            metrics.QUERIES.labels("refused" if refused else "failed").inc()
            return _failure(e)
        finally:
            self._in_flight -= 1

    async def _run(self, request: Request) -> Response:
        asked = request.query_params
        sql = await _sql(request)
        default_format = request.headers.get("x-clickhouse-format") or asked.get("default_format")
        query_id = asked.get("query_id") or str(uuid.uuid4())
        database = request.headers.get("x-clickhouse-database") or asked.get("database", "")

        def run() -> Any:
            return self._queries.run(
                sql,
                default_format=default_format or "TabSeparated",
                database="" if database == "default" else database,
                settings={k: v for k, v in asked.items() if k not in IGNORED and k[:6] != "param_"},
                parameters={k[6:]: v for k, v in asked.items() if k[:6] == "param_"},
            )

        answer = await asyncio.get_running_loop().run_in_executor(self._threads, run)
        metrics.QUERIES.labels("ok").inc()
        headers = {
            "X-ClickHouse-Server-Display-Name": "fibstream",
            "X-ClickHouse-Query-Id": query_id if query_id.isprintable() else "",
            "X-ClickHouse-Format": answer.output_format,
            "X-ClickHouse-Timezone": self._queries.timezone,
            "X-ClickHouse-Summary": answer.summary,
        }
        kind = CONTENT_TYPES.get(answer.output_format, "application/octet-stream")
        return Response(answer.body, headers=headers, media_type=kind)


async def _sql(request: Request) -> str:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > SQL_BYTES_MAX:
            raise QueryFailed(f"Code: 62. DB::Exception: SQL over {SQL_BYTES_MAX} bytes.", 396)
    if request.headers.get("content-encoding", "identity") != "identity":
        text = "This endpoint reads only: SQL, uncompressed, and no data to insert."
        raise QueryFailed(f"Code: {READONLY}. DB::Exception: {text}", READONLY)
    if request.headers.get("content-type", "").startswith("multipart/"):
        raise QueryFailed("Code: 48. DB::Exception: Forms are not read here.", 48)
    try:
        parts = (request.query_params.get("query", ""), body.decode())
    except UnicodeDecodeError as e:
        raise QueryFailed("Code: 62. DB::Exception: The SQL is not UTF-8.", SYNTAX_ERROR) from e
    sql = "\n".join(part for part in parts if part)
    if not sql.strip():
        raise QueryFailed("Code: 62. DB::Exception: Syntax error: Empty query.", SYNTAX_ERROR)
    return sql


def _failure(e: QueryFailed) -> Response:
    headers = {} if e.code is None else {"X-ClickHouse-Exception-Code": str(e.code)}
    if e.code in BAD_REQUEST:
        status = 400
    elif e.code in NOT_FOUND:
        status = 404
    else:
        status = STATUS.get(e.code or 0, 500)
    return PlainTextResponse(e.message.rstrip() + "\n", status, headers)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
