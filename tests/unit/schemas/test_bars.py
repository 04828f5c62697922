"""Sizes of bars: text to number and back, exactly."""

import pytest

from schemas.bars import BAR_SIZES_MAX, BadBarSize, BarSize, parse_bar_size, parse_bar_sizes


@pytest.mark.parametrize(
    ("text", "size", "canonical"),
    [
        ("tick:1000", ("tick", 1000, 0), "tick:1000"),
        (" volume:50 ", ("volume", 50, 0), "volume:50"),
        ("volume:0.50", ("volume", 5, 1), "volume:0.5"),
        ("dollar:001000000.00", ("dollar", 1_000_000, 0), "dollar:1000000"),
        ("tick:10.0", ("tick", 10, 0), "tick:10"),
    ],
)
def test_a_size_is_read_exactly_and_has_one_text(text, size, canonical) -> None:
    assert parse_bar_size(text) == BarSize(*size)
    assert parse_bar_size(text).text == canonical


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("tick:1.5", "whole numbers"),
        ("tick:0", "not above zero"),
        ("volume:-1", "not above zero"),
        ("volume:1e6", "not a decimal number"),
        ("volume:", "not a decimal number"),
        ("volume:0.1234567890123456789", "more than 18 decimals"),
        ("tick:99999999999999999999", "leaves 64 bits"),
        ("ticks:5", "expected one of tick, volume, dollar"),
        ("1000", "expected one of"),
        ("", "expected one of"),
    ],
)
def test_a_bad_size_is_refused_with_the_reason(text, reason) -> None:
    with pytest.raises(BadBarSize, match=reason) as e:
        parse_bar_size(text)
    assert "tick:1000" in str(e.value)


def test_sizes_are_kept_in_order_each_once() -> None:
    found = parse_bar_sizes(["volume:50", "tick:9", "volume:50.0"])
    assert [size.text for size in found] == ["volume:50", "tick:9"]
    assert parse_bar_sizes([]) == ()


def test_more_sizes_than_a_state_can_hold_are_refused() -> None:
    parse_bar_sizes(f"tick:{n}" for n in range(1, BAR_SIZES_MAX + 1))
    with pytest.raises(BadBarSize, match=f"more than {BAR_SIZES_MAX}"):
        parse_bar_sizes(f"tick:{n}" for n in range(1, BAR_SIZES_MAX + 2))


@pytest.mark.parametrize(
    ("text", "scale", "limit"),
    [
        ("volume:0.5", 3, 500),
        ("volume:0.5", 0, 1),
        ("volume:2.5", 0, 3),
        ("dollar:7", 10, 7 * 10**10),
    ],
)
def test_the_limit_is_the_least_number_that_reaches_the_size(text, scale, limit) -> None:
    assert parse_bar_size(text).limit(scale) == limit
