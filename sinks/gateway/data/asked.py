"""What a question says: which series, which interval, which time, which page, which format.

Whatever cannot be meant is refused with its reason and the way out.
"""

import base64
import binascii
from collections.abc import Iterable
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Annotated, Literal, NoReturn

import msgspec
from fastapi import HTTPException, Query, Request

from schemas.clickhouse.pieces import Series
from schemas.intervals import BadInterval, Interval, parse_interval
from schemas.trades import Channel
from sinks.gateway import names
from sinks.gateway.names import NEAR_MAX, UNPROCESSABLE
from sinks.gateway.streams import known

Format = Literal["json", "csv", "arrow", "parquet"]
MEDIA_TYPES: dict[Format, str] = {
    "json": "application/json",
    "csv": "text/csv",
    "arrow": "application/vnd.apache.arrow.stream",
    "parquet": "application/vnd.apache.parquet",
}
TIME_MS_MAX = 10_413_792_000_000 - 1  # the year 2299, where DateTime64 ends
CURSOR_CHARS_MAX = 400

Exchange = Annotated[str, Query(max_length=64, examples=["binance"])]
Market = Annotated[Channel | None, Query(description="spot or linear; else the exchange's first.")]
Moment = Annotated[
    str | None,
    Query(max_length=40, examples=["2026-01-31T00:00:00Z", "1769817600000"]),
]
Page = Annotated[
    str | None, Query(max_length=CURSOR_CHARS_MAX, description="next_cursor of the page before.")
]
Wanted = Annotated[Format | None, Query(description="Else what the Accept header says, or json.")]


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """Where a page ended: what was asked, and the last row."""

    what: str
    newest: bool
    ms: int
    id: int = 0
    uid: str = ""
    bound_ms: int | None = None
    """The other end of what was asked for."""


_decode = msgspec.json.Decoder(Cursor).decode


def refuse(reason: str, near: Iterable[str] = (), status: int = UNPROCESSABLE) -> NoReturn:
    """Answer with a reason, and with what would be right."""
    raise HTTPException(status, {"reason": reason, "near": list(near)})


def series_of(exchange: str, channel: Channel | None, symbol: str) -> Series:
    """Return the series that the names mean; answer 404 for an exchange that is none."""
    market = known(lambda: names.markets(exchange, channel))[0]
    return Series(*market, symbol)


def timeframe_of(text: str) -> Interval:
    """Return the interval of a timeframe: bare numbers are minutes."""
    text = text.strip()
    try:
        return parse_interval(f"{text}m" if text.isascii() and text.isdigit() else text)
    except BadInterval as e:
        refuse(f"timeframe: {e}", ("173", "173m", "4h", "1D", "1w@mon"))


def moment_of(name: str, text: str | None) -> int | None:
    """Return a moment in ms: of milliseconds, or of ISO 8601; without an offset it is UTC."""
    if text is None or not text.strip():
        return None
    text = text.strip().replace(" ", "+")  # a + that was not escaped
    if text.isascii() and text.isdigit():
        at_ms = int(text)
    else:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            way_out = ("1769817600000", "2026-01-31", "2026-01-31T00:00:00Z")
            refuse(f"{name}: {text!r} is no time: give ms since 1970, or ISO 8601", way_out)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        at_ms = round(moment.timestamp() * 1_000)
    if not 0 <= at_ms <= TIME_MS_MAX:
        refuse(f"{name}: {text} is not between 1970 and 2299; times are in milliseconds")
    return at_ms


def span_of(start: str | None, end: str | None) -> tuple[int | None, int | None]:
    """Return the span ``[start, end)`` in ms."""
    start_ms, end_ms = moment_of("start", start), moment_of("end", end)
    if start_ms is not None and end_ms is not None and start_ms >= end_ms:
        refuse("end is not after start: the span [start, end) holds nothing")
    return start_ms, end_ms


def format_of(asked: Format | None, request: Request) -> Format:
    """Return the format of the answer."""
    if asked is not None:
        return asked
    accepts = request.headers.get("accept", "")
    found = (name for name, media_type in MEDIA_TYPES.items() if media_type in accepts)
    return next(found, "json")


def cursor_text(cursor: Cursor) -> str:
    """Return a cursor as what a client sends back."""
    return base64.urlsafe_b64encode(msgspec.json.encode(cursor)).decode().rstrip("=")


def cursor_of(text: str | None, what: str) -> Cursor | None:
    """Return the cursor of a page of the same question."""
    if text is None:
        return None
    try:
        cursor = _decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        refuse("cursor: it is none of ours; leave it out to begin again")
    if cursor.what != what:
        refuse("cursor: it belongs to another question; keep all else as it was, or leave it out")
    numbers = (cursor.ms, cursor.bound_ms or 0)
    if not all(0 <= ms <= TIME_MS_MAX for ms in numbers) or abs(cursor.id) >= 2**63:
        refuse("cursor: it is none of ours; leave it out to begin again")
    return cursor


def near(symbol: str, symbols: Iterable[str]) -> list[str]:
    """Return the symbols whose names are like this one."""
    every = {each.upper(): each for each in symbols}
    return [every[name] for name in get_close_matches(symbol.upper(), every, NEAR_MAX, 0.5)]


def limit_of(limit: int | None, default: int, most: int) -> int:
    """Return how many rows to answer with."""
    if limit is not None and limit > most:
        refuse(f"limit: {limit} rows are asked for, {most} are allowed: page with next_cursor")
    return min(default, most) if limit is None else limit
