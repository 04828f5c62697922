"""Every message that a WebSocket of the gateway is sent, as types; ``protocol`` writes them.

They describe and are never decoded into: a test holds them against what is really sent.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from schemas.klines import Kline
from schemas.trades import Channel
from sinks.gateway.documents import kinds
from sinks.gateway.documents.kinds import AnyChannel, BegunKind, NamedKind, Sent, either


class Status(Sent):
    """How whole the data of a series are."""

    historical_loading: bool
    """A snapshot is still to come: the history is being read."""
    gap_recovery: bool
    """Missing trades of the symbol are being fetched; corrections follow."""
    data_quality: Literal["complete", "gap", "partial"]


class Named(Sent):
    """A subscription: a series, or with * all that it covers."""

    symbol: str
    exchange: str
    channel: AnyChannel
    timeframe: str
    """The interval's canonical text: 1h, never 60m."""
    interval: int
    """Its length in ms."""
    anchor: str


class Begun(Named):
    """A subscription that begins: how many candles follow now, and advice if there is any."""

    candles: int
    data_status: Status
    hint: str | UnsetType = UNSET


class Subscribed(Sent):
    """The answer to a subscribe."""

    type: Literal["subscribed"]
    subscriptions: list[Annotated[dict[str, Any], either(Begun, BegunKind)]]
    seq: dict[str, int] | UnsetType = UNSET
    """As in Klines: nothing is missing up to there, where nothing is sent first."""


class Unsubscribed(Sent):
    """The answer to an unsubscribe; unasked, with a reason, when one cannot be served any more."""

    type: Literal["unsubscribed"]
    subscriptions: list[Annotated[dict[str, Any], either(Named, NamedKind)]]
    reason: str | UnsetType = UNSET


class Error(Sent):
    """A message that was not obeyed: what is wrong with it, and what would be right."""

    type: Literal["error"]
    error: str
    hint: str


class Pong(Sent):
    """The answer to a ping."""

    type: Literal["pong"]
    time_ms: int


class DataStatusChanged(Sent):
    """The state of a symbol's data changed."""

    type: Literal["data_status"]
    symbol: str
    exchange: str
    channel: Channel
    timeframes: list[str]
    data_status: Status


class Latency(Sent):
    """From the ingestor to here, in ms; null: nothing was received."""

    p50: int | None
    p99: int | None


class Stats(Sent):
    """The rates, once a second; ?stats=false leaves them out."""

    type: Literal["stats"]
    trades_per_s: float
    latency_ms: Latency
    symbols: int
    clients: int
    kafka: Literal["up", "away"]
    time_ms: int


class Klines(Sent):
    """Candles. A snapshot replaces what was shown; of two revisions the higher rev is true."""

    exchange: str
    channel: AnyChannel
    data_type: Literal["klines"]
    recv_ms: int
    """When the newest trade in it was received by the ingestor."""
    data: list[Kline]
    snapshot: Literal[True] | UnsetType = UNSET
    data_status: Status | UnsetType = UNSET
    """Of a snapshot."""
    seq: dict[str, int] | UnsetType = UNSET
    """By partition of md.klines.v1 the offset up to which a client has everything, once it has had
    this: from_seq goes on there."""


class Ohlcv(Sent):
    """A candle under the names of old."""

    candle_time: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    trades_count: int


class OhlcvUpdate(Sent):
    """A candle and the state of its data: ?format=ohlcv_update."""

    type: Literal["ohlcv_update"]
    symbol: str
    timeframe: str
    """So many minutes where it is that (60m, never 1h)."""
    data: Ohlcv
    data_status: Status


class PlainKline(Sent):
    """A closed candle."""

    symbol: str
    interval: int
    timestamp: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    trade_count: int


class Envelope(Sent):
    """Closed candles of one exchange and channel: ?format=envelope."""

    exchange: str
    channel: Channel
    data_type: Literal["klines"]
    data: list[PlainKline]


