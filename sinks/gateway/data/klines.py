"""``/api/v1/data/klines/{symbol}``: candles of any interval, as JSON or as a file."""

from typing import Annotated, Literal

import msgspec
import orjson
from fastapi import APIRouter, Path, Query, Request, Response

from runtime.settings import Settings
from schemas.clickhouse.any_interval import COLUMNS
from sinks.gateway.data import asked
from sinks.gateway.data.answer import (
    CLICKHOUSE_FORMATS,
    FILES,
    PROBLEMS,
    Rows,
    failure,
    file_answer,
    rows_answer,
)
from sinks.gateway.data.asked import Cursor, Exchange, Market, Moment, Page, Wanted
from sinks.gateway.data.symbols import Symbols
from sinks.gateway.warehouse import CandlesAsked, QueryTooBig, Warehouse, WarehouseAway

LIMIT_DEFAULT = 500
FILE_LIMIT_DEFAULT = 50_000
EXAMPLE = orjson.loads(
    '{"success":true,"data":[{"candle_time":1769809920000,"trades_count":802,"symbol":"BTCUSDT",'
    '"interval":10380000,"timestamp":1769809920000,"open":28054.89,"high":28099.71,"low":28000.20,'
    '"close":28086.47,"volume":954.287,"quote_volume":26769053.41,"taker_buy_volume":461.669,'
    '"taker_buy_quote_volume":12952766.90,"trade_count":802,"first_id":96785,"last_id":97586,'
    '"closed":true,"rev":9718,"cause":"live","quality":"proven","missing":0,"anchor":""}],'
    '"message":"Retrieved 1 klines","next_cursor":null}'
)
OK = {"model": Rows, "content": {"application/json": {"example": EXAMPLE}, **FILES}}


class _Row(msgspec.Struct):
    timestamp: int
    trade_count: int
    closed: bool


_ALWAYS = ("timestamp", "closed")
_row = msgspec.json.Decoder(_Row).decode


def build_klines(warehouse: Warehouse, symbols: Symbols, settings: Settings) -> APIRouter:
    """Return the route."""
    router = APIRouter(tags=["data"])

    @router.get("/data/klines/{symbol:path}", responses={200: OK, **PROBLEMS})
    async def klines(
        request: Request,
        symbol: Annotated[str, Path(min_length=1, max_length=64, examples=["BTCUSDT"])],
        timeframe: Annotated[
            str,
            Query(max_length=64, examples=["173", "173m", "1w@mon"], description="Or minutes."),
        ] = "1m",
        exchange: Exchange = "binance",
        channel: Market = None,
        start: Moment = None,
        end: Moment = None,
        start_time: Moment = None,
        end_time: Moment = None,
        limit: Annotated[int | None, Query(ge=1)] = None,
        closed: Annotated[bool, Query(description="Without the candle that still runs.")] = False,
        cursor: Page = None,
        format: Wanted = None,  # noqa: A002 - what clients write
        columns: Annotated[
            str | None,
            Query(max_length=400, examples=["close,volume"], description="Of a file: only these."),
        ] = None,
        numbers: Annotated[
            Literal["decimal", "float"], Query(description="Of a file: exact, or binary.")
        ] = "decimal",
    ) -> Response:
        """Return candles that open in [start, end), oldest first.

        Without a start these are the newest, and `next_cursor` leads back in time; with one they
        are the first, and it leads on: past the last closed candle, also when there is no more yet.
        """
        series = asked.series_of(exchange, channel, symbol)
        interval = asked.timeframe_of(timeframe)
        span = asked.span_of(start or start_time, end or end_time)
        kind = asked.format_of(format, request)
        most = settings.query_json_rows_max if kind == "json" else settings.query_rows_max
        default = LIMIT_DEFAULT if kind == "json" else FILE_LIMIT_DEFAULT
        what = f"klines {' '.join(series)} {interval.text}"
        page = asked.cursor_of(cursor, what)
        question = CandlesAsked(
            series, interval, *_span(span, page), asked.limit_of(limit, default, most),
            newest=page.newest if page else span[0] is None,
            columns=_columns(columns, kind), floats=numbers == "float",
        )  # fmt: skip
        try:
            there = await warehouse.covering(question)
            if not there.from_ms:
                await symbols.check(series)
            if closed:
                until_ms = interval.open_ms(there.closed_until_ms)
                end_ms = until_ms if question.end_ms is None else min(until_ms, question.end_ms)
                question = question._replace(end_ms=end_ms)
            if kind == "json":
                return _json(what, question, await warehouse.kline_rows(question, there))
            body, found = await warehouse.kline_file(question, there, CLICKHOUSE_FORMATS[kind])
        except (WarehouseAway, QueryTooBig) as e:
            raise failure(e) from e
        onward = _cursor(what, question, *found)
        return file_answer(f"{symbol}-{interval.text}", body, kind, onward)

    return router


def _columns(said: str | None, kind: asked.Format) -> tuple[str, ...]:
    """Return the columns of a file; when a candle opens and whether it is closed always come."""
    if said is None:
        return ()
    chosen = [name.strip() for name in said.split(",") if name.strip()]
    for name in chosen:
        if name not in COLUMNS:
            asked.refuse(f"there is no column {name!r}", COLUMNS)
    if kind == "json":
        asked.refuse("columns can be chosen of files only: format=arrow, csv or parquet")
    return ("timestamp", *dict.fromkeys(n for n in chosen if n not in _ALWAYS), "closed")


def _span(
    span: tuple[int | None, int | None], page: Cursor | None
) -> tuple[int | None, int | None]:
    if page is None:
        return span
    return (page.bound_ms, page.ms) if page.newest else (page.ms + 1, page.bound_ms)


def _json(what: str, question: CandlesAsked, rows: list[str]) -> Response:
    """Return the rows under today's names and those of old."""
    read = [_row(row) for row in rows]
    texts = [
        f'{{"candle_time":{r.timestamp},"trades_count":{r.trade_count},{text[1:]}'
        for r, text in zip(read, rows, strict=True)
    ]
    times = [r.timestamp for r in read] or [0]
    closed_ms = max((r.timestamp for r in read if r.closed), default=0)
    onward = _cursor(what, question, len(rows), times[0], times[-1], closed_ms)
    return rows_answer("klines", texts, onward)


def _cursor(
    what: str, question: CandlesAsked, rows: int, first_ms: int, last_ms: int, closed_ms: int
) -> str | None:
    """Return the cursor of the next page; a candle that runs comes again when it is closed."""
    if question.newest:
        if rows < question.limit:
            return None
        return asked.cursor_text(Cursor(what, True, first_ms, bound_ms=question.start_ms))
    at_ms = (closed_ms or last_ms - 1) if rows else (question.start_ms or 0) - 1
    return asked.cursor_text(Cursor(what, False, max(at_ms, 0), bound_ms=question.end_ms))
