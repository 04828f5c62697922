"""The warehouse as the gateway reads it: ClickHouse over HTTP, a few questions at a time.

It is a server, or the endpoint beside the sink's chDB. Rows come back as text that the engine wrote
and are never decoded here.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from time import monotonic
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import httpx
import orjson

from runtime.errors import Misconfigured, Retriable
from runtime.settings import Settings
from schemas.clickhouse import any_interval, rows
from schemas.clickhouse.any_interval import Coverage
from schemas.clickhouse.pieces import Query, Series, Windows
from schemas.clickhouse.rows import Counted
from schemas.intervals import Interval
from schemas.rules import candle_rule
from sinks.gateway import metrics

URL = "STREAMER_CLICKHOUSE_URL"
EMBEDDED_DATABASE = "market"
RUNNING_MAX = 4  # questions at once
WAITING_MAX = 64  # questions
WAIT_MAX_S = 5.0
CONNECT_TIMEOUT_S = 2.0
RETRY_AFTER_S = 2.0
KNOWN_MAX = 1_000  # coverages that are remembered
KNOWN_FOR_S = 60.0
GROWTH = 8  # a span that held too few candles is so many times longer when asked again

# https://clickhouse.com/docs/interfaces/formats/TabSeparated#tabseparated-escaping
_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r", "\0": r"\0"})
# https://github.com/ClickHouse/ClickHouse/blob/master/src/Common/ErrorCodes.cpp
AWAY = {
    *(60, 81),  # its sink has not made the tables yet
    *(202, 203, 209, 210, 236, 242, 279, 394, 425, 439, 999),  # too busy, restarting, network
}
TOO_BIG = {158, 159, 160, 241, 307, 396}  # rows, time, memory, bytes


class WarehouseAway(Retriable):
    """No answer for now; ``retry_after_s`` says when to ask again."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the warehouse is away: {reason}", retry_after_s=RETRY_AFTER_S)


class QueryTooBig(ValueError):  # noqa: N818 - reads as what it says
    """The answer would take more rows, time or memory than one question may."""


class CandlesAsked(NamedTuple):
    """Candles that open in ``[start_ms, end_ms)``, the newest ``limit`` or the oldest."""

    series: Series
    interval: Interval
    start_ms: int | None
    end_ms: int | None
    limit: int
    newest: bool = True
    columns: Sequence[str] = ()
    """Of a file, where not all are wanted; "timestamp" and "closed" are among them."""
    floats: bool = False


