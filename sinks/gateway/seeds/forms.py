"""The forms in which a WebSocket may be told its candles: ours in, those of other programs out.

A form never adds up or rounds: numbers are passed on as they stand in the message.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from schemas.intervals import MINUTE_MS, Interval, parse_interval
from schemas.trades import Channel
from sinks.gateway import names
from sinks.gateway.names import Unknown
from sinks.gateway.protocol import ANY, INTERVALS_HINT, KLINES, DataStatus, Refused, Subscribe
from sinks.gateway.seeds import clock

SECOND = Interval(1_000)
FORMS_HINT = "format is one of ohlcv_update, envelope, ohlc; leave it out for our own"


class Row(msgspec.Struct, gc=False):
    """What these forms tell of a candle; numbers are texts."""

    symbol: str
    interval: int
    timestamp: int
    open: msgspec.Raw
    high: msgspec.Raw
    low: msgspec.Raw
    close: msgspec.Raw
    volume: msgspec.Raw
    trade_count: int
    closed: bool
    anchor: str = ""


class _Told(msgspec.Struct, gc=False):
    """Any message of ours, as far as these forms look into it."""

    type: str = ""
    exchange: str = ""
    channel: str = ""
    symbol: str = ""
    timeframes: list[str] = []
    data_status: dict[str, Any] | None = None
    data_type: str = ""
    data: msgspec.Raw = msgspec.Raw(b"[]")

    def rows(self) -> list[Row]:
        """Return the candles in it."""
        return _rows(self.data) if self.data_type == KLINES else []


_read = msgspec.json.Decoder(_Told).decode
_rows = msgspec.json.Decoder(list[Row]).decode
row_of = msgspec.json.Decoder(Row).decode
_Series = tuple[str, str, str, Interval]


class Form(Protocol):
    """How one client is told what happens."""

    def opening(self, made: Sequence[Interval]) -> Subscribe | None:
        """Return what the client is subscribed to without a word; raise Refused."""

    def frames(self, texts: Iterable[str]) -> list[str]:
        """Return what stands for messages of ours."""


def form_of(said: Mapping[str, str], exchange: str) -> Form | None:
    """Return the form that the parameters of a connection name, None for ours; raise Refused."""
    match said.get("format", ""):
        case "" | "native":
            return None
        case "ohlcv_update":
            return OhlcvUpdates()
        case "envelope":
            return Envelopes(said.get("exchange", ANY), said.get("channel", ANY))
        case "ohlc":
            return Seconds(said, exchange)
    raise Refused(f"there is no format {said['format'][:40]!r}", FORMS_HINT)


class OhlcvUpdates:
    """One message a candle, with the state of its data; all else as in our own form."""

    def __init__(self) -> None:
        self._states: dict[_Series, dict[str, Any]] = {}

    def opening(self, made: Sequence[Interval]) -> Subscribe | None:  # noqa: ARG002
        """Return nothing: these clients subscribe."""
        return None

    def frames(self, texts: Iterable[str]) -> list[str]:
        """Return a message for each row, oldest first."""
        return [frame for text in texts for frame in self._frames(text)]

    def _frames(self, text: str) -> Iterator[str]:
        told = _read(text)
        if told.type == "data_status":
            for timeframe in told.timeframes:
                self._learn(told, told.symbol, parse_interval(timeframe))
            return
        if told.type or told.data_type != KLINES:
            yield text
            return
        for row in told.rows():
            interval = Interval(row.interval, row.anchor)
            self._learn(told, row.symbol, interval)
            state = self._states.get((told.exchange, told.channel, row.symbol, interval))
            yield _text(
                {
                    "type": "ohlcv_update",
                    "symbol": row.symbol,
                    "timeframe": minutes(interval),
                    "data": {
                        "candle_time": row.timestamp,
                        **_prices(row),
                        "volume": row.volume,
                        "trades_count": row.trade_count,
                    },
                    "data_status": state or DataStatus()._asdict(),
                }
            )

    def _learn(self, told: _Told, symbol: str, interval: Interval) -> None:
        if told.data_status is not None:
            self._states[told.exchange, told.channel, symbol, interval] = told.data_status


class _Pushed:
    """Everything is pushed from the first moment on: of our own answers only errors are told."""

    def frames(self, texts: Iterable[str]) -> list[str]:
        """Return what stands for messages of ours."""
        return [frame for text in texts for frame in self._frames(text)]

    def _frames(self, text: str) -> Iterator[str]:
        told = _read(text)
        if told.type in ("error", "pong"):
            yield text
        elif not told.type:
            rows = [row for row in told.rows() if row.closed]  # these clients know no open candles
            yield from self.told(told.exchange, told.channel, rows)

    def told(self, exchange: str, channel: str, rows: Sequence[Row]) -> Iterator[str]:
        """Yield what is said of closed candles."""
        raise NotImplementedError


class Envelopes(_Pushed):
    """Closed candles of every symbol and interval in the envelope that streamers send."""

    def __init__(self, exchange: str, channel: str) -> None:
        its = _channel(None if channel == ANY else channel)
        self._market = exchange if exchange == ANY else _markets(exchange, its)[0][0], channel

    def opening(self, made: Sequence[Interval]) -> Subscribe | None:
        """Return a subscription to all there is."""
        return _everything(*self._market, made)

    def told(self, exchange: str, channel: str, rows: Sequence[Row]) -> Iterator[str]:
        """Yield one envelope."""
        if rows:
            yield _text(
                {
                    "exchange": exchange,
                    "channel": channel,
                    "data_type": "klines",
                    "data": [_plain(row) for row in rows],
                }
            )


class Seconds(_Pushed):
    """The candle of each second, once it is over."""

    def __init__(self, said: Mapping[str, str], exchange: str) -> None:
        self._market = _markets(said.get("exchange", exchange), said.get("channel"))[0]
        self._zone = clock.zone_of(said.get("tz", clock.ZONE))
        self._newest_ms: dict[str, int] = {}

    def opening(self, made: Sequence[Interval]) -> Subscribe | None:
        """Return a subscription to the seconds of every symbol; raise Refused."""
        if SECOND not in made:
            raise Refused("1s candles are not made here", "POST /api/v1/intervals adds them.")
        return _everything(*self._market, [SECOND])

    def told(self, exchange: str, channel: str, rows: Sequence[Row]) -> Iterator[str]:  # noqa: ARG002
        """Yield one message a candle; a correction of the past is none."""
        for row in rows:
            if self._newest_ms.get(row.symbol, -1) < row.timestamp:
                self._newest_ms[row.symbol] = row.timestamp
                time = clock.told(row.timestamp, self._zone)
                yield _text({"symbol": row.symbol, "timestamp": time, **_prices(row)})


def minutes(interval: Interval) -> str:
    """Return an interval as so many minutes, where it is that: 1h is 60m."""
    if interval.anchor or interval.length_ms % MINUTE_MS:
        return interval.text
    return f"{interval.length_ms // MINUTE_MS}m"


def _channel(text: str | None) -> Channel | None:
    match text:
        case None | "spot" | "linear":
            return text
    raise Refused(f"there is no channel {text[:40]!r}", "It is spot or linear.")


def _markets(exchange: str, channel: str | None) -> list[names.Market]:
    try:
        return names.markets(exchange, _channel(channel))
    except Unknown as e:
        raise Refused(e.reason, f"near: {', '.join(e.near)}") from e


def _everything(exchange: str, channel: str, intervals: Sequence[Interval]) -> Subscribe:
    if not intervals:
        raise Refused("no candles are made here", INTERVALS_HINT)
    timeframes = [{"timeframe": each.text, "initial_candles": 0} for each in intervals]
    wanted = {"symbol": ANY, "exchange": exchange, "channel": channel, "timeframes": timeframes}
    return Subscribe.model_validate({"action": "subscribe", "subscriptions": [wanted]})


def _prices(row: Row) -> dict[str, msgspec.Raw]:
    return {"open": row.open, "high": row.high, "low": row.low, "close": row.close}


def _plain(row: Row) -> dict[str, Any]:
    return {
        "symbol": row.symbol,
        "interval": row.interval,
        "timestamp": row.timestamp,
        **_prices(row),
        "volume": row.volume,
        "trade_count": row.trade_count,
    }


def _text(message: dict[str, Any]) -> str:
    return msgspec.json.encode(message).decode()
