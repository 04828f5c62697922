"""Where Bybit tells its time: beside every answer, and in ``result`` of this one in ns too."""

from msgspec import Struct
from msgspec.json import Decoder

from ingest.exchanges.base import Clock, Request
from ingest.exchanges.bybit.fields import TimeMs
from runtime.errors import Poison


class _Time(Struct):
    retCode: int  # noqa: N815 - the venue's name
    time: TimeMs


_decode = Decoder(_Time).decode


def read_time(body: bytes) -> int:
    """Return the time in ms."""
    try:
        told = _decode(body)
    except (ValueError, RecursionError) as e:  # msgspec's errors are ValueErrors
        raise Poison(f"not the time of Bybit: {e}", payload=body) from e
    if told.retCode != 0:
        raise Poison(f"Bybit answers {told.retCode}", payload=body)
    return told.time


CLOCK = Clock(request=Request(path="/v5/market/time", weight=1), read=read_time)
