"""Which streams run: wanted (``md.control.v1``), actual (``md.streams.v1``); what could run.

All are compacted; a control record without value means: as the settings say. Two kinds of wishes
share the topic, told apart by their keys: a reader leaves alone what is not its own.
"""

from typing import Literal

import msgspec

from schemas.intervals import Interval
from schemas.streams import Kind, StreamKey, Transport
from schemas.trades import Channel, ExchangeName


class Control(msgspec.Struct, frozen=True, kw_only=True, tag_field="data_type", tag="stream"):
    """What is wanted of one stream; its key is ``exchange:channel:symbol:kind:transport``."""

    exchange: ExchangeName
    channel: Channel
    symbol: str
    """The venue's own name."""
    kind: Kind
    transport: Transport
    enabled: bool = True
    """False: the ingestor that owns it unsubscribes within 2 s."""
    db_writes_enabled: bool = True
    """False: the ClickHouse sink leaves its rows out."""
    redis_publishes_enabled: bool = True
    """False: the Redis sink leaves its rows out."""
    changed_ms: int = 0

    @property
    def key(self) -> StreamKey:
        """The stream that this is about."""
        return StreamKey(self.exchange, self.channel, self.symbol, self.kind, self.transport)


INTERVAL_KEYS = "interval:"
DEMAND_KEYS = "interval-demand:"


class IntervalControl(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="data_type", tag="interval"
):
    """Whether candles of one interval are made; its key is ``interval:`` and the interval.

    Where clients want it for a while: ``interval-demand:`` and the interval.
    """

    interval: str
    """Its canonical text: 1h, never 60m."""
    enabled: bool = True
    """False: it is made no more, even where the settings name it."""
    changed_ms: int = 0
    until_ms: int = 0
    """0: for good. Else clients of a gateway want it, at least until then: put off while they do,
    and taken back after."""


def interval_key(interval: Interval) -> str:
    """Return the key of what is wanted of an interval."""
    return INTERVAL_KEYS + interval.text


def demand_key(interval: Interval) -> str:
    """Return the key of what clients want of an interval; an operator's word has another."""
    return DEMAND_KEYS + interval.text


def is_interval_key(key: bytes | None) -> bool:
    """Say whether a record of ``md.control.v1`` is about an interval, and not about a stream."""
    return key is not None and key.startswith(_KEYS)


_KEYS = INTERVAL_KEYS.encode(), DEMAND_KEYS.encode()

StreamState = Literal["subscribing", "live", "silent", "refused", "stopped"]
RUNNING: frozenset[StreamState] = frozenset({"subscribing", "live", "silent"})
STOPPED = "the ingestor was stopped"
"""The detail of every stream that ran when its ingestor was told to stop."""
ALIVE = "*"
"""Begins the symbol of an ingestor's own status, its share follows (``*1/2``): it tells every
second that it lives."""


class StreamStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one stream, told by its ingestor when it changes; same key as its control."""

    exchange: ExchangeName
    channel: Channel
    symbol: str
    kind: Kind
    transport: Transport
    state: StreamState
    since_ms: int
    detail: str = ""


class InstrumentRow(msgspec.Struct, frozen=True, kw_only=True):
    """One symbol of a venue, told at the start of its ingestor and when it changes.

    Its key is ``exchange:channel:symbol``; steps are decimal text as the venue writes them.
    """

    exchange: ExchangeName
    channel: Channel
    symbol: str
    """The venue's own name."""
    unified: str
    """``BTC/USDT`` for spot, ``BTC/USDT:USDT`` for a contract settled in USDT."""
    status: str
    """The venue's own word."""
    is_streamed: bool
    """It trades, and is of a kind that is streamed."""
    tick: str
    step: str
    """In the venue's unit of quantity: contracts where ``contract_size`` is not 1."""
    contract_size: str = "1"
    """Base coins of one contract."""


decode_control = msgspec.json.Decoder(Control).decode
decode_interval_control = msgspec.json.Decoder(IntervalControl).decode
decode_stream_status = msgspec.json.Decoder(StreamStatus).decode
decode_instrument = msgspec.json.Decoder(InstrumentRow).decode
