"""Decimal text of a venue to an integer and the decimals it was written with.

``digits("28145.10") == (2814510, 2)``: nothing is rounded, and no scale has to be known first.
"""

import re
from collections.abc import Iterable
from decimal import Decimal

from schemas.numbers import INT64_MAX

SCALE_MAX = 18  # more decimals than any venue writes, and 10**18 still fits 64 bits
_POWERS: tuple[int, ...] = tuple(10**n for n in range(SCALE_MAX + 1))
# At most 19 digits, those of 64 bits, before the point; possessive, so that nothing is tried twice.
_PLAIN_LIST = re.compile(r"(?:[0-9]{1,19}+(?:\.[0-9]{1,18}+)?+,)*+").fullmatch
_SIGNED = re.compile(r"-?[0-9]{1,19}(?:\.[0-9]{1,18})?").fullmatch


class Unfit(ValueError):  # noqa: N818 - reads as the claim it makes
    """A number that 64 bits cannot hold at the scale it needs."""


def digits(number: str) -> tuple[int, int]:
    """Return ``(value, scale)`` with ``number == value / 10**scale``; raise ValueError if unfit."""
    whole, _, fraction = number.partition(".")
    together = whole + fraction
    # isdigit: int() alone would take " 1", "1_0" and digits of other alphabets
    if not (together.isdigit() and together.isascii() and whole):
        raise ValueError(f"{number!r} is not a decimal number")
    value, scale = int(together), len(fraction)
    if value <= INT64_MAX and scale <= SCALE_MAX:
        return value, scale
    return _shortened(number, value, scale)


def _shortened(number: str, value: int, scale: int) -> tuple[int, int]:
    """Drop trailing zeros: ``1000000000000.00000000`` needs no decimals."""
    while scale and value % 10 == 0:
        value, scale = value // 10, scale - 1
    if value > INT64_MAX or scale > SCALE_MAX:
        raise Unfit(f"{number!r} leaves 64 bits")
    return value, scale


def decimal(number: str) -> Decimal:
    """Return a number that may be below zero as it is; raise ValueError if it is no plain one."""
    if _SIGNED(number) is None:
        raise ValueError(f"{number!r} is not a decimal number")
    return Decimal(number)


def are_plain(numbers: Iterable[str]) -> bool:
    """Say whether all are plain decimals from zero up, at the price of one look for all."""
    listed = [*numbers, ""]  # each ends with a comma
    together = ",".join(listed)
    return _PLAIN_LIST(together) is not None and together.count(",") == len(listed) - 1


def rescaled(value: int, scale: int, wanted: int) -> int | None:
    """Return ``value`` at the ``wanted`` scale, or None where that would lose a digit."""
    if wanted == scale:
        return value
    if wanted > scale:
        moved = value * _POWERS[wanted - scale]
        if moved > INT64_MAX:
            raise Unfit(f"{value} at {wanted} decimals leaves 64 bits")
        return moved
    whole, rest = divmod(value, _POWERS[scale - wanted])
    return None if rest else whole


def decimals_needed(value: int, scale: int) -> int:
    """Return the smallest scale that loses no digit."""
    while scale and value % 10 == 0:
        value, scale = value // 10, scale - 1
    return scale
