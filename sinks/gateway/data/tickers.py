"""``/api/v1/admin/tickers/status``: of each symbol what streams, and how old its candles are."""

import time
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel

from schemas.trades import Channel
from sinks.gateway.control import StreamTable
from sinks.gateway.hub import Hub

PAGE_MAX = 2_000
Market = tuple[str, str, str]


class Tickers(BaseModel):
    """Symbols, a page of them; ``count`` is of all pages."""

    success: bool = True
    data: list[dict[str, Any]]
    message: str
    count: int


def build_tickers(hub: Hub, table: StreamTable) -> APIRouter:
    """Return the route."""
    router = APIRouter(prefix="/admin", tags=["monitoring"])

    @router.get("/tickers/status")
    async def status(
        exchange: Annotated[str | None, Query(max_length=64)] = None,
        channel: Channel | None = None,
        symbol: Annotated[str | None, Query(max_length=64)] = None,
        limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = PAGE_MAX,
        offset: Annotated[int, Query(ge=0)] = 0,
    ) -> Tickers:
        """Tell of each symbol the states of its streams and when its newest trade was received."""
        wanted = (exchange, channel, symbol)
        heard_ms = newest(hub)
        states: dict[Market, dict[str, str | None]] = {}
        for key in table.streams(with_removed=False):
            states.setdefault((key.exchange, key.channel, key.symbol), {})[key.kind] = table.state(
                key
            )
        every = sorted(
            market
            for market in {*heard_ms, *states}
            if all(want in (None, has) for want, has in zip(wanted, market, strict=True))
        )
        now_ms = time.time_ns() // 1_000_000
        data = [
            _view(market, states.get(market, {}), heard_ms.get(market), now_ms)
            for market in every[offset : offset + limit]
        ]
        return Tickers(data=data, message=f"{len(every)} tickers", count=len(every))

    return router


def newest(hub: Hub) -> dict[Market, int]:
    """Return of each symbol when its newest trade in a candle was received."""
    found: dict[Market, int] = {}
    for key, series in hub.history.series.items():
        market = (key.exchange, key.channel, key.symbol)
        found[market] = max(found.get(market, 0), series.recv_ms)
    return found


def _view(
    market: Market, states: dict[str, str | None], heard_ms: int | None, now_ms: int
) -> dict[str, Any]:
    exchange, channel, symbol = market
    return {
        "symbol": symbol,
        "exchange": exchange,
        "channel": channel,
        "status": states.get("trades") or ("running" if heard_ms else "unknown"),
        "streams": states,
        "last_received_ms": heard_ms,
        "silent_ms": now_ms - heard_ms if heard_ms else None,
    }
