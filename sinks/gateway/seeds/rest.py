"""Symbols added and removed, the last trade and the last second: the price streamers' REST."""

from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, HTTPException, Path, Query, Response
from pydantic import BaseModel, Field

from schemas.trades import Channel
from sinks.gateway.answers import ERRORS
from sinks.gateway.control import StreamTable
from sinks.gateway.data.asked import refuse
from sinks.gateway.hub import Hub
from sinks.gateway.last import LastTrades
from sinks.gateway.names import NOT_FOUND
from sinks.gateway.protocol import Key, Refused
from sinks.gateway.seeds import clock
from sinks.gateway.seeds.finding import Finder
from sinks.gateway.seeds.forms import SECOND, row_of
from sinks.gateway.streams import Write, change
from sinks.gateway.warehouse import QueryTooBig, Warehouse, WarehouseAway

ACTIVE = "Crypto Price Streaming Platform is active"
Symbol = Annotated[str, Path(min_length=1, max_length=64, examples=["BTCUSDT"])]
Exchange = Annotated[
    str | None, Query(max_length=64, description="Else STREAMER_EXCHANGE.", examples=["binance"])
]
Market = Annotated[Channel | None, Query(description="Else linear, where it has that symbol.")]
Zone = Annotated[str, Query(alias="tz", max_length=64, examples=["UTC", clock.ZONE])]


class Symbols(BaseModel):
    """Symbols that trades are streamed of."""

    symbols: list[str] = Field(examples=[["BTCUSDT", "ETHUSDT"]])


class Available(Symbols):
    """Symbols that can be streamed."""

    count: int = Field(examples=[2])


class SymbolRef(BaseModel):
    """A symbol as the exchange names it."""

    symbol: str = Field(min_length=1, max_length=64, examples=["BTCUSDT"])


class Added(BaseModel):
    """What is streamed from now on."""

    message: str = Field(examples=["Subscribed to BTCUSDT"])
    symbol: str = Field(examples=["BTCUSDT"])


class Removed(BaseModel):
    """What is streamed no more."""

    message: str = Field(examples=["Unsubscribed from BTCUSDT"])


class LastTick(BaseModel):
    """The last trade; numbers are exact."""

    symbol: str = Field(examples=["BTCUSDT"])
    price: float = Field(examples=[53250.5])
    qty: float = Field(examples=[0.05234], description="In the base coin.")
    timestamp: str = Field(examples=["2024-11-10 15:30:45 IST"])


class LastSecond(BaseModel):
    """The candle of the last second with a trade; numbers are exact."""

    symbol: str = Field(examples=["BTCUSDT"])
    timestamp: str = Field(examples=["2024-11-10 15:30:45 IST"])
    open: float = Field(examples=[53250.5])
    high: float = Field(examples=[53275.0])
    low: float = Field(examples=[53240.2])
    close: float = Field(examples=[53260.75])


def build_symbols(table: StreamTable, finder: Finder, write: Write, exchange: str) -> APIRouter:
    """Return the routes that add and remove symbols."""
    router = APIRouter(tags=["symbols"])
    own = exchange

    @router.get("/symbols/available", responses=ERRORS)
    async def available(exchange: Exchange = None, channel: Market = None) -> Available:
        """List the symbols that can be streamed."""
        symbols = finder.available(exchange or own, channel)
        return Available(count=len(symbols), symbols=symbols)

    @router.get("/symbols", responses=ERRORS)
    async def active(exchange: Exchange = None, channel: Market = None) -> Symbols:
        """List the symbols that trades are streamed of."""
        keys = finder.active(exchange or own, channel)
        return Symbols(symbols=list(dict.fromkeys(key.symbol for key in keys)))

    @router.post("/add_symbol", responses=ERRORS)
    async def add(ref: SymbolRef, exchange: Exchange = None, channel: Market = None) -> Added:
        """Stream the trades of a symbol, also after restarts; twice is as good as once."""
        keys = finder.addable(exchange or own, channel, ref.symbol)
        await change(table, write, keys, enabled=True)
        symbol = keys[0].symbol
        return Added(message=f"Subscribed to {symbol}", symbol=symbol)

    @router.delete("/remove_symbol/{symbol:path}", responses=ERRORS)
    async def remove(symbol: Symbol, exchange: Exchange = None, channel: Market = None) -> Removed:
        """Stream the trades of a symbol no more, whatever the settings of its ingestor say."""
        keys = finder.removable(exchange or own, channel, symbol)
        await change(table, write, keys, enabled=False)
        return Removed(message=f"Unsubscribed from {keys[0].symbol}")

    return router


