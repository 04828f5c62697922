"""Kraken's JSON numbers as the text they were written with, and its times as milliseconds.

Zeros at the end are part of the checksum, so a number must never be read as one.
"""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from msgspec import Raw

CHARACTERS_MAX = 40
_PLAIN = re.compile(r"[0-9]+(\.[0-9]+)?")
_EXPONENT = re.compile(r"[0-9]+(\.[0-9]+)?[eE][+-]?[0-9]{1,2}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
# Between 2001 and 2286, as for the stamps of other venues.
MS_MIN, MS_END = 10**12, 10**13


def written(field: str, number: Raw) -> str:
    """Return the digits of a number as they came; raise ValueError naming the field."""
    text = bytes(number).decode("latin-1")
    if len(text) <= CHARACTERS_MAX:
        if _PLAIN.fullmatch(text):
            return text
        if _EXPONENT.fullmatch(text):  # 1e-8: legal JSON for what is too small to write out
            return format(Decimal(text), "f")
    raise ValueError(f"{field}: {text[:CHARACTERS_MAX]!r} is not a decimal number")


def exact(field: str, number: Raw) -> Decimal:
    """Return the number, every digit kept."""
    return Decimal(written(field, number))


def milliseconds(field: str, text: str) -> int:
    """Return an RFC 3339 time of any number of decimals, cut, never rounded up."""
    try:
        since = datetime.fromisoformat(text) - _EPOCH
    except (TypeError, ValueError, OverflowError) as e:  # TypeError: it names no time zone
        raise ValueError(f"{field}: {text[:CHARACTERS_MAX]!r} is no time") from e
    ms = since // _MILLISECOND
    if not MS_MIN <= ms < MS_END:
        raise ValueError(f"{field}: {text[:CHARACTERS_MAX]!r} is out of range")
    return ms
