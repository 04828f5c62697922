"""Streams and instruments as the topics tell of them: wanted, actual, possible; no I/O."""

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Literal, TypeVar

import msgspec
from pydantic import BaseModel, Field

from runtime.errors import Poison
from schemas.capabilities import CAPABILITIES
from schemas.control import (
    ALIVE,
    Control,
    InstrumentRow,
    StreamState,
    StreamStatus,
    decode_control,
    decode_instrument,
    decode_stream_status,
)
from schemas.streams import Kind, StreamKey, Transport, stream_key
from schemas.topics import CONTROL, INSTRUMENTS, STREAMS, symbol_key
from schemas.trades import Channel
from sinks.gateway import names
from sinks.gateway.names import UNPROCESSABLE, Market, Unknown
from sinks.gateway.protocol import ANY, is_of

ENTRIES_MAX = 200_000  # of each of the three topics

T = TypeVar("T", Control, StreamStatus)


class Knobs(BaseModel):
    """What is wanted of a stream."""

    enabled: bool
    db_writes_enabled: bool
    redis_publishes_enabled: bool


class StreamView(Knobs):
    """A stream: what is wanted of it, and what became of it."""

    exchange: str
    channel: Channel
    symbol: str
    kind: Kind
    transport: Transport
    source: Literal["control", "settings"] = Field(description="Who wants it so.")
    state: StreamState | None = Field(description="null: no ingestor has told of it yet.")
    since_ms: int | None = Field(description="Since when it is in that state.")
    detail: str = ""


class StreamRef(BaseModel, extra="forbid"):
    """A stream as somebody names it."""

    exchange: str = Field(min_length=1, max_length=64, examples=["binance", "BinanceLinear"])
    symbol: str = Field(min_length=1, max_length=64, examples=["BTCUSDT"])
    kind: str = Field(min_length=1, max_length=64, examples=["trades", "L2Book"])
    transport: str | None = Field(None, max_length=64, examples=["ws"])
    channel: Channel | None = Field(None, examples=["linear"])


