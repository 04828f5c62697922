"""What Bybit's fields hold, typed: lenient towards new fields, strict towards these.

Numbers are text; ``""`` means that there is none (a dated future has no funding rate).
"""

import re
from decimal import Decimal
from typing import Annotated

from msgspec import Meta

from schemas.numbers import INT64_MAX

Id = Annotated[int, Meta(ge=0, le=INT64_MAX)]
Text = Annotated[str, Meta(min_length=1, max_length=60)]
# Milliseconds between 1973 and 2286: seconds and microseconds do not fit.
TimeMs = Annotated[int, Meta(ge=10**11, lt=10**13)]

CHARACTERS_MAX = 60
_PLAIN = re.compile(r"-?[0-9]+(\.[0-9]+)?")  # no exponent, no sign +, ASCII digits only


def number(field: str, text: object) -> Decimal:
    """Return the exact number; raise ValueError naming the field."""
    if not isinstance(text, str) or len(text) > CHARACTERS_MAX or not _PLAIN.fullmatch(text):
        raise ValueError(f"{field}: {text!r:.60} is not a decimal number")
    return Decimal(text)
