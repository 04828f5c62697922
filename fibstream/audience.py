"""A client of the gateway that remembers what it saw and when: every candle of every symbol."""

import asyncio
import time
from typing import NamedTuple

import orjson
import websockets
from msgspec import ValidationError

from fibstream.stored import CandleKey
from fibstream.truth import Series
from schemas.intervals import Interval
from schemas.klines import Kline, decode_klines

FRAME_BYTES_MAX = 16 << 20
RECONNECT_S = 0.2


class Sight(NamedTuple):
    """The first time a trade was seen inside a live candle."""

    series: Series
    last_id: int
    at_ns: int


class Audience:
    """Subscribes to everything and keeps the latest revision of each candle."""

    def __init__(self, url: str, intervals: tuple[Interval, ...]) -> None:
        self.messages = 0
        self.candles: dict[CandleKey, Kline] = {}
        self.sights: list[Sight] = []
        self.close_delays_ms: list[float] = []
        self.first_candle = asyncio.Event()
        self._url = url
        self._intervals = intervals
        self._seen: set[tuple[Series, int]] = set()

    async def watch(self) -> None:
        """Follow the gateway until cancelled, through its restarts."""
        names = [interval.text for interval in self._intervals]
        series = {"symbol": "*", "exchange": "*", "channel": "*"}
        wanted = [{"timeframe": name, "initial_candles": 0} for name in names]
        subscribe = orjson.dumps(
            {"action": "subscribe", "subscriptions": [{**series, "timeframes": wanted}]}
        ).decode()
        while True:
            try:
                async with websockets.connect(
                    self._url, max_size=FRAME_BYTES_MAX, max_queue=None, compression=None
                ) as socket:
                    await socket.send(subscribe)
                    async for message in socket:
                        self._take(message if isinstance(message, bytes) else message.encode())
            except (OSError, websockets.WebSocketException):
                await asyncio.sleep(RECONNECT_S)

    def _take(self, message: bytes) -> None:
        now_ns = time.time_ns()
        self.messages += 1
        try:
            envelope = decode_klines(message)
        except ValidationError:
            return  # an ack or the statistics
        for row in envelope.data:
            series = (envelope.exchange, envelope.channel, row.symbol)
            key = (*series, row.frame, row.timestamp)
            old = self.candles.get(key)
            if row.closed and (old is None or not old.closed):
                end_ms = row.frame.end_ms(row.timestamp)
                self.close_delays_ms.append(now_ns / 1e6 - end_ms)
            if old is None or row.version >= old.version:
                self.candles[key] = row
            if row.trade_count and not row.closed and (series, row.last_id) not in self._seen:
                self._seen.add((series, row.last_id))
                self.sights.append(Sight(series, row.last_id, now_ns))
        if envelope.data:
            self.first_candle.set()