class Warehouse:
    """One pool of connections; every method raises WarehouseAway or QueryTooBig."""

    def __init__(self, settings: Settings) -> None:
        """Connect to nothing yet; raise Misconfigured for a URL that is none."""
        self._url, self._database, auth = _address(settings)
        self.timeout_s = settings.query_timeout_s
        self._empty = settings.empty_candles
        self._running = asyncio.Semaphore(RUNNING_MAX)
        self._waiting = 0
        self._known: dict[tuple[Series, Interval], tuple[float, Coverage]] = {}
        self._client = httpx.AsyncClient(
            auth=auth,
            timeout=httpx.Timeout(self.timeout_s + 1, connect=CONNECT_TIMEOUT_S),
            limits=httpx.Limits(max_connections=RUNNING_MAX),
            trust_env=False,  # a proxy has no business between us
        )

    @property
    def state(self) -> str:
        """Say why it does not answer, when it does not."""
        return "away" if self._url else "not configured"

    async def close(self) -> None:
        """Disconnect."""
        await self._client.aclose()

    async def klines(
        self,
        exchange: str,
        channel: str,
        symbol: str,
        interval: Interval,
        start_ms: int | None,
        end_ms: int | None,
        limit: int,
        *,
        newest: bool = True,
    ) -> list[str]:
        """Return candles that open in ``[start_ms, end_ms)`` as the JSON rows of the topics.

        Oldest first; of more than ``limit`` the ``newest``, or the oldest.
        """
        series = Series(exchange, channel, symbol)
        asked = CandlesAsked(series, interval, start_ms, end_ms, limit, newest)
        return await self.kline_rows(asked, await self.covering(asked))

    async def kline_rows(self, asked: CandlesAsked, there: Coverage) -> list[str]:
        """Return candles as JSON rows."""
        async for query, found, is_all in self._spans(asked, there):
            body = await self.ask(rows.klines_text(query, found), "TabSeparatedRaw")
            if is_all or body.count(b"\n") >= asked.limit:
                return body.decode().splitlines()
        return []

    async def kline_file(
        self, asked: CandlesAsked, there: Coverage, output_format: str
    ) -> tuple[bytes, Counted]:
        """Return candles in a format of ClickHouse's, and what is in it."""
        async for every, _, is_all in self._spans(asked, there):
            query = _chosen(every, asked)
            if output_format == "ArrowStream":  # it tells at no cost what is in it
                body = await self.ask(query, output_format)
                counted = _counted(body)
            else:
                counted, body = await self._counted(every), b""
            if is_all or counted.rows >= asked.limit:
                return body or await self.ask(query, output_format), counted
        raise AssertionError("the last span is all there is")

    async def _spans(
        self, asked: CandlesAsked, there: Coverage
    ) -> AsyncIterator[tuple[Query, Coverage, bool]]:
        """Yield questions over longer and longer spans; of the last one it is said that it is."""
        series, interval, start_ms, end_ms, limit, newest, *_ = asked
        low_ms = max(start_ms or 0, interval.open_ms(there.from_ms))
        high_ms = min(there.until_ms if end_ms is None else end_ms, there.until_ms)
        span_ms, is_all = (limit + 1) * interval.length_ms, False
        while not is_all:
            is_all = span_ms >= high_ms - low_ms
            first_ms = max(low_ms, high_ms - span_ms) if newest else low_ms
            last_ms = high_ms if newest else min(high_ms, low_ms + span_ms)
            carries = candle_rule(series.exchange, self._empty).fills and there.from_ms
            if carries and not there.holds(Windows.within(interval, first_ms, last_ms)):
                there = await self.coverage(series, interval, first_ms)
            query = any_interval.candles(
                *(series, interval, first_ms, last_ms, limit, there),
                newest=newest,
                empty=self._empty,
            )
            yield query, there, is_all
            span_ms *= GROWTH

    async def _counted(self, query: Query) -> Counted:
        body = await self.ask(rows.counted(query), "TabSeparated")
        return Counted(*map(int, body.split()))

    async def trades(
        self,
        exchange: str,
        channel: str,
        symbol: str,
        start_ms: int | None,
        end_ms: int | None,
        limit: int,
        *,
        newest: bool = True,
    ) -> list[str]:
        """Return trades of ``[start_ms, end_ms)`` as JSON rows, oldest first."""
        asked = rows.TradesAsked(Series(exchange, channel, symbol), start_ms, end_ms, limit, newest)
        return await self.trade_rows(asked)

    async def trade_rows(self, asked: rows.TradesAsked) -> list[str]:
        """Return trades as JSON rows."""
        text = await self.ask(rows.trades_text(rows.trades(asked)), "TabSeparatedRaw")
        return text.decode().splitlines()

    async def trade_file(
        self, asked: rows.TradesAsked, output_format: str
    ) -> tuple[bytes, rows.Ends]:
        """Return trades in a format of ClickHouse's, and what is in it."""
        query = rows.trades(asked)
        body = await self.ask(rows.trade_ends(query), "TabSeparated")
        return await self.ask(rows.trade_table(query), output_format), rows.ends(body.decode())

    async def coverage(self, series: Series, interval: Interval, from_ms: int = 0) -> Coverage:
        """Return what there is of a series."""
        body = await self.ask(any_interval.coverage(series, interval, from_ms), "TabSeparated")
        return Coverage(*map(int, body.split()))

    async def covering(self, asked: CandlesAsked) -> Coverage:
        """Return what there is of a series, as far as the question needs to know.

        That a span is stored whole stays true whatever comes, so it is not asked again for a while;
        where the span reaches further, the answer is always fresh.
        """
        key = asked.series, asked.interval
        known_s, known = self._known.get(key, (0.0, Coverage()))
        if asked.start_ms is not None and asked.end_ms is not None:
            windows = Windows.within(asked.interval, asked.start_ms, asked.end_ms)
            if known.holds(windows) and monotonic() < known_s + KNOWN_FOR_S:
                return known
        there = await self.coverage(*key)
        self._known.pop(key, None)
        while len(self._known) >= KNOWN_MAX:
            del self._known[next(iter(self._known))]
        self._known[key] = monotonic(), there
        return there

    async def objects(self, query: Query) -> list[dict[str, Any]]:
        """Return the rows of a small answer as objects."""
        body = await self.ask(query, "JSONEachRow")
        return [orjson.loads(line) for line in body.splitlines()]

    async def ask(self, query: Query, output_format: str) -> bytes:
        """Return the answer to one statement in a format of ClickHouse's."""
        if not self._url:
            raise WarehouseAway(f"neither {URL} nor STREAMER_CLICKHOUSE_HTTP_PORT is set")
        if self._waiting >= WAITING_MAX:
            raise WarehouseAway(f"{WAITING_MAX} questions wait already")
        self._waiting += 1
        try:
            async with asyncio.timeout(WAIT_MAX_S):
                await self._running.acquire()
        except TimeoutError as e:
            raise WarehouseAway(f"no free connection within {WAIT_MAX_S:.0f} s") from e
        finally:
            self._waiting -= 1
        started_s = monotonic()
        try:
            return await self._post(query, output_format)
        finally:
            self._running.release()
            metrics.WAREHOUSE_SECONDS.observe(monotonic() - started_s)

    async def _post(self, query: Query, output_format: str) -> bytes:
        settings = {
            "database": self._database,
            "default_format": output_format,
            "max_execution_time": str(self.timeout_s),
            "wait_end_of_query": "1",
            "output_format_json_quote_64bit_integers": "0",
            "output_format_arrow_compression_method": "none",
            "output_format_arrow_string_as_string": "1",
            "output_format_parquet_string_as_string": "1",
        }
        bound = {f"param_{name}": escaped(text) for name, text in query.parameters.items()}
        try:
            answer = await self._client.post(
                self._url, params=settings | bound, content=query.sql.encode()
            )
        except httpx.TimeoutException as e:
            raise WarehouseAway(f"no answer within {self.timeout_s:.0f} s") from e
        except httpx.TransportError as e:
            raise WarehouseAway(f"{type(e).__name__} at {self._url}") from e
        if answer.is_success:
            return answer.content
        raise _failure(answer.headers, answer.text)


