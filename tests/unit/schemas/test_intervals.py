import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.intervals import (
    DAY_MS,
    FIBONACCI,
    HOUR_MS,
    INTERVAL_MS_MAX,
    MINUTE_MS,
    PRESETS,
    SECOND_MS,
    BadInterval,
    interval_text,
    open_ms,
    parse_interval,
    parse_intervals,
)

lengths = st.one_of(
    st.integers(1, 59).map(lambda n: n * SECOND_MS),
    st.integers(1, INTERVAL_MS_MAX // MINUTE_MS).map(lambda n: n * MINUTE_MS),
)


@pytest.mark.parametrize(
    ("text", "length_ms"),
    [
        ("1s", 1_000),
        ("59s", 59_000),
        ("60s", MINUTE_MS),
        ("120s", 2 * MINUTE_MS),
        ("1m", MINUTE_MS),
        ("173m", 173 * MINUTE_MS),
        ("2850m", 2_850 * MINUTE_MS),
        ("43200m", 30 * DAY_MS),
        ("4h", 4 * HOUR_MS),
        ("720h", 30 * DAY_MS),
        ("1D", DAY_MS),
        ("1d", DAY_MS),
        ("30D", 30 * DAY_MS),
        ("2592000s", 30 * DAY_MS),
        (" 5m ", 5 * MINUTE_MS),
    ],
)
def test_every_valid_form_is_read(text, length_ms):
    assert parse_interval(text) == length_ms


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "whole number"),
        ("m", "whole number"),
        ("5", "whole number"),
        ("05m", "whole number"),
        ("-5m", "whole number"),
        ("+5m", "whole number"),
        ("1.5h", "whole number"),
        ("5 m", "whole number"),
        ("5M", "whole number"),  # a month elsewhere: never guessed to be minutes
        ("1w", "whole number"),
        ("1h30m", "whole number"),
        ("\u0663m", "whole number"),
        ("\uff15m", "whole number"),
        ("fibonacci", "whole number"),  # a preset is no single interval
        ("9" * 5_000 + "m", "whole number"),
        ("0s", "shorter than one second"),
        ("0m", "shorter than one second"),
        ("31D", "longer than 30 days"),
        ("43201m", "longer than 30 days"),
        ("99999999999m", "longer than 30 days"),
        ("61s", "only whole minutes"),
        ("90s", "only whole minutes"),
    ],
)
def test_bad_text_is_named_with_the_reason_and_the_valid_forms(text, reason):
    with pytest.raises(BadInterval) as refused:
        parse_interval(text)
    message = str(refused.value)
    assert refused.value.text == text
    assert repr(text) in message
    assert reason in message
    for form in ("1s ... 59s", "173m", "2850m", "4h", "1D", "30D", "fibonacci"):
        assert form in message


@given(lengths)
def test_text_and_back_is_the_same_length(length_ms):
    assert parse_interval(interval_text(length_ms)) == length_ms


@given(st.text(max_size=8))
def test_arbitrary_text_is_an_interval_within_bounds_or_refused(text):
    try:
        length_ms = parse_interval(text)
    except BadInterval as e:
        assert repr(text) in str(e)  # noqa: PT017 - whatever is refused is named
    else:
        assert SECOND_MS <= length_ms <= INTERVAL_MS_MAX
        assert length_ms < MINUTE_MS or length_ms % MINUTE_MS == 0


@pytest.mark.parametrize(
    ("text", "canonical"),
    [("60m", "1h"), ("24h", "1D"), ("1d", "1D"), ("60s", "1m"), ("173m", "173m"), ("90m", "90m")],
)
def test_one_length_has_one_text(text, canonical):
    assert interval_text(parse_interval(text)) == canonical


def test_intervals_come_once_each_and_shortest_first():
    assert parse_intervals(["1h", "60m", "1s", "5m"]) == (1_000, 5 * MINUTE_MS, HOUR_MS)


def test_the_preset_is_the_ladder_and_the_two_of_old():
    minutes = (1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610, 987, 1597, 2584)
    assert tuple(f"{n}m" for n in minutes) == FIBONACCI
    ladder = parse_intervals([" Fibonacci "])
    assert ladder == tuple(n * MINUTE_MS for n in sorted((*minutes, 173, 2850)))
    assert parse_intervals(["1s", "fibonacci", "89m"]) == (1_000, *ladder)
    for preset in PRESETS.values():
        assert parse_intervals(preset)


def test_no_interval_at_all_is_refused():
    with pytest.raises(BadInterval, match="at least one"):
        parse_intervals([])


def test_one_bad_text_among_good_ones_is_the_one_named():
    with pytest.raises(BadInterval, match="'7x'"):
        parse_intervals(["1m", "7x"])


@given(lengths, st.integers(0, 2**43))
def test_windows_are_anchored_at_the_epoch_and_half_open(length_ms, at_ms):
    start_ms = open_ms(at_ms, length_ms)
    assert start_ms <= at_ms < start_ms + length_ms
    assert start_ms % length_ms == 0
    assert open_ms(start_ms, length_ms) == start_ms
    assert open_ms(start_ms + length_ms, length_ms) == start_ms + length_ms
