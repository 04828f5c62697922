"""The messages of what is told beside candles, as types; see ``messages``."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from schemas.klines import Gap, Price, StreamGap
from schemas.snapshots import BookSnapshot, Tick, TickerSnapshot
from schemas.stats import MarketStats
from schemas.trades import Channel
from sinks.gateway.protocol import ANY, Kind

AnyChannel = Literal[Channel, "*"]
assert ANY == "*"  # noqa: S101 - the type above cannot name it


def either(*types: type[msgspec.Struct]) -> Meta:
    """Return what makes a schema of objects one of these: msgspec's unions need a tag."""
    each = [{"$ref": f"#/components/schemas/{one.__name__}"} for one in types]
    return Meta(extra_json_schema={"anyOf": each})


class Sent(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A message, or a part of one."""


class NamedKind(Sent):
    """A subscription to a kind: of a symbol, or with * of all that it covers."""

    symbol: str
    exchange: str
    channel: AnyChannel
    data_type: Kind


class BegunKind(NamedKind):
    """A subscription to a kind that begins, and advice if there is any."""

    hint: str | UnsetType = UNSET


class _Told(Sent, kw_only=True):
    exchange: str
    channel: AnyChannel
    recv_ms: int
    """When the newest of it was received by the ingestor; 0: that is not known."""
    snapshot: Literal[True] | UnsetType = UNSET
    """It replaces what was shown of these symbols."""


class TradeRow(Sent):
    """A trade; numbers are texts, and have all their digits."""

    symbol: str
    id: str
    """The venue's own."""
    price: str
    qty: str
    """In the base coin."""
    side: Literal[1, -1]
    """The taker's: 1 buys, -1 sells."""
    ts: int
    """The venue's time of it, in ms since 1970."""


class Trades(_Told, kw_only=True):
    """Trades in the order in which they came, none left out; a snapshot has the last of each."""

    data_type: Literal["trades"]
    data: list[TradeRow]


class Prices(_Told, kw_only=True):
    """The last price of symbols."""

    data_type: Literal["prices"]
    data: list[Price]


class Tickers(_Told, kw_only=True):
    """The tickers of symbols, merged."""

    data_type: Literal["tickers"]
    data: list[TickerSnapshot]


class Books(_Told, kw_only=True):
    """The best levels of books that are whole."""

    data_type: Literal["books"]
    data: list[BookSnapshot]


class Ticks(_Told, kw_only=True):
    """The last trade of symbols, with its quantity and side."""

    data_type: Literal["ticks"]
    data: list[Tick]


class DayStats(_Told, kw_only=True):
    """The last 24 hours of symbols."""

    data_type: Literal["stats"]
    data: list[MarketStats]


class GapsTold(_Told, kw_only=True):
    """What is missing: ids of trades, or spans in which a stream did not deliver."""

    data_type: Literal["gaps"]
    data: list[Annotated[dict[str, Any], either(Gap, StreamGap)]]


KINDS: tuple[type[msgspec.Struct], ...] = (
    Trades,
    Prices,
    Tickers,
    Books,
    Ticks,
    DayStats,
    GapsTold,
)
PARTS: tuple[type[msgspec.Struct], ...] = (NamedKind, BegunKind, Gap, StreamGap)
_HEAD = '{"exchange":"binance","channel":"linear","data_type":'
EXAMPLES: dict[str, str] = {
    "Trades": _HEAD + '"trades","recv_ms":1769809921000,"data":[{"symbol":"BTCUSDT","id":"26129",'
    '"price":"28145.10","qty":"0.010","side":-1,"ts":1769809920987}]}',
    "Prices": _HEAD + '"prices","recv_ms":1769809921000,"data":[{"symbol":"BTCUSDT","price":'
    '28145.10,"ts":1769809920987,"rev":9718}]}',
    "Tickers": _HEAD + '"tickers","recv_ms":1769809921000,"snapshot":true,"data":[{"symbol":'
    '"BTCUSDT","ts":1769809920987,"isSnapshot":true,"lastPrice":28145.10,"markPrice":28144.9,'
    '"fundingRate":0.0001,"rev":512}]}',
    "Books": _HEAD + '"books","recv_ms":1769809921000,"data":[{"symbol":"BTCUSDT","ts":'
    '1769809920987,"update_id":7071,"rev":88,"bids":[[28145.0,1.5]],"asks":[[28145.1,0.5]],'
    '"bid_price":28145.0,"bid_qty":1.5,"ask_price":28145.1,"ask_qty":0.5,"spread":0.1,'
    '"mid":28145.05,"imbalance":0.5}]}',
    "Ticks": _HEAD + '"ticks","recv_ms":1769809921000,"data":[{"symbol":"BTCUSDT","price":28145.10,'
    '"qty":0.010,"side":-1,"ts":1769809920987,"id":26129,"rev":9718}]}',
    "DayStats": _HEAD + '"stats","recv_ms":1769809921000,"data":[{"symbol":"BTCUSDT","from_ms":'
    '1769723520000,"to_ms":1769809920000,"open_price":28000.1,"high_price":28200.0,"low_price":'
    '27900.5,"last_price":28145.1,"change":145.0,"change_percent":0.517855,"weighted_avg_price":'
    '28050.25,"volume":1500.5,"quote_volume":42089400.13,"taker_buy_share":0.501200,'
    '"trade_count":801234,"minutes":1440,"candles":1440,"gap_minutes":0,"quality":"proven",'
    '"rev":4711}]}',
    "GapsTold": _HEAD + '"gaps","recv_ms":0,"data":[{"symbol":"BTCUSDT","first_id":26130,'
    '"last_id":26140,"from_ms":1769809920987,"to_ms":1769809922000,"missing":11,"state":"found",'
    '"rev":9719}]}',
}