def escaped(text: str) -> str:
    """Return a text as ClickHouse reads parameters: they are fields of its escaped format."""
    return text.translate(_ESCAPES)


def _chosen(query: Query, asked: CandlesAsked) -> Query:
    if not asked.columns and not asked.floats:
        return query
    return any_interval.picked(query, asked.columns or any_interval.COLUMNS, floats=asked.floats)


def _counted(body: bytes) -> Counted:
    """Return what is in a table of candles."""
    # Half a second and 40 MB, for files alone.
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.compute as pc  # noqa: PLC0415

    table = pa.ipc.open_stream(body).read_all()
    times, rows = table["timestamp"], len(table)
    if not rows:
        return Counted(0, 0, 0, 0)
    closed_ms = pc.max(times.filter(table["closed"])).as_py()
    return Counted(rows, times[0].as_py(), times[-1].as_py(), closed_ms or 0)


def _failure(headers: Mapping[str, str], text: str) -> Exception:
    code = int(headers.get("x-clickhouse-exception-code") or 0)
    if code in TOO_BIG:
        return QueryTooBig(f"ClickHouse gave up: code {code}")
    if code in AWAY or not code:
        return WarehouseAway(f"code {code}" if code else "a proxy or a half answer")
    return RuntimeError(text)


def _address(settings: Settings) -> tuple[str, str, httpx.BasicAuth | None]:
    """Return the URL to post to, the database, and who we are."""
    if not settings.clickhouse_url:
        host, port = settings.clickhouse_http_host, settings.clickhouse_http_port
        return (f"http://{host}:{port}/" if port else ""), EMBEDDED_DATABASE, None
    remedy = "Write http://user:password@host:8123/database, or leave it empty for chDB."
    try:
        parts = urlsplit(settings.clickhouse_url)
        port = parts.port or (8443 if parts.scheme == "https" else 8123)
    except ValueError as e:
        raise Misconfigured(URL, f"it is not a URL: {e}", remedy=remedy) from e
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Misconfigured(URL, "it is not an http:// or https:// URL", remedy=remedy)
    auth = httpx.BasicAuth(unquote(parts.username or "default"), unquote(parts.password or ""))
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}:{port}/", parts.path.strip("/") or "default", auth
