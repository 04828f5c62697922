"""What a question to the query API says, and what it cannot mean."""

import pytest
from fastapi import HTTPException

from schemas.intervals import Interval
from sinks.gateway.data import asked
from sinks.gateway.data.asked import Cursor

DAY_MS = 86_400_000


@pytest.mark.parametrize(
    ("text", "interval"),
    [
        ("173", Interval(173 * 60_000)),
        ("173m", Interval(173 * 60_000)),
        ("1w@mon", Interval(7 * DAY_MS, "mon")),
        ("1D@tz=Asia/Tokyo", Interval(DAY_MS, "tz=Asia/Tokyo")),
    ],
)
def test_bare_numbers_are_minutes_and_all_else_is_an_interval(text, interval) -> None:
    assert asked.timeframe_of(text) == interval


@pytest.mark.parametrize("text", ["", "0", "²", "-5", "1e3", "90s", "31D"])
def test_a_timeframe_that_is_none_is_refused(text) -> None:
    with pytest.raises(HTTPException) as refused:
        asked.timeframe_of(text)
    assert refused.value.status_code == 422
    assert refused.value.detail["near"]


@pytest.mark.parametrize(
    "text",
    ["1640995200000", "2022-01-01", "2022-01-01T00:00:00Z", "2022-01-01T01:00:00 01:00"],
)
def test_moments_are_ms_or_iso_in_utc_where_nothing_is_said(text) -> None:
    assert asked.moment_of("start", text) == 1_640_995_200_000


def test_a_cursor_comes_back_as_it_was_and_serves_no_other_question() -> None:
    cursor = Cursor("trades binance linear BTCUSDT", True, 7, -3, "ü'", 9)
    text = asked.cursor_text(cursor)
    assert asked.cursor_of(text, cursor.what) == cursor
    for bad, what in ((text, "another"), (text[:-2], cursor.what), ("a", "a"), ("ä", "a")):
        with pytest.raises(HTTPException):
            asked.cursor_of(bad, what)
    wild = asked.cursor_text(cursor.__class__(cursor.what, True, 2**70))
    with pytest.raises(HTTPException):
        asked.cursor_of(wild, cursor.what)


def test_names_that_are_alike_are_found_in_any_case() -> None:
    assert asked.near("btcusd", ["BTCUSDT", "ETHUSDT"])[0] == "BTCUSDT"
