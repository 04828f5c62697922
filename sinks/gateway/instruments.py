"""The routes over the symbols that the exchanges list."""

from collections import Counter
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from schemas.trades import Channel
from sinks.gateway.control import StreamTable
from sinks.gateway.streams import PAGE_DEFAULT, Exchange, Limit, Offset, markets_of


class InstrumentView(BaseModel):
    """A symbol of an exchange."""

    exchange: str
    channel: Channel
    symbol: str
    unified: str = Field(examples=["BTC/USDT:USDT"])
    status: str = Field(description="The venue's own word.")
    is_streamed: bool
    tick: str
    step: str
    contract_size: str


class InstrumentList(BaseModel):
    """Instruments, a page of them; ``count`` is of all pages."""

    count: int
    instruments: list[InstrumentView]


class InstrumentCount(BaseModel):
    """How many symbols the exchanges list."""

    count: int
    streamed: int
    by_exchange: dict[str, int]


def build_instruments(table: StreamTable) -> APIRouter:
    """Return the routes over the symbols that the exchanges list."""
    router = APIRouter(tags=["instruments"])

    @router.get("/instruments")
    async def instruments(
        exchange: Exchange = None,
        channel: Channel | None = None,
        status: Annotated[str | None, Query(max_length=64, examples=["TRADING"])] = None,
        search: Annotated[str | None, Query(max_length=64, examples=["btc"])] = None,
        limit: Limit = PAGE_DEFAULT,
        offset: Offset = 0,
    ) -> InstrumentList:
        """List symbols; ``search`` looks in the venue's and in the unified name."""
        part = (search or "").lower()
        found = [
            row
            for row in table.rows(markets_of(exchange, channel))
            if channel in (None, row.channel)
            and (status is None or row.status.lower() == status.lower())
            and (part in row.symbol.lower() or part in row.unified.lower())
        ]
        page = [InstrumentView(**msgspec.structs.asdict(r)) for r in found[offset : offset + limit]]
        return InstrumentList(count=len(found), instruments=page)

    @router.get("/instruments/count")
    async def count(exchange: Exchange = None, channel: Channel | None = None) -> InstrumentCount:
        """Count symbols."""
        rows = list(table.rows(markets_of(exchange, channel)))
        rows = [row for row in rows if channel in (None, row.channel)]
        return InstrumentCount(
            count=len(rows),
            streamed=sum(row.is_streamed for row in rows),
            by_exchange=Counter(row.exchange for row in rows),
        )

    return router
