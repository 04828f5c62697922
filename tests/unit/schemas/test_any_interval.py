"""Any interval by SQL: which windows are read, from what, and that names are bound."""

import re

import pytest

from schemas.clickhouse.any_interval import Coverage, candles, coverage, picked, stored
from schemas.clickhouse.pieces import Series, Windows
from schemas.intervals import DAY_MS, HOUR_MS, MINUTE_MS, parse_interval

NOW_MS = 1_767_225_600_000  # 2026-01-01
SERIES = Series("binance", "linear", "BTCUSDT' OR 1=1 --")
MINUTES = Coverage(
    minutes_from_ms=NOW_MS - 30 * DAY_MS,
    minutes_until_ms=NOW_MS,
    trades_from_ms=NOW_MS - 40 * DAY_MS,
    began_ms=NOW_MS - 40 * DAY_MS,
    began_id=7,
    trades_until_ms=NOW_MS + 1_234,
)


def sources(sql: str) -> list[str]:
    return re.findall(r"FROM (klines|trades) FINAL", sql)


def spans(sql: str) -> list[tuple[int, int]]:
    bound = r"ts {} fromUnixTimestamp64Milli\(toInt64\((\d+)\)\)"
    found = f"{bound.format('>=')} AND {bound.format('<')} AND bitAnd"
    return [(int(a), int(b)) for a, b in re.findall(found, sql)]


@pytest.mark.parametrize("text", ["173m", "1w@mon", "1M", "1D@tz=Asia/Tokyo"])
def test_windows_open_within_the_span_and_are_read_to_their_end(text) -> None:
    interval = parse_interval(text)
    windows = Windows.within(interval, NOW_MS - 90 * DAY_MS + 1, NOW_MS - 1)
    assert NOW_MS - 90 * DAY_MS < windows.first_ms < NOW_MS
    assert interval.open_ms(windows.first_ms) == windows.first_ms
    assert windows.until_ms >= NOW_MS - 1
    assert interval.window(windows.until_ms - 1)[0] < NOW_MS - 1


def test_minutes_serve_what_they_hold_and_trades_the_edges() -> None:
    query = candles(SERIES, parse_interval("173m"), 0, NOW_MS + DAY_MS, 9, MINUTES)
    assert spans(query.sql) == [
        (MINUTES.trades_from_ms, MINUTES.minutes_from_ms),
        (NOW_MS, NOW_MS + 1_235),
    ]
    assert "klines" in sources(query.sql)


def test_seconds_are_made_of_trades_alone() -> None:
    query = candles(SERIES, parse_interval("5s"), NOW_MS - HOUR_MS, NOW_MS, 9, MINUTES)
    assert "klines" not in sources(query.sql)


def test_stored_minutes_are_read_as_they_are() -> None:
    there = MINUTES._replace(
        stored_from_ms=MINUTES.minutes_from_ms, stored_until_ms=MINUTES.minutes_until_ms
    )
    span = (NOW_MS - DAY_MS, NOW_MS, 99)
    minute = parse_interval("1m")
    assert candles(SERIES, minute, *span, there) == stored(SERIES, minute, *span)
    running = candles(SERIES, minute, NOW_MS - DAY_MS, NOW_MS + MINUTE_MS, 99, there)
    assert spans(running.sql) == [(NOW_MS, NOW_MS + 1_235)]


def test_where_nothing_is_nothing_is_read() -> None:
    for there in (Coverage(), MINUTES):
        query = candles(SERIES, parse_interval("173m"), 5, 6, 9, there)
        assert sources(query.sql) == []


def test_names_are_bound_and_never_in_the_text() -> None:
    interval = parse_interval("173m")
    for query in (
        candles(SERIES, interval, 0, NOW_MS, 9, MINUTES),
        stored(SERIES, interval, 0, NOW_MS, 9),
        coverage(SERIES, interval, NOW_MS),
    ):
        assert "OR 1=1" not in query.sql
        assert query.parameters["symbol"] == SERIES.symbol


def test_rules_of_ids_are_those_of_the_ingestors() -> None:
    from ingest.exchanges import EXCHANGES, exchange
    from schemas.integrity import id_rule

    for name in EXCHANGES:
        for market in exchange(name).markets.values():
            assert market.ids == id_rule(name)


def test_what_is_stored_between_two_questions_is_not_counted_twice() -> None:
    """A minute that is inserted after the coverage was told is still read from its trades."""
    there = MINUTES._replace(stored_from_ms=NOW_MS - DAY_MS, stored_until_ms=NOW_MS - HOUR_MS)
    sql = candles(SERIES, parse_interval("1h"), 0, NOW_MS + DAY_MS, 9, there).sql
    ends = re.findall(r"open_time < fromUnixTimestamp64Milli\(toInt64\((\d+)\)\)", sql)
    last = there.stored_from_ms, there.stored_until_ms, there.minutes_until_ms
    assert {int(end) for end in ends} == set(last)


def test_windows_that_are_stored_are_read_and_nothing_else() -> None:
    hour, start_ms = parse_interval("1h"), NOW_MS - DAY_MS
    there = MINUTES._replace(stored_from_ms=start_ms, stored_until_ms=NOW_MS, stored_windows=24)
    span = (start_ms, NOW_MS, 99)
    assert candles(SERIES, hour, *span, there) == stored(SERIES, hour, *span)
    with_hole = candles(SERIES, hour, *span, there._replace(stored_windows=23)).sql
    assert sources(with_hole) == ["klines", "klines"]
    assert "holes" in with_hole
    # The running candle is made of minutes after the last stored one, and of no other minutes.
    running = candles(SERIES, hour, start_ms, NOW_MS + HOUR_MS, 99, there).sql
    assert "holes" not in running


def test_chosen_columns_come_in_their_order_and_as_floats_where_asked() -> None:
    query = picked(stored(SERIES, parse_interval("1h"), 0, NOW_MS, 9), ("timestamp", "close"), True)
    assert query.sql.startswith("SELECT timestamp, toFloat64(close) AS close FROM (")
    assert query.parameters == SERIES.bound()
