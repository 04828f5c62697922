from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.calendars import zone_names
from schemas.intervals import (
    DAY_MS,
    FIBONACCI,
    HOUR_MS,
    INTERVAL_MS_MAX,
    MINUTE_MS,
    MONTH_MS,
    PRESETS,
    SECOND_MS,
    WEEK_MS,
    WEEKDAYS,
    BadInterval,
    Interval,
    parse_interval,
    parse_intervals,
)

ZONES = (
    "Asia/Tokyo",
    "Asia/Kathmandu",
    "Asia/Beirut",  # midnights that do not exist
    "America/Sao_Paulo",  # and midnights after which it is 23:00 again
    "America/St_Johns",  # 00:01 was followed by 23:01
    "America/Havana",
    "America/New_York",
    "Australia/Lord_Howe",  # half an hour of daylight saving
    "Pacific/Apia",  # a day that was left out
    "Etc/GMT+5",
)
NEWER_MS = 1_000 * int(datetime(1972, 6, 1, tzinfo=UTC).timestamp())  # offsets in whole minutes
LATER_MS = 2**43

lengths = st.one_of(
    st.integers(1, 59).map(lambda n: n * SECOND_MS),
    st.integers(1, INTERVAL_MS_MAX // MINUTE_MS).map(lambda n: n * MINUTE_MS),
)
plain = lengths.map(Interval)
zones = st.one_of(st.just(""), st.sampled_from(ZONES).map("@tz={}".format))
anchored = st.one_of(
    st.builds("{}w@{}{}".format, st.integers(1, 4), st.sampled_from(WEEKDAYS), zones),
    st.builds("{}M{}".format, st.sampled_from((1, 2, 3, 4, 6, 12)), zones),
    st.builds("1D{}".format, zones),
    st.builds("{}h@funding".format, st.sampled_from((1, 2, 3, 4, 6, 8, 12, 24))),
).map(parse_interval)
intervals = st.one_of(plain, anchored)
times_ms = st.integers(NEWER_MS, LATER_MS)


def ms(text: str, zone: str = "UTC") -> int:
    """The moment at which it is that time somewhere."""
    return 1_000 * round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp())


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
    assert parse_interval(text) == (length_ms, "")


@pytest.mark.parametrize(
    ("text", "interval"),
    [
        ("1w", (WEEK_MS, "mon")),
        ("1W@sun", (WEEK_MS, "sun")),
        ("2w@tue@tz=Asia/Tokyo", (2 * WEEK_MS, "tue@tz=Asia/Tokyo")),
        ("1w@tz=Asia/Tokyo", (WEEK_MS, "mon@tz=Asia/Tokyo")),
        ("1M", (MONTH_MS, "month")),
        ("12M@tz=America/Argentina/Buenos_Aires",
         (12 * MONTH_MS, "month@tz=America/Argentina/Buenos_Aires")),
        ("1M@tz=UTC", (MONTH_MS, "month")),
        ("1D@tz=Asia/Tokyo", (DAY_MS, "tz=Asia/Tokyo")),
        ("24h@tz=Etc/GMT+5", (DAY_MS, "tz=Etc/GMT+5")),
        ("1D@tz=UTC", (DAY_MS, "")),
        ("8h@funding", (8 * HOUR_MS, "funding")),
        ("1D@funding", (DAY_MS, "funding")),
    ],
)  # fmt: skip
def test_every_anchor_is_read(text, interval):
    assert parse_interval(text) == interval


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
        ("5M", "a year holds no whole number"),  # months: never guessed to be minutes
        ("24M", "a year holds no whole number"),
        ("5w", "longer than 30 days"),
        ("1M@mon", "@mon is no anchor of it"),
        ("1D@mon", "@mon is no anchor of it"),
        ("1w@Mon", "@Mon is no anchor of it"),
        ("1w@mon@tue", "@tue is no anchor of it"),
        ("1w@funding", "@funding is no anchor of it"),
        ("1D@", "whole number"),
        ("1D@tz=", "no time zone ''"),
        ("1D@tz=Mars/Olympus", "no time zone 'Mars/Olympus'"),
        ("1D@tz=../../etc/passwd", "whole number"),
        ("1D@tz=localtime", "no time zone"),  # another one on every machine
        ("1D@tz=right/Asia/Tokyo", "no time zone"),
        ("1D@tz=Asia/Tokyo@tz=Asia/Tokyo", "is no anchor of it"),
        ("4h@tz=Asia/Tokyo", "only 1D, weeks and months"),
        ("2D@tz=Asia/Tokyo", "only 1D, weeks and months"),
        ("5h@funding", "funding comes every"),
        ("90m@funding", "funding comes every"),
        ("2D@funding", "funding comes every"),
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
    for form in ("1s ... 59s", "173m", "4h", "30D", "1w@mon", "1M", "8h@funding", "fibonacci"):
        assert form in message


