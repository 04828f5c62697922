"""Bars from memory where it holds all that is asked for, else from the warehouse and memory."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from schemas.clickhouse.pieces import Series
from schemas.intervals import Interval
from sinks.gateway import candles
from sinks.gateway.candles import Candle
from sinks.gateway.history import Series as Remembered
from sinks.gateway.history import is_chain, merged
from sinks.gateway.hub import Hub
from sinks.gateway.protocol import Key
from sinks.gateway.warehouse import Warehouse

NOT_CONFIGURED = "not configured"


class Asked(NamedTuple):
    """Bars that open in ``[start_ms, end_ms)``: of more than ``limit`` the newest."""

    series: Series
    interval: Interval
    start_ms: int
    end_ms: int
    limit: int


class Bar(msgspec.Struct):
    """What a chart and its marks need of a candle; numbers are texts."""

    timestamp: int
    open: msgspec.Raw
    high: msgspec.Raw
    low: msgspec.Raw
    close: msgspec.Raw
    volume: msgspec.Raw
    rev: int
    closed: bool
    cause: str = "live"
    quality: str = "proven"
    missing: int = 0


_bar = msgspec.json.Decoder(Bar).decode


class Bars:
    """Reads bars; raises WarehouseAway or QueryTooBig."""

    def __init__(self, hub: Hub, warehouse: Warehouse) -> None:
        self._hub = hub
        self._warehouse = warehouse

    async def read(self, asked: Asked) -> list[Bar]:
        """Return bars, oldest first."""
        series, interval, start_ms, end_ms, limit = asked
        found = self._hub.fresh(Key(*series, interval))
        known = _until(found, end_ms)
        if self._warehouse.state == NOT_CONFIGURED or _has_all(known, asked):
            return _bars(known, asked)
        rows = await self._warehouse.klines(*series, interval, start_ms, end_ms, limit)
        return _bars(merged(map(candles.stored, rows), _until(found, end_ms)), asked)

    async def before(self, asked: Asked) -> int | None:
        """Return when the newest bar before those asked for opened."""
        older = await self.read(asked._replace(start_ms=0, end_ms=asked.start_ms, limit=1))
        return older[-1].timestamp if older else None

    def closes(self, series: Series) -> list[str]:
        """Return the newest prices of a symbol as they were written."""
        newest = [
            next(reversed(each.candles.values()))
            for key, each in self._hub.history.series.items()
            if key[:3] == series and each.candles
        ]
        return [bytes(_bar(candle.row).close).decode() for candle in newest]


def _until(found: Sequence[Remembered], end_ms: int) -> list[Candle]:
    every = found[0].candles.values() if found else ()
    return [candle for candle in every if candle.timestamp < end_ms]


def _has_all(known: Sequence[Candle], asked: Asked) -> bool:
    """Say whether memory proves that it lacks none of the bars: they, or they and the one before.

    That it began with its topic proves nothing here: intervals may have been added later.
    """
    inside = [candle for candle in known if candle.timestamp >= asked.start_ms]
    wanted = asked.limit
    if len(inside) < wanted:
        wanted = len(inside) + bool(not inside or inside[0].timestamp > asked.start_ms)
    proof = known[-wanted:]
    return len(proof) == wanted and is_chain(Key(*asked.series, asked.interval), proof)


def _bars(known: Sequence[Candle], asked: Asked) -> list[Bar]:
    inside = [candle for candle in known if candle.timestamp >= asked.start_ms]
    return [_bar(candle.row) for candle in inside[-asked.limit :]]
