"""Where OKX tells its time."""

from msgspec import Struct, convert
from msgspec.json import Decoder

from ingest.exchanges.base import Clock, Request
from ingest.exchanges.okx.shapes import TimeMs
from runtime.errors import Poison


class _Stamp(Struct):
    ts: str


class _Time(Struct):
    data: tuple[_Stamp]


_decode = Decoder(_Time).decode


def read_time(body: bytes) -> int:
    """Return the time in ms."""
    try:
        (stamp,) = _decode(body).data
        return convert(stamp.ts, TimeMs, strict=False)
    except (ValueError, RecursionError) as e:  # msgspec's errors are ValueErrors
        raise Poison(f"not the time of OKX: {e}", payload=body) from e


CLOCK = Clock(request=Request(path="/api/v5/public/time", weight=1), read=read_time)
