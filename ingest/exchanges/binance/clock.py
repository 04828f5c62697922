"""Where Binance tells its time."""

from msgspec import DecodeError, Struct
from msgspec.json import Decoder

from ingest.exchanges.base import Clock, Request
from ingest.exchanges.binance.fields import TimeMs
from runtime.errors import Poison


class _Time(Struct):
    serverTime: TimeMs  # noqa: N815 - the venue's name


_decode = Decoder(_Time).decode


def read_time(body: bytes) -> int:
    """Return the time in ms."""
    try:
        return _decode(body).serverTime
    except (DecodeError, UnicodeDecodeError, RecursionError) as e:
        raise Poison(f"not the time of Binance: {e}", payload=body) from e


SPOT_CLOCK = Clock(request=Request(path="/api/v3/time", weight=1), read=read_time)
LINEAR_CLOCK = Clock(request=Request(path="/fapi/v1/time", weight=1), read=read_time)
