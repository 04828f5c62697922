"""The fields that Binance's events are made of: lenient towards new ones, strict towards these."""

from typing import Annotated, Literal

from msgspec import Meta

from schemas.numbers import INT64_MAX

TEXT_CHARACTERS_MAX = 40
# A float id, a bare number or a stamp in other units is refused.
Id = Annotated[int, Meta(ge=0, le=INT64_MAX)]
Text = Annotated[str, Meta(min_length=1, max_length=TEXT_CHARACTERS_MAX)]
# Milliseconds between 2001 and 2286: a stamp in other units would close every candle at once.
TimeMs = Annotated[int, Meta(ge=10**12, lt=10**13)]

UsdM = Literal[1]
"""``st``, where it is told. The merged UM + CM streams deliver events of the other market too."""
COIN_M = 2
NOT_TOLD_MS = 0
"""The time of a row whose frame has none; whoever has the time of receipt fills it in."""