@given(intervals)
def test_text_and_back_is_the_same_interval(interval):
    assert parse_interval(interval.text) == interval


@given(st.one_of(st.text(max_size=8), st.from_regex(r"[0-9]{1,4}[smhdDwWM](@[a-z=/]{0,9}){0,3}")))
def test_arbitrary_text_is_an_interval_within_bounds_or_refused(text):
    try:
        interval = parse_interval(text)
    except BadInterval as e:
        assert repr(text) in str(e)  # noqa: PT017 - whatever is refused is named
    else:
        length_ms, anchor = interval
        assert SECOND_MS <= length_ms <= (12 * MONTH_MS if anchor else INTERVAL_MS_MAX)
        assert length_ms < MINUTE_MS or length_ms % MINUTE_MS == 0
        assert parse_interval(interval.text) == interval


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        *(("60m", "1h"), ("24h", "1D"), ("1d", "1D"), ("60s", "1m"), ("173m", "173m")),
        *(("90m", "90m"), ("7D", "7D"), ("1w", "1w@mon"), ("3M", "3M"), ("30D", "30D")),
        *(("1D@tz=UTC", "1D"), ("24h@funding", "1D@funding"), ("1M@tz=Asia/Tokyo",) * 2),
    ],
)
def test_one_interval_has_one_text(text, canonical):
    assert parse_interval(text).text == canonical


@pytest.mark.parametrize("row", [Interval(1_500), Interval(5, "mon"), Interval(0), Interval(-7)])
def test_a_row_that_no_text_names_still_has_one(row):
    assert row.text


def test_intervals_come_once_each_and_shortest_first():
    assert parse_intervals(["1h", "60m", "1s", "1w", "7D"]) == (
        *((SECOND_MS, ""), (HOUR_MS, "")),
        *((WEEK_MS, ""), (WEEK_MS, "mon")),
    )


def test_the_preset_is_the_ladder_and_the_two_of_old():
    minutes = (1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610, 987, 1597, 2584)
    assert tuple(f"{n}m" for n in minutes) == FIBONACCI
    ladder = parse_intervals([" Fibonacci "])
    assert ladder == tuple((n * MINUTE_MS, "") for n in sorted((*minutes, 173, 2850)))
    assert parse_intervals(["1s", "fibonacci", "89m"]) == ((1_000, ""), *ladder)
    for preset in PRESETS.values():
        assert parse_intervals(preset)


def test_no_interval_at_all_is_refused():
    with pytest.raises(BadInterval, match="at least one"):
        parse_intervals([])


def test_one_bad_text_among_good_ones_is_the_one_named():
    with pytest.raises(BadInterval, match="'7x'"):
        parse_intervals(["1m", "7x"])


@given(plain, st.integers(0, LATER_MS))
def test_windows_without_an_anchor_open_at_multiples_of_their_length(interval, at_ms):
    opened_ms = interval.open_ms(at_ms)
    assert opened_ms % interval.length_ms == 0
    assert interval.end_ms(opened_ms) - opened_ms == interval.length_ms


@given(intervals, times_ms)
def test_windows_tile_time_without_a_hole_or_an_overlap(interval, at_ms):
    opened_ms, end_ms = interval.window(at_ms)
    assert opened_ms <= at_ms < end_ms
    assert (interval.open_ms(at_ms), interval.end_ms(opened_ms)) == (opened_ms, end_ms)
    assert interval.window(opened_ms) == interval.window(end_ms - 1) == (opened_ms, end_ms)
    assert interval.open_ms(end_ms) == end_ms
    assert interval.window(opened_ms - 1)[1] == opened_ms


