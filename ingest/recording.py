"""Recorded frames to events, through the production parser and without a connection.

A file holds one frame a line; ``{"url", "raw"}``, ``{"test", "raw"}`` and ``{"path", "data"}``
wrappers of recorders are taken off. A symbol's trades come from the stream that it shows first:
``trade`` and ``aggTrade`` tell the same matches twice, with ids of two different series.
"""

import gzip
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson

from ingest.batches import Collector
from ingest.decimals import Unfit
from ingest.exchanges import exchange as exchange_named
from ingest.exchanges.base import (
    Ack,
    BookRow,
    Data,
    Inbound,
    Market,
    Other,
    Rejected,
    Shutdown,
    TradeRow,
)
from runtime.errors import Misconfigured, Poison
from schemas.trades import Channel, TradeBatch

GZIP_MAGIC = b"\x1f\x8b"
SYMBOL = "SYMBOL"  # stands for any


@dataclass(frozen=True, slots=True)
class Refused:
    """A frame that could not be read, and why."""

    reason: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class _Line:
    """What a recorder wrapped: the frame, and the URL that it answers where it is a REST body."""

    frame: bytes
    url: str | None = None


Event = Data | Other | Refused


def read_frames(path: Path) -> Iterator[bytes]:
    """Yield the lines of a recording, ``.gz`` or plain; raise Misconfigured if it is unreadable."""
    try:
        with path.open("rb") as head:
            packed = head.read(2) == GZIP_MAGIC
        with gzip.open(path, "rb") if packed else path.open("rb") as lines:
            for line in lines:
                if frame := line.strip():
                    yield frame
    except (OSError, EOFError) as e:  # a bad gzip file is an OSError, a cut one an EOFError
        raise Misconfigured("FILE", f"{path}: {e}", remedy="Name a readable recording.") from e


def read_events(
    frames: Iterable[bytes],
    exchange: str,
    channel: Channel,
    recv_ms: Callable[[], int] = lambda: 0,
) -> Iterator[Event]:
    """Yield what each frame says, in order; nothing is raised on what a frame holds.

    ``recv_ms`` tells when the last frame was received, for REST bodies without a time.
    """
    venue = exchange_named(exchange)
    if channel not in venue.markets:
        raise Misconfigured("--channel", f"{exchange} has no {channel}", remedy="spot or linear.")
    market = venue.markets[channel]
    kinds: dict[str, str] = {}
    snapshots = _Snapshots(market)
    for text in frames:
        line = _unwrapped(text)
        for inbound in _read(market, line):
            if type(inbound) is TradeRow:
                if kinds.setdefault(inbound.symbol, inbound.kind) == inbound.kind:
                    yield inbound
                else:
                    yield Other(f"{inbound.kind}_beside_{kinds[inbound.symbol]}")
            elif isinstance(inbound, (Other, Refused)):
                yield from snapshots.read(line, inbound, recv_ms())
            elif isinstance(inbound, (Ack, Rejected, Shutdown)):
                yield Other(type(inbound).__name__.lower())
            else:
                if type(inbound) is BookRow:
                    yield from snapshots.meet(inbound.symbol)
                yield inbound
    yield from snapshots.meet("")


def batch_of(rows: Iterable[TradeRow], exchange: str, channel: Channel) -> TradeBatch:
    """Return the rows (at least one) as one record, scales grown until every text fits."""
    ids = exchange_named(exchange).markets[channel].ids
    collector = Collector(exchange, channel, partition_of=lambda _: 0, ids=ids)
    for row in rows:
        collector.add(row, row.ts * 1_000_000)
    ((_, batch),) = collector.drain()
    return batch


class _Snapshots:
    """Finds the REST snapshots of books among the frames; they do not name their symbol.

    The URL of the request does; without it, it is the only symbol whose book the recording tells.
    """

    def __init__(self, market: Market) -> None:
        self._symbols: set[str] = set()
        self._early: tuple[_Line, Other | Refused, int] | None = None
        self._read_body = market.book.read_snapshot if market.book else None
        self._path, self._parameter = "", ""
        if market.book and market.book.snapshot:
            url = urlsplit(market.book.snapshot(SYMBOL).path)
            self._path = url.path
            self._parameter = next(
                (name for name, value in parse_qsl(url.query) if value == SYMBOL), ""
            )

    def read(self, line: _Line, told: Other | Refused, recv_ms: int) -> Iterator[Event]:
        """Yield the snapshot in a frame that the parser ``told`` to be none of the stream's."""
        if self._read_body is None:
            yield told
        elif line.url is not None:
            yield self._row(line.frame, self._asked_for(line.url), recv_ms) or told
        elif len(self._symbols) == 1:
            yield self._row(line.frame, next(iter(self._symbols)), recv_ms) or told
        elif not (self._symbols or self._early) and self._row(line.frame, SYMBOL, recv_ms):
            self._early = line, told, recv_ms
        else:
            yield told

    def meet(self, symbol: str) -> Iterator[Event]:
        """Note the symbol of a book; yield the snapshot that came before it had a name."""
        self._symbols.add(symbol)
        if self._early is not None:
            line, told, recv_ms = self._early
            self._early = None
            yield self._row(line.frame, symbol, recv_ms) or told

    def _asked_for(self, url: str) -> str | None:
        asked = urlsplit(url)
        if asked.path != self._path:
            return None
        return dict(parse_qsl(asked.query)).get(self._parameter)

    def _row(self, body: bytes, symbol: str | None, recv_ms: int) -> BookRow | None:
        if self._read_body is None or not symbol:
            return None
        try:
            return self._read_body(body, symbol, recv_ms)
        except Poison:
            return None


def _read(market: Market, line: _Line) -> Sequence[Inbound | Refused]:
    try:
        return market.parse(line.frame)
    except (Poison, Unfit) as e:
        if line.url is not None:
            return (Other("rest_body"),)  # a body that the streams never need
        return (Refused(str(e), line.frame),)


def _unwrapped(line: bytes) -> _Line:
    """Take the wrapper of a recorder off."""
    if b'"raw"' not in line and b'"path"' not in line:
        return _Line(line)
    try:
        wrapper = orjson.loads(line)
    except orjson.JSONDecodeError:
        return _Line(line)
    if not isinstance(wrapper, dict):
        return _Line(line)
    url = _url(wrapper)
    body = wrapper.get("raw", wrapper.get("data") if "path" in wrapper else None)
    if body is None and url is None:
        return _Line(line)
    return _Line(body.encode() if isinstance(body, str) else json.dumps(body).encode(), url)


def _url(wrapper: dict[str, Any]) -> str | None:
    if "url" in wrapper:
        return str(wrapper["url"])
    if "path" in wrapper:
        return f"{wrapper['path']}?{wrapper.get('query', '')}"
    return None
