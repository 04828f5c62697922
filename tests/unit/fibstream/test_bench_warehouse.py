"""The warehouse's bench: what its figures are made of, and which of them it shows."""

import pytest

from fibstream.bench.footprint import Footprint
from fibstream.bench.warehouse import (
    INSERT_ROWS_PER_S_MIN,
    LIMITS,
    Sample,
    headline,
    is_ok,
    rate,
    seed_rows,
)


def kept() -> dict[str, object]:
    """A report that keeps every limit by a hair."""
    return {
        **LIMITS,
        "insert_rows_per_s": INSERT_ROWS_PER_S_MIN,
        "trades": 7,
        "trades_stored": 7,
    }


def test_the_rate_is_that_of_the_trades_between_the_first_commit_and_the_last() -> None:
    # 10 of 40 records were committed before the clock ran: 3 quarters of 8,000 trades in 2 s.
    samples = [
        Sample(100.0, 10, Footprint(5.0, 0)),
        Sample(101.0, 30, Footprint(7.0, 0)),
        Sample(102.0, 40, Footprint(8.0, 0)),
    ]
    rows_per_s, cpu_s_per_million = rate(samples, 8_000, 40)
    assert rows_per_s == pytest.approx(3_000)
    assert cpu_s_per_million == pytest.approx(500)


def test_a_report_at_its_limits_is_good() -> None:
    assert is_ok(kept())


@pytest.mark.parametrize("name", LIMITS)
def test_every_limit_can_be_missed(name: str) -> None:
    assert not is_ok(kept() | {name: LIMITS[name] + 0.1})


def test_slow_inserts_and_lost_trades_are_not_good() -> None:
    assert not is_ok(kept() | {"insert_rows_per_s": INSERT_ROWS_PER_S_MIN - 1})
    assert not is_ok(kept() | {"trades_stored": 6})


def test_seed_rows_say_by_how_much_and_leave_out_what_was_not_measured() -> None:
    rows = seed_rows({"insert_rows_per_s": 1_000_000, "month_1m_ms": 25.0})
    assert rows["insert_rows_per_s"] == {"seed": 125_000.0, "ours": 1_000_000, "factor": 8.0}
    assert rows["month_1m_ms"]["factor"] == 6.0
    assert "latency_p50_ms" not in rows
    assert seed_rows(kept() | {"latency_p50_ms": 20.0})["latency_p50_ms"]["factor"] == 5.0


@pytest.mark.parametrize(
    ("api_ms", "sql_ms", "shown", "by"),
    [
        (24.0, 20.0, 24.0, "api"),  # what a user gets, where it is in time
        (26.0, 20.0, 20.0, "sql"),
        (30.0, 40.0, 30.0, "api"),  # neither
    ],
)
def test_the_figure_shown_is_the_apis_unless_only_plain_sql_is_in_time(
    api_ms: float, sql_ms: float, shown: float, by: str
) -> None:
    found = headline({"api_ms": {"month_1m_ms": api_ms}, "sql_ms": {"month_1m_ms": sql_ms}})
    assert found == {"month_1m_ms": shown, "headline_by": {"month_1m_ms": by}}