def build_prices(
    finder: Finder, hub: Hub, last: LastTrades, warehouse: Warehouse, exchange: str
) -> APIRouter:
    """Return the routes that tell the last price."""
    router = APIRouter(tags=["symbols"])
    own = exchange

    @router.get("/tick/{symbol:path}", responses=ERRORS, response_model=LastTick)
    async def tick(
        symbol: Symbol, exchange: Exchange = None, channel: Market = None, tz: Zone = clock.ZONE
    ) -> Response:
        """Tell the last trade of a symbol."""
        zone = _zone(tz)
        market, name = finder.heard(exchange or own, channel, symbol)
        trade = last.of(*market, name)
        if trade is not None:
            price, qty, at_ms = f"{trade.price:f}".encode(), f"{trade.qty:f}".encode(), trade.ts
        else:
            price, qty, at_ms = await _stored(warehouse, *market, name)
        told = {"price": msgspec.Raw(price), "qty": msgspec.Raw(qty)}
        return _answer({"symbol": name, **told, "timestamp": clock.told(at_ms, zone)})

    @router.get("/ohlc/{symbol:path}", responses=ERRORS, response_model=LastSecond)
    async def ohlc(
        symbol: Symbol, exchange: Exchange = None, channel: Market = None, tz: Zone = clock.ZONE
    ) -> Response:
        """Tell the newest closed candle of one second."""
        zone = _zone(tz)
        market, name = finder.heard(exchange or own, channel, symbol)
        text = next(_closed(hub, Key(*market, name, SECOND)), None)
        if text is None:
            made = "no 1s candle yet" if SECOND in hub.intervals else "1s candles are not made here"
            refuse(f"{name}: {made}", status=NOT_FOUND)
        row = row_of(text)
        told = {"open": row.open, "high": row.high, "low": row.low, "close": row.close}
        return _answer({"symbol": name, "timestamp": clock.told(row.timestamp, zone), **told})

    return router


class _Trade(msgspec.Struct):
    timestamp: int
    price: msgspec.Raw
    quantity: msgspec.Raw


async def _stored(
    warehouse: Warehouse, exchange: str, channel: str, symbol: str
) -> tuple[bytes, bytes, int]:
    """Return the newest stored trade, where nobody tells the last ones."""
    try:
        rows = await warehouse.trades(exchange, channel, symbol, None, None, 1)
    except (WarehouseAway, QueryTooBig) as e:
        if warehouse.state != "not configured":
            raise _away(e) from e
        rows = []
    if not rows:
        refuse(f"{symbol}: no trade yet", status=NOT_FOUND)
    trade = msgspec.json.decode(rows[0], type=_Trade)
    return bytes(trade.price), bytes(trade.quantity), trade.timestamp


def _away(e: WarehouseAway | QueryTooBig) -> HTTPException:
    return HTTPException(503, {"reason": f"{e}; ask again", "near": []}, {"Retry-After": "2"})


def _closed(hub: Hub, key: Key) -> Iterator[str]:
    series = hub.history.series.get(key)
    for candle in reversed(series.candles.values()) if series else ():
        if candle.closed:
            yield candle.row


def _zone(name: str) -> Any:
    try:
        return clock.zone_of(name)
    except Refused as e:
        refuse(e.error, ("UTC", clock.ZONE))


def _answer(told: dict[str, Any]) -> Response:
    return Response(msgspec.json.encode(told), media_type="application/json")
