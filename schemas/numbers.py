"""Exact decimal text to fixed-point integers and back; no float comes near.

``fixed("28145.10", 2) == 2814510`` and ``text(2814510, 2) == "28145.10"``.
"""

import re

INT64_MAX = 2**63 - 1
SCALE_MAX = 18  # 10**18 is the last power of ten in 64 bits

# What JSON calls a number, less the exponent: no sign +, no bare point, ASCII digits only.
_PLAIN = re.compile(r"(-?[0-9]+)(?:\.([0-9]+))?")


def fixed(number: str, scale: int) -> int:
    """Return ``number * 10**scale`` exactly.

    Raises ValueError when the text is no plain decimal, has more digits after the point than
    ``scale`` can hold (trailing zeros aside), or leaves 64 bits.
    """
    whole, fraction = _parts(number)
    if fraction[scale:].strip("0"):
        raise ValueError(f"{number!r} has more than {scale} decimals")
    value = int(whole + fraction[:scale].ljust(scale, "0"))
    if not -INT64_MAX <= value <= INT64_MAX:
        raise ValueError(f"{number!r} at {scale} decimals leaves 64 bits")
    return value


def text(value: int, scale: int) -> str:
    """Return the decimal text of a fixed-point integer, all ``scale`` decimals kept."""
    if scale == 0:
        return str(value)
    digits = str(value)
    if value < 0:
        return "-" + text(-value, scale)
    if len(digits) <= scale:
        return "0." + digits.rjust(scale, "0")
    return digits[:-scale] + "." + digits[-scale:]


def scale_of(step: str) -> int:
    """Return the decimals of a tick or step size: ``"0.01000000"`` has 2, ``"10"`` has 0."""
    scale = len(_parts(step)[1].rstrip("0"))
    if scale > SCALE_MAX:
        raise ValueError(f"{step!r} has more than {SCALE_MAX} decimals")
    return scale


def _parts(number: str) -> tuple[str, str]:
    """Return the digits before and after the point, the sign with the first."""
    match = _PLAIN.fullmatch(number)
    if match is None:
        raise ValueError(f"{number!r} is not a decimal number")
    return match[1], match[2] or ""
