"""Fixed-point integers as exact decimal text."""


def decimal_text(units: int, scale: int, decimals_min: int = 0) -> str:
    """``units * 10**-scale`` as exact text with at least ``decimals_min`` decimals.

    >>> decimal_text(2814510, 2), decimal_text(5, 3, 8), decimal_text(7, 0), decimal_text(-5, 1)
    ('28145.10', '0.00500000', '7', '-0.5')
    """
    if scale < decimals_min:
        units *= 10 ** (decimals_min - scale)
        scale = decimals_min
    if not scale:
        return str(units)
    sign = "-" if units < 0 else ""
    digits = f"{abs(units):0{scale + 1}d}"
    return f"{sign}{digits[:-scale]}.{digits[-scale:]}"


def trimmed(text: str) -> str:
    """Return the same number without the zeros at its end.

    >>> trimmed("28145.10"), trimmed("7.000"), trimmed("700")
    ('28145.1', '7', '700')
    """
    return text.rstrip("0").rstrip(".") if "." in text else text
