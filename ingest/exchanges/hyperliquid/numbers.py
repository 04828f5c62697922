"""Decimal text of the venue to a Decimal; "NaN" is a word that it says for "there is none"."""

from decimal import Decimal

from ingest.decimals import decimal


def number(field: str, text: str) -> Decimal:
    """Return the exact number; raise ValueError naming the field."""
    try:
        return decimal(text)
    except ValueError as e:
        raise ValueError(f"{field}: {e}") from e


def number_if_told(field: str, text: str | None) -> Decimal | None:
    """Return the number, or None where the venue says that it has none."""
    return None if text is None or text in {"", "NaN"} else number(field, text)