class StreamTable:
    """The three topics in memory; ``take`` keeps it up to date."""

    def __init__(self) -> None:
        self.controls: dict[StreamKey, Control] = {}
        self.statuses: dict[StreamKey, StreamStatus] = {}
        self.instruments: dict[Market, dict[str, InstrumentRow]] = {}

    def take(self, topic: str, key: bytes | None, value: bytes | None) -> None:
        """Take a record of one of the topics (without prefix); raise Poison."""
        try:
            text = (key or b"").decode()
            if topic == INSTRUMENTS.name:
                self._take_instrument(text, value)
            elif topic == CONTROL.name:
                control = None if value is None else decode_control(value)
                _put(self.controls, stream_key(text), control)
            elif topic == STREAMS.name:
                status = None if value is None else decode_stream_status(value)
                if not stream_key(text).symbol.startswith(ALIVE):
                    _put(self.statuses, stream_key(text), status)
        except (msgspec.MsgspecError, ValueError) as e:
            raise Poison(f"{topic}: {e}", payload=value or key or b"") from e

    def _take_instrument(self, text: str, value: bytes | None) -> None:
        if value is None:
            for market, listed in self.instruments.items():
                listed.pop(text.removeprefix(symbol_key(*market, "").decode()), None)
            return
        row = decode_instrument(value)
        if symbol_key(*_market(row), row.symbol).decode() != text:
            raise ValueError("it is about another symbol than its key")
        listed = self.instruments.setdefault(_market(row), {})
        if row.symbol not in listed and sum(map(len, self.instruments.values())) >= ENTRIES_MAX:
            raise ValueError(f"more than {ENTRIES_MAX} symbols")
        listed[row.symbol] = row

    def lists(self, key: tuple[str, str, str]) -> bool:
        """Say whether an exchange lists a symbol, or a stream of it is known; ``*`` is any."""
        symbol = key[2]
        places = [
            (exchange, channel)
            for exchange, channels in CAPABILITIES.items()
            for channel in channels
            if is_of(key, (exchange, channel))
        ]
        if symbol == ANY:
            told = {stream[:2] for stream in self.statuses}
            return any(self.instruments.get(place) or place in told for place in places)
        return any(
            symbol in self.instruments.get(place, ())
            or any(
                StreamKey(*place, symbol, kind, transport) in self.statuses
                for kind, transport in CAPABILITIES[place[0]][place[1]].items()
            )
            for place in places
        )

    # -- naming

    def resolve(self, ref: StreamRef) -> list[StreamKey]:
        """Return the streams that could run under that name; raise Unknown."""
        market, symbol = self._symbol(names.markets(ref.exchange, ref.channel), ref.symbol)
        return [
            StreamKey(*market, symbol, kind, names.transport_of(market, kind, ref.transport))
            for kind in names.kinds(ref.kind)
        ]

    def find(self, ref: StreamRef) -> list[StreamKey]:
        """Return the streams of that name that somebody wants or tells of; raise Unknown."""
        kinds = names.kinds(ref.kind)
        for market in names.markets(ref.exchange, ref.channel):
            symbol = self._listed(market, ref.symbol) or ref.symbol
            has = [kind for kind in kinds if kind in CAPABILITIES[market[0]][market[1]]]
            keys = [
                StreamKey(*market, symbol, kind, names.transport_of(market, kind, ref.transport))
                for kind in has
            ]
            known = [key for key in keys if key in self.controls or key in self.statuses]
            if known:
                return known
        self.resolve(ref)
        raise Unknown(f"no stream {ref.kind} of {ref.exchange} {ref.symbol}: POST /streams adds it")

    def _symbol(self, markets: list[Market], text: str) -> tuple[Market, str]:
        unheard = [market for market in markets if not self.instruments.get(market)]
        idle = ""
        for market in markets:
            symbol = self._listed(market, text)
            if symbol is None:
                continue
            row = self.instruments[market][symbol]
            if row.is_streamed:
                return market, symbol
            idle = idle or f"{symbol} of {' '.join(market)} is not streamed: it is {row.status!r}"
        if idle:
            raise Unknown(idle, status=UNPROCESSABLE)
        if unheard:  # nobody has told what it lists: its ingestor will judge
            return unheard[0], text
        symbols = [s for market in markets for s in self.instruments[market]]
        where = " or ".join(" ".join(market) for market in markets)
        raise Unknown(f"{where} lists no symbol {text!r}", _near(text, symbols))

    def _listed(self, market: Market, text: str) -> str | None:
        """Return the venue's own name of a symbol named so, or by its unified name."""
        listed = self.instruments.get(market, {})
        if text in listed:
            return text
        return next((s for s, row in listed.items() if row.unified == text), None)

    # -- wishes

    def changed(self, key: StreamKey, now_ms: int, **knobs: bool) -> Control | None:
        """Return the record that changes those knobs; None where they are so already."""
        known = self.controls.get(key)
        now = known or Control(**key._asdict(), enabled=self._runs(key))
        wanted = msgspec.structs.replace(now, **knobs)
        if wanted == known:
            return None
        return msgspec.structs.replace(wanted, changed_ms=now_ms)

    def _runs(self, key: StreamKey) -> bool:
        status = self.statuses.get(key)
        return status is not None and status.state != "stopped"

    # -- views

    def view(self, key: StreamKey) -> StreamView:
        """Return a stream."""
        control, status = self.controls.get(key), self.statuses.get(key)
        return StreamView(
            **key._asdict(),
            source="control" if control else "settings",
            enabled=self._is_wanted(key),
            db_writes_enabled=control is None or control.db_writes_enabled,
            redis_publishes_enabled=control is None or control.redis_publishes_enabled,
            state=self.state(key),
            since_ms=status.since_ms if status else None,
            detail=status.detail if status else "",
        )

    def streams(self, *, with_removed: bool) -> list[StreamKey]:
        """Return every stream in order of name; removed is what is not wanted and does not run."""
        every = self.controls.keys() | self.statuses.keys()
        if not with_removed:
            every = {key for key in every if self._is_wanted(key) or self._runs(key)}
        return sorted(every)

    def state(self, key: StreamKey) -> StreamState | None:
        """Return what became of a stream; None: no ingestor told of it."""
        status = self.statuses.get(key)
        return status.state if status else None

    def _is_wanted(self, key: StreamKey) -> bool:
        control = self.controls.get(key)
        return control.enabled if control else self._runs(key)

    def rows(self, markets: Iterable[Market] | None = None) -> Iterator[InstrumentRow]:
        """Yield the instruments of those markets (None: of all) in order of name."""
        for market in sorted(self.instruments if markets is None else markets):
            listed = self.instruments.get(market, {})
            yield from (listed[symbol] for symbol in sorted(listed))


def _put(table: dict[StreamKey, T], key: StreamKey, value: T | None) -> None:
    if value is None:
        table.pop(key, None)
        return
    v = value
    if StreamKey(v.exchange, v.channel, v.symbol, v.kind, v.transport) != key:
        raise ValueError("it is about another stream than its key")
    if key not in table and len(table) >= ENTRIES_MAX:
        raise ValueError(f"more than {ENTRIES_MAX} streams")
    table[key] = value


def _market(row: InstrumentRow) -> Market:
    return row.exchange, row.channel


def _near(text: str, symbols: list[str]) -> list[str]:
    plain = text.upper()
    same = [s for s in symbols if s.upper() == plain]
    close = get_close_matches(plain, symbols, names.NEAR_MAX, 0.6)
    holding = (s for s in symbols if plain in s.upper())
    return list(dict.fromkeys([*same, *close, *holding]))[: names.NEAR_MAX]
