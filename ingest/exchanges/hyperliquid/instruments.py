"""Hyperliquid's ``meta`` to instruments, and ``metaAndAssetCtxs`` to the turnover of a day.

A price has at most ``6 - szDecimals`` decimals (and five significant figures). A name is case
sensitive: ``kPEPE`` is a thousand PEPE.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, TypeVar

from msgspec import DecodeError, Meta, Raw, Struct
from msgspec.json import Decoder, decode

from ingest.exchanges.base import Instrument
from ingest.exchanges.hyperliquid.numbers import number_if_told
from runtime.errors import Poison
from schemas.numbers import text

PRICE_DECIMALS_MAX = 6
T = TypeVar("T")


class _Asset(Struct):
    name: Annotated[str, Meta(min_length=1, max_length=40)]
    szDecimals: Annotated[int, Meta(ge=0, le=PRICE_DECIMALS_MAX)]  # noqa: N815 - the venue's names
    isDelisted: bool = False  # noqa: N815


class _Universe(Struct):
    universe: list[Raw]


class _Context(Struct):
    dayNtlVlm: str | None = None  # noqa: N815


_decode_asset = Decoder(_Asset).decode
_decode_context = Decoder(_Context).decode


def instruments(bodies: Sequence[bytes]) -> list[Instrument]:
    """Read ``meta``; what is not delisted is streamed."""
    return [
        _instrument(asset)
        for body in bodies
        for asset in _assets(_read(body, _Universe), body)
        if asset is not None
    ]


def day_turnovers(body: bytes) -> dict[str, float]:
    """Read ``metaAndAssetCtxs`` into USDC traded in a day: its second list has no names."""
    meta, contexts = _read(body, tuple[_Universe, list[Raw]])
    named = zip(_assets(meta, body), contexts, strict=False)
    return {asset.name: _turnover(context) for asset, context in named if asset is not None}


def _read(body: bytes, shape: type[T]) -> T:
    try:
        return decode(body, type=shape)
    except (DecodeError, UnicodeDecodeError, RecursionError) as e:
        raise Poison(f"not the meta of Hyperliquid: {e}", payload=body) from e


def _assets(meta: _Universe, body: bytes) -> Iterator[_Asset | None]:
    """Yield the assets in their order, None for one that cannot be read."""
    if not meta.universe:
        raise Poison("the meta of Hyperliquid names no asset", payload=body)
    for raw in meta.universe:
        try:
            yield _decode_asset(raw)
        except ValueError:
            yield None


def _turnover(context: Raw) -> float:
    try:
        return float(number_if_told("dayNtlVlm", _decode_context(context).dayNtlVlm) or 0)
    except ValueError:
        return 0.0


def _instrument(asset: _Asset) -> Instrument:
    price_scale = PRICE_DECIMALS_MAX - asset.szDecimals
    return Instrument(
        symbol=asset.name,
        unified=f"{asset.name}/USDC:USDC",
        status="delisted" if asset.isDelisted else "listed",
        is_streamed=not asset.isDelisted,
        price_scale=price_scale,
        qty_scale=asset.szDecimals,
        tick=text(1, price_scale),
        step=text(1, asset.szDecimals),
    )
