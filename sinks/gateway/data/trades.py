"""``/api/v1/data/trades/{symbol}``: trades, each once, as JSON or as a file."""

from typing import Annotated

import msgspec
import orjson
from fastapi import APIRouter, Path, Query, Request, Response

from runtime.settings import Settings
from schemas.clickhouse.rows import Ends, Place, TradesAsked
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
from sinks.gateway.warehouse import QueryTooBig, Warehouse, WarehouseAway

LIMIT_DEFAULT = 1_000
FILE_LIMIT_DEFAULT = 100_000
EXAMPLE = orjson.loads(
    '{"success":true,"data":[{"aggregate_id":26129,"id":26129,"uid":"","timestamp":1640995200153,'
    '"price":50000.50,"quantity":0.01,"side":-1,"is_buyer_maker":true,"flags":0,"first_id":28457,'
    '"last_id":28458,"source":"live","recv_ns":1640995200171000000}],'
    '"message":"Retrieved 1 trades","next_cursor":null}'
)
OK = {"model": Rows, "content": {"application/json": {"example": EXAMPLE}, **FILES}}


class _Row(msgspec.Struct):
    timestamp: int
    id: int
    uid: str


_row = msgspec.json.Decoder(_Row).decode


def build_trades(warehouse: Warehouse, symbols: Symbols, settings: Settings) -> APIRouter:
    """Return the route."""
    router = APIRouter(tags=["data"])

    @router.get("/data/trades/{symbol:path}", responses={200: OK, **PROBLEMS})
    async def trades(
        request: Request,
        symbol: Annotated[str, Path(min_length=1, max_length=64, examples=["BTCUSDT"])],
        exchange: Exchange = "binance",
        channel: Market = None,
        start: Moment = None,
        end: Moment = None,
        start_time: Moment = None,
        end_time: Moment = None,
        limit: Annotated[int | None, Query(ge=1)] = None,
        cursor: Page = None,
        format: Wanted = None,  # noqa: A002 - what clients write
    ) -> Response:
        """Return the trades of [start, end) by time and id, oldest first.

        Without a start these are the newest, and `next_cursor` leads back in time; with one it
        leads on. What was stored when the first page was asked for is on one of them, and once.
        """
        series = asked.series_of(exchange, channel, symbol)
        span = asked.span_of(start or start_time, end or end_time)
        kind = asked.format_of(format, request)
        most = settings.query_json_rows_max if kind == "json" else settings.query_rows_max
        default = LIMIT_DEFAULT if kind == "json" else FILE_LIMIT_DEFAULT
        what = f"trades {' '.join(series)}"
        page = asked.cursor_of(cursor, what)
        question = TradesAsked(
            series, *span, asked.limit_of(limit, default, most), newest=span[0] is None
        )
        if page is not None:
            question = _onward(question, page)
        try:
            if kind == "json":
                texts = await warehouse.trade_rows(question)
                if not texts and page is None:
                    await symbols.check(series)
                return rows_answer("trades", texts, _cursor(what, question, _ends(texts)))
            body, found = await warehouse.trade_file(question, CLICKHOUSE_FORMATS[kind])
            if not found.rows and page is None:
                await symbols.check(series)
        except (WarehouseAway, QueryTooBig) as e:
            raise failure(e) from e
        return file_answer(f"{symbol}-trades", body, kind, _cursor(what, question, found))

    return router


def _onward(question: TradesAsked, page: Cursor) -> TradesAsked:
    """Return the question as it goes on after a page."""
    span = (page.bound_ms, None) if page.newest else (None, page.bound_ms)
    after = Place(page.ms, page.id, page.uid)
    return question._replace(start_ms=span[0], end_ms=span[1], newest=page.newest, after=after)


def _ends(texts: list[str]) -> Ends:
    first, last = (_row(texts[n]) if texts else _Row(0, 0, "") for n in (0, -1))
    places = (Place(each.timestamp, each.id, each.uid) for each in (first, last))
    return Ends(len(texts), *places)


def _cursor(what: str, question: TradesAsked, found: Ends) -> str | None:
    """Return the cursor of the next page; None: there is no more."""
    if found.rows < question.limit:
        return None
    place = found.first if question.newest else found.last
    bound_ms = question.start_ms if question.newest else question.end_ms
    return asked.cursor_text(Cursor(what, question.newest, *place, bound_ms))