@given(anchored, times_ms)
def test_a_calendar_window_is_about_as_long_as_its_nominal_length(interval, at_ms):
    opened_ms, end_ms = interval.window(at_ms)
    # Months have 28 to 31 days; a clock that is set, or a day left out, does the rest.
    slack_ms = 2 * DAY_MS + interval.length_ms // 10 if interval.is_calendar else 0
    assert abs(end_ms - opened_ms - interval.length_ms) <= slack_ms


@pytest.mark.parametrize(
    ("text", "at", "opened", "end"),
    [
        ("1w@mon", "2026-11-21T12:00", "2026-11-16", "2026-11-23"),
        ("1w@sun", "2026-11-22T00:00", "2026-11-22", "2026-11-29"),
        ("7D", "2026-11-21T12:00", "2026-11-19", "2026-11-26"),  # Thursdays, as in 1970
        ("2w@sun", "1970-01-05T00:00", "1970-01-04", "1970-01-18"),  # counted from 1970-W01
        ("1M", "2024-02-29T23:59", "2024-02-01", "2024-03-01"),
        ("1M", "2026-12-31T23:59", "2026-12-01", "2027-01-01"),
        ("3M", "2026-05-05T00:00", "2026-04-01", "2026-07-01"),
        ("12M", "2026-05-05T00:00", "2026-01-01", "2027-01-01"),
        ("8h@funding", "2026-05-05T15:59", "2026-05-05T08:00", "2026-05-05T16:00"),
    ],
)
def test_weeks_months_and_funding_open_where_people_expect_it(text, at, opened, end):
    assert parse_interval(text).window(ms(at)) == (ms(opened), ms(end))


@pytest.mark.parametrize(
    ("text", "day", "hours"),
    [
        ("1D@tz=America/New_York", "2026-03-08", 23),
        ("1D@tz=America/New_York", "2026-11-01", 25),
        ("1D@tz=America/New_York", "2026-11-02", 24),
        ("1D@tz=Australia/Lord_Howe", "2026-10-04", 23.5),
        ("1D@tz=Asia/Tokyo", "2026-03-08", 24),
        ("1w@sun@tz=America/New_York", "2026-03-08", 7 * 24 - 1),
        ("1M@tz=America/New_York", "2026-11-01", 30 * 24 + 1),
    ],
)
def test_a_day_has_as_many_hours_as_the_clocks_of_its_zone_show(text, day, hours):
    interval = parse_interval(text)
    opened_ms = ms(day, text.partition("tz=")[2])
    assert interval.window(opened_ms) == (opened_ms, opened_ms + round(hours * HOUR_MS))


def test_where_midnight_does_not_exist_the_day_begins_when_the_clock_leaps():
    leap_ms = ms("2018-11-04T03:00")  # Sao Paulo: 00:00 was 01:00
    interval = parse_interval("1D@tz=America/Sao_Paulo")
    assert interval.window(leap_ms) == (leap_ms, leap_ms + 23 * HOUR_MS)
    assert interval.window(leap_ms - 1) == (leap_ms - DAY_MS, leap_ms)


def test_where_midnight_comes_twice_the_day_begins_with_the_first():
    first_ms = ms("2010-11-07T02:30")  # St. John's: a minute later it was 23:01 again
    interval = parse_interval("1D@tz=America/St_Johns")
    for after_ms in (0, MINUTE_MS, 30 * MINUTE_MS, HOUR_MS, 24 * HOUR_MS):
        assert interval.window(first_ms + after_ms) == (first_ms, first_ms + 25 * HOUR_MS)


def test_a_day_that_was_left_out_has_no_window():
    skipped_ms = ms("2011-12-30T10:00")  # Apia: the 29th was followed by the 31st
    interval = parse_interval("1D@tz=Pacific/Apia")
    assert interval.window(skipped_ms - 1) == (skipped_ms - DAY_MS, skipped_ms)
    assert interval.window(skipped_ms) == (skipped_ms, skipped_ms + DAY_MS)


def test_every_time_zone_can_be_followed():
    at_ms = ms("2026-11-21T12:00")
    for zone in zone_names():
        opened_ms, end_ms = parse_interval(f"1D@tz={zone}").window(at_ms)
        assert opened_ms <= at_ms < end_ms
