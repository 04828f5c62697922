"""Exact decimal text to fixed-point integers and back; no float comes near.

``fixed("28145.10", 2) == 2814510`` and ``text(2814510, 2) == "28145.10"``.
"""

INT64_MAX = 2**63 - 1


def fixed(number: str, scale: int) -> int:
    """Return ``number * 10**scale`` exactly.

    Raises ValueError when the text is no plain decimal, has more digits after the point than
    ``scale`` can hold (trailing zeros aside), or leaves 64 bits.
    """
    whole, _, fraction = number.partition(".")
    if len(fraction) > scale:
        if fraction[scale:].strip("0"):
            raise ValueError(f"{number!r} has more than {scale} decimals")
        fraction = fraction[:scale]
    digits = whole + fraction.ljust(scale, "0")
    if not (digits.isascii() and digits.lstrip("-").isdigit()):
        raise ValueError(f"{number!r} is not a decimal number")
    value = int(digits)
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
    fixed(step, 18)
    return len(step.partition(".")[2].rstrip("0"))
