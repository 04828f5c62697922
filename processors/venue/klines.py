"""VenueKlines: klines mode, the venue's official candles passed on in the envelope of ours.

Closed ones go to ``md.klines.v1`` at once, open ones and prices are throttled. ``rev`` is an offset
on ``md.venue-klines.v1``: topics that hold candles of the other mode must not be shared.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import cast

import msgspec
import structlog

from processors.fold import Output, Partitions, taken
from processors.venue.official import Official
from processors.venue.told import decode_venue_klines, frame_of, not_streamed
from schemas.intervals import Interval
from schemas.klines import Kline, KlineEnvelope, PriceEnvelope
from schemas.topics import KLINES, KLINES_LIVE, PRICES, VENUE_KLINES, Topic, symbol_key
from schemas.trades import Channel
from schemas.updates import VenueKline

logger = structlog.get_logger(__name__)

_encode = msgspec.json.Encoder(decimal_format="number").encode


class VenueKlines:
    """Folds ``md.venue-klines.v1`` into candles and prices; see the module."""

    name = "venue-klines"
    reads: tuple[Topic, ...] = (VENUE_KLINES,)
    writes: tuple[Topic, ...] = (KLINES, KLINES_LIVE, PRICES)

    def __init__(self, intervals: Collection[Interval], *, live_every_ms: int) -> None:
        self._frames = tuple(sorted(intervals))
        self._live_every_ms = live_every_ms
        self._symbols: dict[int, dict[bytes, Official]] = {}
        self._due: dict[Official, None] = {}
        self._fresh: dict[Official, None] = {}
        self._dirty: dict[Official, int] = {}
        missing = not_streamed(self._frames)
        if missing:
            texts = ",".join(interval.text for interval in missing)
            logger.warning("intervals_not_streamed", intervals=texts, mode="klines")

    def apply(self, topic: Topic, partition: int, offset: int, value: bytes) -> None:  # noqa: ARG002
        """Fold one record, whole or not at all; raise Unreadable."""
        told = decode_venue_klines(value)
        by_symbol: dict[str, list[tuple[Interval, VenueKline]]] = {}
        for row in told.data:
            frame = frame_of(row)
            if frame is not None and frame in self._frames:
                by_symbol.setdefault(row.symbol, []).append((frame, row))
        for symbol, rows in by_symbol.items():
            official = self._official(partition, told.exchange, told.channel, symbol)
            if official.take(rows, offset, told.recv_ns // 1_000_000):
                self._dirty[official] = partition
                self._fresh[official] = None
                if official.due:
                    self._due[official] = None

    def tick(self, now_ms: int, caught_up: Collection[int]) -> None:
        """Nothing here is the clock's: the venue says when a candle is closed."""

    def outputs(self, now_ms: int, caught_up: Collection[int]) -> Iterator[Output]:  # noqa: ARG002
        """Yield closed candles at once; open ones and prices at most once in their interval."""
        for official in self._due:
            yield _candles(KLINES, official, official.closed())
        self._due.clear()
        # A clock that was set back must not silence a symbol.
        sent = [
            official
            for official in self._fresh
            if not 0 <= now_ms - official.sent_ms < self._live_every_ms
        ]
        for official in sent:
            del self._fresh[official]
            official.sent_ms = now_ms
            still_open, price = official.open(), official.price()
            if still_open:
                yield _candles(KLINES_LIVE, official, still_open)
            if price is not None:
                channel = cast("Channel", official.channel)
                told = PriceEnvelope(official.exchange, channel, [price], official.recv_ms)
                yield Output(PRICES, official.key, _encode(told))

    def take_dirty(self, partitions: Partitions = None) -> list[tuple[int, bytes, bytes]]:
        """Return (partition, key, record) of what changed since it was taken last."""
        dirty = taken(self._dirty, partitions)
        return [(partition, official.key, official.dump()) for official, partition in dirty.items()]

    def restore(self, partition: int, states: Mapping[bytes, bytes]) -> None:
        """Take over a partition with the records of ``take_dirty``; raise ``UnknownState``."""
        self.drop(partition)
        for key, value in states.items():
            exchange, channel, symbol = key.decode().split(":", 2)
            official = self._official(partition, exchange, channel, symbol)
            official.load(value)
            self._fresh[official] = None  # whether its last update had left is not known

    def drop(self, partition: int) -> None:
        """Forget a partition that another worker owns now."""
        for official in self._symbols.pop(partition, {}).values():
            for where in (self._due, self._fresh, self._dirty):
                where.pop(official, None)

    def _official(self, partition: int, exchange: str, channel: str, symbol: str) -> Official:
        symbols = self._symbols.setdefault(partition, {})
        key = symbol_key(exchange, channel, symbol)
        official = symbols.get(key)
        if official is None:
            official = symbols[key] = Official(exchange, channel, symbol, self._frames)
        return official


def _candles(topic: Topic, official: Official, rows: list[Kline]) -> Output:
    channel = cast("Channel", official.channel)
    envelope = KlineEnvelope(official.exchange, channel, rows, official.recv_ms)
    return Output(topic, official.key, _encode(envelope))
