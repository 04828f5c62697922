"""Where Kraken tells its time: whole seconds, cut."""

from typing import Annotated

from msgspec import Meta, Struct
from msgspec.json import Decoder

from ingest.exchanges.base import Clock, Request
from runtime.errors import Poison

SECOND_MS = 1_000


class _Unix(Struct):
    unixtime: Annotated[int, Meta(ge=10**9, lt=10**10)]


class _Time(Struct):
    result: _Unix


_decode = Decoder(_Time).decode


def read_time(body: bytes) -> int:
    """Return the time in ms; an error has status 200 too, and no result."""
    try:
        return _decode(body).result.unixtime * SECOND_MS
    except (ValueError, RecursionError) as e:  # msgspec's errors are ValueErrors
        raise Poison(f"not the time of Kraken: {e}", payload=body) from e


CLOCK = Clock(
    request=Request(path="/0/public/Time", weight=1), read=read_time, resolution_ms=SECOND_MS
)
