"""What the feed answers, as its OpenAPI document shows it."""

from typing import Any

from pydantic import BaseModel, Field

from sinks.gateway.answers import UNAVAILABLE
from sinks.gateway.names import NOT_FOUND, UNPROCESSABLE

Responses = dict[int | str, dict[str, Any]]


class FeedError(BaseModel):
    """Why there is no answer, as TradingView reads it."""

    s: str = Field(examples=["error"])
    errmsg: str = Field(examples=["unknown symbol BTCUSD; similar: BTCUSDT"])
    near: list[str] = Field([], description="Names that are alike.")


def _ok(example: Any) -> Responses:
    return {200: {"content": {"application/json": {"example": example}}}}


ERRORS: Responses = {
    NOT_FOUND: {"model": FeedError, "description": "No such symbol; similar ones are named."},
    UNPROCESSABLE: {"model": FeedError, "description": "What cannot be meant."},
    UNAVAILABLE: {"model": FeedError, "description": "The warehouse is away: see Retry-After."},
}
CONFIG = _ok(
    {
        "supported_resolutions": ["1S", "1", "5", "15", "60", "173", "1D", "1W", "1M"],
        "supports_search": True,
        "supports_group_request": False,
        "supports_marks": True,
        "supports_timescale_marks": False,
        "supports_time": True,
        "exchanges": [
            {"value": "", "name": "All exchanges", "desc": ""},
            {"value": "binance", "name": "binance", "desc": "binance"},
        ],
        "symbols_types": [{"name": "Crypto", "value": "crypto"}],
    }
)
INFO = _ok(
    {
        "name": "BTCUSDT",
        "ticker": "binance.linear:BTCUSDT",
        "description": "BTC/USDT:USDT binance linear",
        "type": "crypto",
        "session": "24x7",
        "timezone": "Etc/UTC",
        "exchange": "binance",
        "minmov": 1,
        "pricescale": 10,
        "has_intraday": True,
        "intraday_multipliers": ["1", "5", "15", "60", "173"],
        "supported_resolutions": ["1", "5", "15", "60", "173", "1D", "1W", "1M"],
        "data_status": "streaming",
    }
)
FOUND = _ok(
    [
        {
            "symbol": "BTCUSDT",
            "full_name": "binance.linear:BTCUSDT",
            "ticker": "binance.linear:BTCUSDT",
            "description": "BTC/USDT:USDT binance linear",
            "exchange": "binance",
            "type": "crypto",
        }
    ]
)
BARS = _ok(
    {
        "s": "ok",
        "t": [1769809920],
        "o": [28054.89],
        "h": [28099.71],
        "l": [28000.2],
        "c": [28086.47],
        "v": [954.287],
    }
)
MARKS = _ok(
    {
        "id": [3539619840],
        "time": [1769809920],
        "color": ["blue"],
        "text": ["Corrected by a late trade, revision 9718"],
        "label": ["C"],
        "labelFontColor": ["white"],
        "minSize": [14],
    }
)
