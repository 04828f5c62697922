"""Streams whose rows the operator keeps out of a store: rows are left out, and counted.

The rows of a raw topic go by the stream that they are, snapshots too; candles and prices go by the
trades that they are made of.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import msgspec
import structlog

from runtime.follow import Follower
from runtime.settings import Settings
from schemas.control import Control, decode_control, is_interval_key
from schemas.streams import Kind, StreamKey, stream_key
from schemas.topics import BOOK_SNAPSHOTS, CONTROL, KLINES, PRICES, RAW, TICKER_SNAPSHOTS
from schemas.trades import UnreadableBatch, decode_batch, encode_batch
from sinks import metrics, topics
from sinks.base import Batch, Record

logger = structlog.get_logger(__name__)

STREAMS_MAX = 100_000

Knob = Literal["db_writes_enabled", "redis_publishes_enabled"]
Muted = Mapping[tuple[Kind, str, str], set[str]]
"""Symbols by kind, exchange and channel."""

# Candles of the past are as true as they were: what is derived stays in the database.
KINDS: Mapping[Knob, Mapping[str, Kind]] = {
    "db_writes_enabled": {topic.name: kind for kind, topic in RAW.items()}
    | {TICKER_SNAPSHOTS.name: "tickers", BOOK_SNAPSHOTS.name: "books"},
    "redis_publishes_enabled": {KLINES.name: "trades", PRICES.name: "trades"},
}


class _Named(msgspec.Struct):
    symbol: str


class _Market(msgspec.Struct):
    exchange: str
    channel: str


_market = msgspec.json.Decoder(_Market).decode
_rows = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_named = msgspec.json.Decoder(_Named).decode
_encode = msgspec.json.Encoder().encode


class Knobs:
    """What ``md.control.v1`` says about one knob; ``open`` before the first write."""

    def __init__(self, settings: Settings, knob: Knob) -> None:
        self._settings = settings
        self._knob: Knob = knob
        self._muting: dict[StreamKey, None] = {}
        self._muted: Muted | None = {}  # None: to be made anew
        topic = settings.kafka_topic_prefix + CONTROL.name
        self._follower = Follower(settings.kafka_bootstrap, [topic], self._take)
        self._is_open = False

    async def open(self) -> None:
        """Return when all is known that was said before; raise Retriable while Kafka is away."""
        if not self._settings.kafka_bootstrap:
            return  # nobody can say anything
        await topics.ensure(self._settings, [CONTROL])
        self._is_open = True
        await self._follower.__aenter__()
        await self._follower.ready()

    async def close(self) -> None:
        """Disconnect."""
        if self._is_open:
            await self._follower.__aexit__(None, None, None)

    def allowed(self, records: Sequence[Record]) -> Sequence[Record]:
        """Return the records without the rows of muted streams."""
        self._follower.check()
        if self._muted is None:
            muted: dict[tuple[Kind, str, str], set[str]] = {}
            for key in self._muting:
                muted.setdefault((key.kind, key.exchange, key.channel), set()).add(key.symbol)
            self._muted = muted
        return list(self._without(records, self._muted)) if self._muted else records

    def filtered(self, batch: Batch) -> Batch:
        """Return the batch without the rows of muted streams; it ends where it ended."""
        return replace(batch, records=self.allowed(batch.records))

    def _without(self, records: Sequence[Record], muted: Muted) -> Iterator[Record]:
        kinds = KINDS[self._knob]
        for record in records:
            kind = kinds.get(record.topic)
            value, left_out = strip(record.value, kind, muted) if kind else (record.value, 0)
            if left_out:
                metrics.MUTED.labels(self._knob, record.topic).inc(left_out)
            if value:
                yield record._replace(value=value) if left_out else record

    def _take(self, _topic: str, key: bytes | None, value: bytes | None) -> None:
        if is_interval_key(key):
            return  # the worker's business
        try:
            name = stream_key((key or b"").decode())
            control: Control | None = None if value is None else decode_control(value)
        except (msgspec.MsgspecError, ValueError) as e:
            metrics.CONTROLS_REFUSED.inc()
            logger.warning("control_refused", key=repr(key), reason=str(e))
            return
        if control is None or getattr(control, self._knob):
            if name not in self._muting:
                return
            del self._muting[name]
        elif name in self._muting or len(self._muting) >= STREAMS_MAX:
            return
        else:
            self._muting[name] = None
        logger.info("stream_muted" if name in self._muting else "stream_unmuted", stream=str(name))
        self._muted = None


def strip(value: bytes, kind: Kind, muted: Muted) -> tuple[bytes, int]:
    """Return a record without the rows (of trades: groups) of muted streams, and how many were.

    Nothing is left of a record that has only such rows. The other rows stay byte for byte, and what
    cannot be read stays as it is: the store will refuse it.
    """
    try:
        market = _market(value)
        symbols = muted.get((kind, market.exchange, market.channel))
        if not symbols:
            return value, 0
        fields = _rows(value)
        if "symbols" in fields:
            return _strip_trades(value, symbols)
        rows = _list(fields["data"])
        kept = [row for row in rows if _named(row).symbol not in symbols]
    except (msgspec.MsgspecError, UnreadableBatch, KeyError):
        return value, 0
    if len(kept) == len(rows):
        return value, 0
    fields["data"] = msgspec.Raw(_encode(kept))
    return (_encode(fields) if kept else b""), len(rows) - len(kept)


def _strip_trades(value: bytes, symbols: set[str]) -> tuple[bytes, int]:
    """Leave groups of trades out; the columns of a packed record are those of all its groups."""
    batch = decode_batch(value)
    kept = [group for group in batch.symbols if group.symbol not in symbols]
    left_out = len(batch.symbols) - len(kept)
    if not left_out:
        return value, 0
    batch.symbols = kept
    return (encode_batch(batch) if kept else b""), left_out
