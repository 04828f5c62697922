from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.decimals import Unfit, are_plain, decimal, digits, rescaled
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


PLAIN = st.from_regex(r"[0-9]{1,19}(\.[0-9]{1,18})?", fullmatch=True).filter(str.isascii)


@given(st.lists(PLAIN, max_size=6))
def test_plain_numbers_are_seen_to_be_plain(numbers: list[str]) -> None:
    assert are_plain(numbers)
    assert [decimal(n) for n in numbers] == [Decimal(n) for n in numbers]
    assert [decimal("-" + n) for n in numbers] == [Decimal("-" + n) for n in numbers]


@pytest.mark.parametrize(
    "number",
    ["", " ", "1 ", " 1", "1\n", "+1", "1.", ".1", ".", "1.2.3", "1,2", "1_0", "1e5", "NaN", "sNaN",
     "Infinity", "\u0661", "\u00b2", "--1", "0x1", "9" * 20, "0." + "1" * 19],
)  # fmt: skip
def test_one_number_that_is_not_plain_is_enough(number: str) -> None:
    assert not are_plain([number])
    assert not are_plain(["1", number])
    assert not are_plain([number, "1"])
    with pytest.raises(ValueError, match="is not a decimal number"):
        decimal(number)


def test_a_list_is_of_what_is_not_below_zero() -> None:
    assert not are_plain(["-1"])
    assert are_plain([])
