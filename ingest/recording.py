"""Recorded frames to events, through the production parser and without a connection.

A file holds one frame a line; ``{"url", "raw"}``, ``{"test", "raw"}`` and ``{"path", "data"}``
wrappers of recorders are taken off. A symbol's trades come from the stream that it shows first:
``trade`` and ``aggTrade`` tell the same matches twice, with ids of two different series.
"""

import gzip
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson

from ingest.batches import Collector
from ingest.decimals import Unfit
from ingest.exchanges import exchange as exchange_named
from ingest.exchanges.base import Ack, Control, Exchange, Inbound, Other, TradeRow
from runtime.errors import Misconfigured, Poison
from schemas.trades import Channel, TradeBatch

GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class Refused:
    """A frame that could not be read, and why."""

    reason: str
    payload: bytes


Event = TradeRow | Other | Refused


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


def read_events(frames: Iterable[bytes], exchange: str, channel: Channel) -> Iterator[Event]:
    """Yield what each frame says, in order; nothing is raised on what a frame holds."""
    venue = exchange_named(exchange)
    if channel not in venue.markets:
        raise Misconfigured("--channel", f"{exchange} has no {channel}", remedy="spot or linear.")
    kinds: dict[str, str] = {}
    for line in frames:
        for inbound in _read(venue, line):
            if not isinstance(inbound, TradeRow):
                yield _told(inbound)
            elif kinds.setdefault(inbound.symbol, inbound.kind) == inbound.kind:
                yield inbound
            else:
                yield Other(f"{inbound.kind}_beside_{kinds[inbound.symbol]}")


def batch_of(rows: Iterable[TradeRow], exchange: str, channel: Channel) -> TradeBatch:
    """Return the rows (at least one) as one record, scales grown until every text fits."""
    collector = Collector(exchange, channel, partition_of=lambda _: 0)
    for row in rows:
        collector.add(row, row.ts * 1_000_000)
    ((_, batch),) = collector.drain()
    return batch


def _read(venue: Exchange, line: bytes) -> Iterable[Inbound | Refused]:
    frame, is_rest = _unwrapped(line)
    try:
        return venue.parse(frame)
    except (Poison, Unfit) as e:
        if is_rest:
            return (Other("rest_body"),)  # a body that the streams never need
        return (Refused(str(e), frame),)


def _unwrapped(line: bytes) -> tuple[bytes, bool]:
    """Return the frame inside a recorder's wrapper, and whether it is a REST body."""
    if b'"raw"' not in line and b'"path"' not in line:
        return line, False
    try:
        wrapper = orjson.loads(line)
    except orjson.JSONDecodeError:
        return line, False
    if not isinstance(wrapper, dict):
        return line, False
    is_rest = "url" in wrapper or "path" in wrapper
    body = wrapper.get("raw", wrapper.get("data") if "path" in wrapper else None)
    if body is None and not is_rest:
        return line, False
    return (body.encode() if isinstance(body, str) else json.dumps(body).encode()), is_rest


def _told(event: Control | Refused) -> Other | Refused:
    if isinstance(event, (Other, Refused)):
        return event
    return Other("ack" if isinstance(event, Ack) else type(event).__name__.lower())
