"""Binance's named events that become rows, each with its type and its way to a row."""

from collections.abc import Callable, Mapping
from typing import Any

from ingest.exchanges.base import Data, Other
from ingest.exchanges.binance.books import Depth, depth_row, is_partial
from ingest.exchanges.binance.contracts import ForceOrder, MarkPrice, funding_row, liquidation_row
from ingest.exchanges.binance.klines import Kline, kline_row
from ingest.exchanges.binance.tickers import (
    BookTicker,
    DayTicker,
    book_ticker_row,
    day_ticker_row,
)
from ingest.exchanges.binance.trades import AggTrade, Trade, trade_row

Event = Trade | AggTrade | Depth | BookTicker | DayTicker | MarkPrice | ForceOrder | Kline
ROWS: Mapping[type[Event], Callable[[Any], Data]] = {
    Trade: trade_row,
    AggTrade: trade_row,
    Depth: depth_row,
    BookTicker: book_ticker_row,
    DayTicker: day_ticker_row,
    MarkPrice: funding_row,
    ForceOrder: liquidation_row,
    Kline: kline_row,
}
TYPES: Mapping[str, type[Event]] = {str(t.__struct_config__.tag): t for t in ROWS}


def row_of(event: Event, frame: bytes) -> Data | Other:
    """Return the row of an event in its frame; raise ValueError naming the field in its way."""
    kind = type(event)
    if kind is Depth and is_partial(frame):
        return Other("partial_depth")
    return ROWS[kind](event)
