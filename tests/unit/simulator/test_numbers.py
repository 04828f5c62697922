"""Decimal text of fixed-point integers."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from simulator.numbers import decimal_text, trimmed


@given(st.integers(-(10**24), 10**24), st.integers(0, 8), st.sampled_from([0, 8]))
def test_decimal_text_is_exact(units, scale, decimals_min):
    text = decimal_text(units, scale, decimals_min)
    assert Decimal(text) == Decimal(units).scaleb(-scale)
    assert len(text.partition(".")[2]) == max(scale, decimals_min)


@given(st.integers(-(10**9), 10**9), st.integers(0, 8))
def test_trimming_keeps_the_number(units, scale):
    text = trimmed(decimal_text(units, scale))
    assert Decimal(text) == Decimal(units).scaleb(-scale)
    assert "." not in text or text[-1] not in ".0"
