from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.decimals import Unfit, digits, rescaled
from schemas.numbers import INT64_MAX


@given(whole=st.integers(0, 10**9), fraction=st.text("0123456789", max_size=9))
def test_digits_are_exact(whole: int, fraction: str) -> None:
    text = f"{whole}.{fraction}" if fraction else str(whole)
    value, scale = digits(text)
    assert Decimal(value).scaleb(-scale) == Decimal(text)


@given(st.text(max_size=25))
def test_whatever_is_no_plain_decimal_is_a_value_error(text: str) -> None:
    try:
        value, scale = digits(text)
    except ValueError:
        return
    assert 0 <= value <= INT64_MAX
    assert 0 <= scale <= 18
    assert Decimal(value).scaleb(-scale) == Decimal(text)


@given(value=st.integers(0, 10**9), scale=st.integers(0, 9), wanted=st.integers(0, 9))
def test_rescaling_is_exact_or_none(value: int, scale: int, wanted: int) -> None:
    moved = rescaled(value, scale, wanted)
    exact = Decimal(value).scaleb(wanted - scale)
    assert moved == (int(exact) if exact == int(exact) else None)


def test_more_than_64_bits_is_unfit() -> None:
    with pytest.raises(Unfit):
        digits("99999999999999999999")
    with pytest.raises(Unfit):
        rescaled(10**18, 0, 8)