class Second(Sent):
    """The candle of one second, once it is over: ?format=ohlc, and /ws/ohlc."""

    symbol: str
    timestamp: str
    open: float
    high: float
    low: float
    close: float


NATIVE: tuple[type[msgspec.Struct], ...] = (
    Subscribed,
    Unsubscribed,
    Klines,
    *kinds.KINDS,
    DataStatusChanged,
    Stats,
    Pong,
    Error,
)
PARTS: tuple[type[msgspec.Struct], ...] = (Begun, Named, *kinds.PARTS)
"""What messages refer to by name."""
FORMS: dict[str, tuple[type[msgspec.Struct], ...]] = {
    "native": NATIVE,
    "ohlcv_update": (Subscribed, Unsubscribed, OhlcvUpdate, *kinds.KINDS, Pong, Error),
    "envelope": (Envelope, Pong, Error),
    "ohlc": (Second, Pong, Error),
}
EXAMPLES: dict[str, str] = {
    **kinds.EXAMPLES,
    "Subscribed": '{"type":"subscribed","subscriptions":[{"symbol":"BTCUSDT","exchange":"binance",'
    '"channel":"linear","timeframe":"173m","interval":10380000,"anchor":"","candles":100,'
    '"data_status":{"historical_loading":false,"gap_recovery":false,"data_quality":"complete"}}]}',
    "Unsubscribed": '{"type":"unsubscribed","subscriptions":[{"symbol":"BTCUSDT","exchange":'
    '"binance","channel":"linear","timeframe":"173m","interval":10380000,"anchor":""}]}',
    "Klines": '{"exchange":"binance","channel":"linear","data_type":"klines","recv_ms":'
    '1769809921000,"data":[{"symbol":"BTCUSDT","interval":10380000,"timestamp":1769809920000,'
    '"open":28054.89,"high":28099.71,"low":28000.20,"close":28086.47,"volume":954.287,'
    '"quote_volume":26769053.41,"taker_buy_volume":461.669,"taker_buy_quote_volume":12952766.90,'
    '"trade_count":802,"first_id":96785,"last_id":97586,"closed":true,"rev":9718,"cause":"live",'
    '"quality":"proven","missing":0,"anchor":""}]}',
    "DataStatusChanged": '{"type":"data_status","symbol":"BTCUSDT","exchange":"binance","channel":'
    '"linear","timeframes":["1m","173m"],"data_status":{"historical_loading":false,'
    '"gap_recovery":true,"data_quality":"gap"}}',
    "Stats": '{"type":"stats","trades_per_s":812.4,"latency_ms":{"p50":9,"p99":31},"symbols":700,'
    '"clients":12,"kafka":"up","time_ms":1769809921000}',
    "Pong": '{"type":"pong","time_ms":1769809921000}',
    "Error": '{"type":"error","error":"\'7x\' is not a timeframe","hint":"1s ... 59s, 173m, 1D"}',
    "OhlcvUpdate": '{"type":"ohlcv_update","symbol":"BTCUSDT","timeframe":"15m","data":'
    '{"candle_time":1735691100000,"open":43255.30,"high":43268.90,"low":43251.20,"close":43262.40,'
    '"volume":12.45332,"trades_count":142},"data_status":{"historical_loading":false,'
    '"gap_recovery":false,"data_quality":"complete"}}',
    "Envelope": '{"exchange":"bybit","channel":"spot","data_type":"klines","data":[{"symbol":'
    '"BTCUSDT","interval":60000,"timestamp":1767716940000,"open":92967.8,"high":92970.8,'
    '"low":92815.5,"close":92846.1,"volume":33.404,"trade_count":3664}]}',
    "Second": '{"symbol":"BTCUSDT","timestamp":"2024-11-10 15:30:45 IST","open":43250.50,'
    '"high":43275.00,"low":43240.20,"close":43260.75}',
}
