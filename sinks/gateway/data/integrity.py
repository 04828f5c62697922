"""``/api/v1/integrity``: what is known of each month and day, and the gaps that are open."""
# ruff: noqa: S608 - what is put in is our own words

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel

from schemas.clickhouse import pieces
from schemas.trades import Channel
from sinks.gateway.data import asked
from sinks.gateway.data.answer import PROBLEMS, failure
from sinks.gateway.warehouse import QueryTooBig, Warehouse, WarehouseAway

ROWS_MAX = 10_000
# Names that are not given match everything.
_WHERE = (
    "({exchange:String} = '' OR exchange = {exchange:String})"
    " AND ({channel:String} = '' OR channel = {channel:String})"
    " AND ({symbol:String} = '' OR symbol = {symbol:String})"
)
_PERIODS = (
    "SELECT exchange, channel, symbol, period, toString(period_start) AS period_start,"
    " first_id, last_id, toUnixTimestamp64Milli(first_time) AS first_ms,"
    " toUnixTimestamp64Milli(last_time) AS last_ms, count, duplicates, gaps_count, unrecoverable,"
    " quality, trusted, toUnixTimestamp64Milli(checked_at) AS checked_ms"
    f" FROM integrity_latest WHERE {_WHERE}"
    " AND ({period:String} = '' OR period = {period:String})"
    " AND (NOT {faulty:Bool} OR gaps_count > 0 OR duplicates > 0)"
    " ORDER BY exchange, channel, symbol, period, period_start LIMIT {limit:UInt32}"
)
_GAPS = (
    "SELECT exchange, channel, symbol, first_id, last_id,"
    " toUnixTimestamp64Milli(from_time) AS from_ms, toUnixTimestamp64Milli(to_time) AS to_ms,"
    f" unrecoverable, missing, now AS state FROM open_gaps WHERE {_WHERE}"
    " ORDER BY exchange, channel, symbol, first_id LIMIT {limit:UInt32}"
)

Name = Annotated[str, Query(max_length=64)]
Limit = Annotated[int, Query(ge=1, le=ROWS_MAX)]


class Found(BaseModel):
    """What is known, and in short whether all is well."""

    success: bool = True
    data: list[dict[str, Any]]
    message: str


def build_integrity(warehouse: Warehouse) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix="/integrity", tags=["integrity"])

    @router.get("", responses=PROBLEMS)
    async def periods(
        exchange: Name = "",
        channel: Channel | None = None,
        symbol: Name = "",
        period: Literal["month", "day"] | None = None,
        faulty: Annotated[bool, Query(description="Only with gaps or duplicates.")] = False,
        limit: Limit = 1_000,
    ) -> Found:
        """Tell what was found in each month and day that was checked."""
        said = _names(exchange, channel, symbol)
        said |= {"period": period or "", "faulty": str(faulty).lower(), "limit": str(limit)}
        rows = await _rows(warehouse, _PERIODS, said)
        gaps = sum(int(row["gaps_count"]) for row in rows)
        return Found(data=rows, message=f"{len(rows)} periods, {gaps} missing trades")

    @router.get("/gaps", responses=PROBLEMS)
    async def gaps(
        exchange: Name = "",
        channel: Channel | None = None,
        symbol: Name = "",
        limit: Limit = 1_000,
    ) -> Found:
        """Tell which gaps are open, and which of them can never be closed."""
        said = _names(exchange, channel, symbol) | {"limit": str(limit)}
        rows = await _rows(warehouse, _GAPS, said)
        missing = sum(int(row["missing"]) for row in rows)
        return Found(data=rows, message=f"{len(rows)} gaps, {missing} missing trades")

    return router


def _names(exchange: str, channel: Channel | None, symbol: str) -> dict[str, str]:
    if exchange:
        series = asked.series_of(exchange, channel, symbol)
        exchange = series.exchange
    return {"exchange": exchange, "channel": channel or "", "symbol": symbol}


async def _rows(warehouse: Warehouse, sql: str, said: dict[str, str]) -> list[dict[str, Any]]:
    try:
        return await warehouse.objects(pieces.Query(sql, said))
    except (WarehouseAway, QueryTooBig) as e:
        raise failure(e) from e
