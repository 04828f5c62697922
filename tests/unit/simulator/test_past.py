from itertools import pairwise

import pytest

from simulator.exchange import Exchange
from simulator.options import SimulatorOptions
from simulator.past import DAY_MS, Past
from simulator.symbols import traded
from simulator.venues import dialects

NOW_MS = 1_763_000_000_123
SYMBOL = traded("linear", 1, 7)[0]


def past(*, is_by_fill, seed="s", until_ms=NOW_MS, days=3):
    from_ms = until_ms // DAY_MS * DAY_MS - days * DAY_MS
    return Past(
        SYMBOL,
        seed,
        from_ms=from_ms,
        until_ms=until_ms,
        busy_ms=3_600_000,
        rates=(0.02, 1.0),
        first_id=2_000_000,
        is_by_fill=is_by_fill,
    )


def flat(found, name="id"):
    return [n for part in found for n in getattr(part, name).tolist()]


@pytest.mark.parametrize("is_by_fill", [False, True])
def test_ids_are_dense_times_never_fall_and_trades_follow_each_other(is_by_fill):
    told = past(is_by_fill=is_by_fill)
    parts = told.columns(0, 2**62)
    assert flat(parts) == list(range(told.first_id, told.next_id))
    times = flat(parts, "ts_ms")
    assert times == sorted(times)
    assert told.from_ms <= times[0] <= times[-1] < NOW_MS
    firsts, lasts = flat(parts, "first"), flat(parts, "last")
    assert firsts[1:] == [last + 1 for last in lasts[:-1]]


@pytest.mark.parametrize("is_by_fill", [False, True])
def test_times_and_trades_lead_to_rows(is_by_fill):
    told = past(is_by_fill=is_by_fill)
    times = flat(told.columns(0, 2**62), "ts_ms")
    for row_id in range(told.first_id, told.next_id, 97):
        ts_ms = times[row_id - told.first_id]
        assert times[told.id_at(ts_ms) - told.first_id] == ts_ms
        assert told.id_at(ts_ms) <= row_id < told.id_at(ts_ms + 1)
        (row,) = told.columns(row_id, row_id + 1)
        for trade_id in (int(row.first[0]), int(row.last[0])):
            assert told.row_of_trade(trade_id) == row_id
    assert told.id_at(0) == told.first_id
    assert told.id_at(NOW_MS) == told.next_id


def test_the_same_seed_tells_the_same_past_at_another_hour_of_the_day():
    early, late = (past(is_by_fill=True, until_ms=NOW_MS + n) for n in (0, 3_600_000))
    until = early.id_at(NOW_MS - DAY_MS)
    for name in ("id", "ts_ms", "price", "qty", "side"):
        assert flat(early.columns(0, until), name) == flat(late.columns(0, until), name)
    other = past(is_by_fill=True, seed="t")
    assert flat(other.columns(0, until), "price") != flat(early.columns(0, until), "price")


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr("simulator.past.KEPT_ROWS_MAX", 100)
    told = past(is_by_fill=True)
    told.columns(0, 2**62)
    assert told._kept_rows <= 400


@pytest.mark.parametrize("at", range(8))
def test_the_history_goes_on_where_the_past_ends(at):
    options = SimulatorOptions(
        exchanges=("binance", "bybit", "okx", "hyperliquid", "kraken"),
        symbols=1,
        past_days=2,
        history_s=60,
    )
    dialect = dialects(options)[at]
    exchange = Exchange(dialect, options, trades_per_s=20, rows_max=10_000)
    exchange.make_past(options, NOW_MS)
    exchange.make_history(60_000, NOW_MS)
    (ledger,) = exchange.ledgers.values()
    seam = ledger.past.next_id
    rows = ledger.rows(seam - 50, seam + 50)
    assert [row.id for row in rows] == list(range(seam - 50, rows[-1].id + 1))
    assert len(rows) > 60
    assert [row.ts_ms for row in rows] == sorted(row.ts_ms for row in rows)
    steps = {b.first - a.last for a, b in pairwise(rows)}
    assert steps <= {1, 2}  # an insurance fund's trade takes an id
    aggregates = ledger.aggregates(
        ledger.aggregate_at(rows[0].ts_ms), ledger.aggregate_at(rows[-1].ts_ms)
    )
    numbers = [row.id for row in aggregates]
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    assert sum(row.qty for row in aggregates) == sum(
        row.qty for row in ledger.rows(ledger.id_at(rows[0].ts_ms), ledger.id_at(rows[-1].ts_ms))
    )
