from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from schemas.numbers import INT64_MAX, SCALE_MAX, fixed, scale_of, text

scales = st.integers(0, SCALE_MAX)
values = st.integers(-INT64_MAX, INT64_MAX)


@pytest.mark.parametrize(
    ("number", "scale", "value"),
    [
        ("28145.10", 2, 2_814_510),
        ("28145.1", 2, 2_814_510),
        ("28145", 2, 2_814_500),
        ("0.00000001", 8, 1),
        ("0.001000000000", 3, 1),
        ("-0.05", 2, -5),
        ("-0", 2, 0),
        ("007", 0, 7),
        ("9223372036854775807", 0, INT64_MAX),
        ("-9223372036854775807", 0, -INT64_MAX),
        ("10", 17, 10**18),
    ],
)
def test_decimal_text_becomes_the_integer_it_names(number, scale, value):
    assert fixed(number, scale) == value


@pytest.mark.parametrize(
    "number",
    [
        *("", "-", ".", "-.", ".5", "5.", "-.5", "+1", "--5", "1-", "1.2.3", "1e5", "1E5", "0x10"),
        *("abc", "NaN", "inf", "1_000", "1,000", " 1", "1 ", "1\n", "1.\n"),
        *("\uff10", "\uff11.5", "1.\uff15", "\u0663", "\u00b2"),  # digits of other alphabets
    ],
)
def test_what_is_no_plain_decimal_is_refused_by_name(number):
    for scale in (0, 2, 8):
        with pytest.raises(ValueError, match="is not a decimal number") as refused:
            fixed(number, scale)
        assert repr(number) in str(refused.value)
    with pytest.raises(ValueError, match="is not a decimal number"):
        scale_of(number)


@pytest.mark.parametrize("number", ["0.001", "1.999", "-0.0049"])
def test_a_digit_that_the_scale_cannot_hold_is_refused_and_never_rounded(number):
    with pytest.raises(ValueError, match="more than 2 decimals"):
        fixed(number, 2)


@pytest.mark.parametrize(
    ("number", "scale"),
    [("9223372036854775808", 0), ("-9223372036854775808", 0), ("10", 18), ("1" + "0" * 30, 0)],
)
def test_what_leaves_64_bits_is_refused(number, scale):
    with pytest.raises(ValueError, match="leaves 64 bits"):
        fixed(number, scale)


@given(values, scales)
@example(0, 0)
@example(-1, SCALE_MAX)
@example(INT64_MAX, SCALE_MAX)
def test_text_and_back_is_the_same_integer(value, scale):
    assert fixed(text(value, scale), scale) == value


@given(values, scales)
def test_text_is_the_exact_decimal_with_every_decimal_kept(value, scale):
    written = text(value, scale)
    assert Decimal(written) == Decimal(value).scaleb(-scale)
    assert len(written.partition(".")[2]) == scale


@given(st.decimals(allow_nan=False, allow_infinity=False, places=8, min_value=-9, max_value=10**9))
def test_fixed_agrees_with_decimal(number):
    assert fixed(f"{number:f}", 8) == int(number.scaleb(8))


@given(st.text(max_size=12), scales)
def test_arbitrary_text_is_read_as_decimal_reads_it_or_refused(written, scale):
    try:
        value = fixed(written, scale)
    except ValueError:
        return
    assert Decimal(value).scaleb(-scale) == Decimal(written)


@pytest.mark.parametrize(
    ("step", "scale"),
    [
        ("0.01000000", 2),
        ("0.00000001", 8),
        ("1.00000000", 0),
        ("0.10", 1),
        ("1", 0),
        ("10", 0),
        ("1000", 0),
        ("0.00000000", 0),
        ("0.000000000000000001", 18),
    ],
)
def test_a_step_has_the_decimals_it_needs(step, scale):
    assert scale_of(step) == scale


def test_a_step_finer_than_64_bits_is_refused():
    with pytest.raises(ValueError, match="more than 18 decimals"):
        scale_of("0.0000000000000000001")
