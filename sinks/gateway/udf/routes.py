"""``/udf``: the feed that TradingView's Charting Library reads (Universal Data Feed).

Errors are told as it expects them (``{"s": "error", "errmsg": ...}``), and by HTTP's status too.
Numbers stand as they were written.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Response
from fastapi.responses import PlainTextResponse

from sinks.gateway.answers import UNAVAILABLE
from sinks.gateway.data.asked import TIME_MS_MAX
from sinks.gateway.hub import Hub
from sinks.gateway.names import UNPROCESSABLE, Unknown
from sinks.gateway.protocol import Refused
from sinks.gateway.udf.bars import Asked, Bar, Bars
from sinks.gateway.udf.marks import marks_of
from sinks.gateway.udf.resolutions import interval_of, resolutions_of
from sinks.gateway.udf.said import BARS, CONFIG, ERRORS, FOUND, INFO, MARKS
from sinks.gateway.udf.symbols import SEARCH_MAX, Listing, Listings, described
from sinks.gateway.warehouse import QueryTooBig, WarehouseAway

S_MAX = TIME_MS_MAX // 1_000
Name = Annotated[str, Query(min_length=1, max_length=96, examples=["binance.linear:BTCUSDT"])]
Resolution = Annotated[str, Query(max_length=16, examples=["173", "1D"])]
From = Annotated[int, Query(alias="from", ge=0, le=S_MAX, description="s since 1970, included.")]
To = Annotated[int, Query(ge=0, le=S_MAX, description="s since 1970, not included.")]
Count = Annotated[
    int | None, Query(ge=1, description="So many bars before `to`; stronger than `from`.")
]
Answer = Callable[[], Awaitable[Any]]


def build_catalogue(listings: Listings, hub: Hub, bars: Bars) -> APIRouter:
    """Return the routes that tell what there is."""
    router = APIRouter(prefix="/udf", tags=["tradingview"])

    @router.get("/config", responses=CONFIG)
    async def config() -> dict[str, Any]:
        """Tell what this feed can do."""
        exchanges = [{"value": e, "name": e, "desc": e} for e in listings.exchanges()]
        return {
            "supported_resolutions": resolutions_of(hub.intervals),
            "supports_search": True,
            "supports_group_request": False,
            "supports_marks": True,
            "supports_timescale_marks": False,
            "supports_time": True,
            "exchanges": [{"value": "", "name": "All exchanges", "desc": ""}, *exchanges],
            "symbols_types": [{"name": "Crypto", "value": "crypto"}],
        }

    @router.get("/time", response_class=PlainTextResponse)
    async def now() -> str:
        """Tell the time in s since 1970."""
        return str(int(time.time()))

    @router.get("/symbols", responses=INFO | ERRORS)
    async def symbols(symbol: Name) -> Response:
        """Describe a symbol: its scale, its session and its resolutions."""

        async def answer() -> Any:
            listing = await listings.find(symbol)
            return described(listing, hub.intervals, bars.closes(listing.series))

        return await _answered(answer)

    @router.get("/search", responses=FOUND)
    async def search(
        query: Annotated[str, Query(max_length=64, examples=["btc"])] = "",
        type: Annotated[str, Query(max_length=16)] = "",  # noqa: A002 - TradingView's word
        exchange: Annotated[str, Query(max_length=64)] = "",
        limit: Annotated[int, Query(ge=1)] = 30,
    ) -> list[dict[str, str]]:
        """Find symbols whose names hold a text."""
        if type not in ("", "crypto"):
            return []
        return [_found(each) for each in listings.search(query, exchange, min(limit, SEARCH_MAX))]

    return router


def build_history(listings: Listings, bars: Bars, rows_max: int) -> APIRouter:
    """Return the routes that tell what was."""
    router = APIRouter(prefix="/udf", tags=["tradingview"])

    async def asked_of(
        symbol: str, resolution: str, from_s: int, to_s: int, count: int | None
    ) -> Asked:
        interval = interval_of(resolution)
        if from_s > to_s:
            raise Refused("from is after to", "Times are in seconds since 1970.")
        listing = await listings.find(symbol)
        start_ms, limit = (from_s * 1_000, rows_max) if count is None else (0, min(count, rows_max))
        return Asked(listing.series, interval, start_ms, to_s * 1_000, limit)

    @router.get("/history", responses=BARS | ERRORS)
    async def history(
        symbol: Name, from_s: From, to: To, resolution: Resolution = "1D", countback: Count = None
    ) -> Response:
        """Tell the bars that open in [from, to), or the last `countback` before `to`."""

        async def answer() -> Any:
            asked = await asked_of(symbol, resolution, from_s, to, countback)
            found = await bars.read(asked)
            if found:
                return _columns(found)
            before_ms = await bars.before(asked) if asked.start_ms else None
            none: dict[str, Any] = {"s": "no_data"}
            return none if before_ms is None else none | {"nextTime": before_ms // 1_000}

        return await _answered(answer)

    @router.get("/marks", responses=MARKS | ERRORS)
    async def marks(symbol: Name, from_s: From, to: To, resolution: Resolution = "1D") -> Response:
        """Tell which bars were corrected, and where trades are missing."""

        async def answer() -> Any:
            return marks_of(await bars.read(await asked_of(symbol, resolution, from_s, to, None)))

        return await _answered(answer)

    return router


def _columns(found: list[Bar]) -> dict[str, Any]:
    return {
        "s": "ok",
        "t": [bar.timestamp // 1_000 for bar in found],
        "o": [bar.open for bar in found],
        "h": [bar.high for bar in found],
        "l": [bar.low for bar in found],
        "c": [bar.close for bar in found],
        "v": [bar.volume for bar in found],
    }


def _found(listing: Listing) -> dict[str, str]:
    return {
        "symbol": listing.symbol,
        "full_name": listing.ticker,
        "ticker": listing.ticker,
        "description": listing.description,
        "exchange": listing.market[0],
        "type": "crypto",
    }


async def _answered(answer: Answer) -> Response:
    """Return the answer, or in its place why there is none."""
    try:
        return _json(await answer())
    except Unknown as e:
        like = f"; similar: {', '.join(e.near)}" if e.near else ""
        return _json({"s": "error", "errmsg": e.reason + like, "near": e.near}, e.status)
    except Refused as e:
        return _json({"s": "error", "errmsg": f"{e.error}. {e.hint}"}, UNPROCESSABLE)
    except QueryTooBig as e:
        errmsg = f"{e}: ask for a shorter span"
        return _json({"s": "error", "errmsg": errmsg}, UNPROCESSABLE)
    except WarehouseAway as e:
        wait_s = max(1, round(e.retry_after_s))
        answer_ = _json({"s": "error", "errmsg": f"{e}; ask again"}, UNAVAILABLE)
        answer_.headers["retry-after"] = str(wait_s)
        return answer_


def _json(told: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(told), status, media_type="application/json")
