"""Kraken's AssetPairs to instruments, and its Ticker to trades of a day.

Asked with ``assetVersion=1`` both are keyed ``BTC/USD``; a ``wsname`` may still be of the old
socket, which spells bitcoin and dogecoin its own way and which v2 refuses.
"""

from collections.abc import Sequence
from typing import Annotated, TypeVar

from msgspec import DecodeError, Meta, Raw, Struct
from msgspec.json import Decoder, decode

from ingest.exchanges.base import Instrument
from runtime.errors import Poison
from schemas.numbers import SCALE_MAX, scale_of, text

RENAMED = {"XBT": "BTC", "XDG": "DOGE"}
TRADING = {"online", "limit_only", "reduce_only"}
T = TypeVar("T")

Decimals = Annotated[int, Meta(ge=0, le=SCALE_MAX)]


class _Pair(Struct):
    pair_decimals: Decimals
    lot_decimals: Decimals
    wsname: str = ""
    status: str = "online"
    tick_size: str = ""


class _Pairs(Struct):
    error: list[str] = []
    result: dict[str, Raw] = {}


class _Ticker(Struct):
    t: tuple[int, int]
    """Trades since midnight, and of 24 hours."""


_decode_pair = Decoder(_Pair).decode
_decode_ticker = Decoder(_Ticker).decode


def instruments(bodies: Sequence[bytes]) -> list[Instrument]:
    """Read AssetPairs; pairs without a name on the socket (dark pools) are left out."""
    found = [
        _instrument(key, raw) for body in bodies for key, raw in _result(body, "AssetPairs").items()
    ]
    return [instrument for instrument in found if instrument is not None]


def trade_counts(body: bytes) -> dict[str, float]:
    """Read Ticker into trades per symbol; a row that cannot be read is left out."""
    counts: dict[str, float] = {}
    for key, raw in _result(body, "Ticker").items():
        try:
            counts[_symbol(key)] = _decode_ticker(raw).t[1]
        except ValueError:
            continue
    return counts


def _result(body: bytes, what: str) -> dict[str, Raw]:
    """Return the answer; errors come with status 200."""
    try:
        answer = decode(body, type=_Pairs)
    except (DecodeError, UnicodeDecodeError, RecursionError) as e:
        raise Poison(f"not the {what} of Kraken: {e}", payload=body) from e
    if answer.error or not answer.result:
        raise Poison(f"no {what} of Kraken: {', '.join(answer.error)}", payload=body)
    return answer.result


def _instrument(key: str, raw: Raw) -> Instrument | None:
    try:
        pair = _decode_pair(raw)
        tick = pair.tick_size or text(1, pair.pair_decimals)
        symbol = _symbol(pair.wsname or key)
        if "/" not in symbol:
            return None
        return Instrument(
            symbol=symbol,
            unified=symbol,
            status=pair.status,
            is_streamed=pair.status in TRADING,
            price_scale=max(pair.pair_decimals, scale_of(tick)),
            qty_scale=pair.lot_decimals,
            tick=tick,
            step=text(1, pair.lot_decimals),
        )
    except ValueError:
        return None


def _symbol(name: str) -> str:
    return "/".join(RENAMED.get(part, part) for part in name.split("/"))
