"""Candle records of the topics as text rows with just enough read to place and to order them.

The rows are never decoded whole: what the engine wrote reaches the client digit for digit.
"""

import msgspec

from runtime.errors import Poison
from schemas.intervals import Interval
from sinks.gateway.protocol import Key, klines_head


class Candle(msgspec.Struct, frozen=True):
    """One revision of a candle; of two revisions the higher ``version`` is true."""

    timestamp: int
    version: int
    closed: bool
    trade_count: int
    row: str


class Record(msgspec.Struct, frozen=True):
    """The candles of one record; ``head`` is the envelope in which they are sent on."""

    head: str
    recv_ms: int
    candles: list[tuple[Key, Candle]]


class _Row(msgspec.Struct):
    symbol: str
    interval: int
    timestamp: int
    closed: bool
    rev: int
    trade_count: int
    anchor: str = ""


class _Envelope(msgspec.Struct):
    exchange: str
    channel: str
    recv_ms: int
    data: list[msgspec.Raw]


_envelope = msgspec.json.Decoder(_Envelope).decode
_row = msgspec.json.Decoder(_Row).decode


def read(value: bytes) -> Record:
    """Read one record of ``md.klines.v1`` or ``md.klines-live.v1``; raise Poison."""
    try:
        envelope = _envelope(value)
        candles = []
        for raw in envelope.data:
            row = _row(raw)
            interval = Interval(row.interval, row.anchor)
            key = Key(envelope.exchange, envelope.channel, row.symbol, interval)
            version = 2 * row.rev + row.closed
            text = str(raw, "utf-8")
            candles.append((key, Candle(row.timestamp, version, row.closed, row.trade_count, text)))
    except (msgspec.DecodeError, UnicodeDecodeError) as e:
        raise Poison(f"no candle record: {e}", payload=value) from e
    head = klines_head(envelope.exchange, envelope.channel, envelope.recv_ms)
    return Record(head, envelope.recv_ms, candles)
