"""Batches grow with a backlog, and wait a little longer under load."""

from sinks.clickhouse.pace import (
    BUSY_LINGER_MS,
    FIRST_RECORDS,
    LINGER_MS,
    RECORDS_MAX,
    ROWS,
    ROWS_MAX,
    Pace,
)


def test_the_first_batch_is_small_because_nothing_is_known() -> None:
    assert Pace().limits.records_max == FIRST_RECORDS


def test_a_log_that_is_followed_is_given_batches_of_so_many_rows() -> None:
    pace = Pace()
    pace.wrote(10, 50_000)  # 5,000 rows a record
    assert pace.limits.records_max == ROWS // 5_000


def test_full_batches_grow_up_to_a_limit_and_shrink_once_the_backlog_is_gone() -> None:
    pace = Pace()
    rows = []
    for _ in range(8):
        records = pace.limits.records_max
        pace.wrote(records, records * 100)
        rows.append(pace.limits.records_max * 100)
    assert rows == sorted(rows)
    assert rows[-1] == ROWS_MAX
    pace.wrote(7, 700)
    assert pace.limits.records_max == ROWS // 100


def test_a_quiet_stream_is_written_sooner_than_a_busy_one() -> None:
    pace = Pace()
    pace.wrote(3, 9)
    assert pace.limits.linger_ms == LINGER_MS
    pace.wrote(40, 4_000)
    assert pace.limits.linger_ms == BUSY_LINGER_MS


def test_records_without_rows_are_bounded_too() -> None:
    pace = Pace()
    pace.wrote(5, 0)
    assert 0 < pace.limits.records_max <= RECORDS_MAX
