"""What integrity decides besides the walk: rules of ids, ranges, what is told and read again."""

import pytest
from counting import SYMBOL, Counted, Row, verified
from hypothesis import given
from hypothesis import strategies as st

from fibstream import verify as verifying
from fibstream.verify import report, table
from ingest.exchanges import EXCHANGES
from schemas.integrity import ID_RULES, id_rule
from sinks.integrity import app, metrics
from sinks.integrity.checking import HOLES_MAX, batches, untold
from sinks.integrity.periods import DAY_MS, month_of, period_end_ms, runs_without
from sinks.integrity.ranges import Missing, Ranges
from sinks.integrity.telling import ROWS_MAX, gap_records
from sinks.integrity.verifier import RECOVERED_WITHIN_MS, Outcome, known
from sinks.integrity.warehouse import Market, Scope, Told

JANUARY = 1_704_067_200_000  # 2024-01-01
END = JANUARY + 400 * DAY_MS
BINANCE = Market("binance", "linear")


def daily(days: int, gone=(), a_day: int = 4) -> list[Row]:
    ids = (id_ for id_ in range(1, days * a_day + 1) if id_ not in gone)
    return [Row(id_, id_, JANUARY + (id_ - 1) * DAY_MS // a_day) for id_ in ids]


def test_the_rules_of_ids_are_those_of_the_ingestors():
    declared = {name: {m.ids for m in e.markets.values()} for name, e in EXCHANGES.items()}
    assert declared == {name: {rule} for name, rule in ID_RULES.items()}
    assert id_rule("unheard-of") == "unique"


@given(
    known=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 9))),
    gap=st.tuples(st.integers(0, 60), st.integers(0, 30)),
)
def test_ranges_are_sets_of_ids(known, gap):
    ranges = [(first, first + more) for first, more in known]
    ids = {id_ for first, last in ranges for id_ in range(first, last + 1)}
    missing = Missing(gap[0], gap[0] + gap[1], 1, 2)
    parts = Ranges(ranges).without(missing)
    left = [id_ for part in parts for id_ in range(part.first_id, part.last_id + 1)]
    assert left == sorted(set(range(missing.first_id, missing.last_id + 1)) - ids)
    assert all(part[2:] == (1, 2) for part in parts)


def test_months_and_runs_of_days():
    december = month_of(JANUARY - 1)
    assert period_end_ms("month", december) == JANUARY
    assert period_end_ms("month", JANUARY) == JANUARY + 31 * DAY_MS
    span = JANUARY, JANUARY + 4 * DAY_MS + 5
    assert runs_without([JANUARY + DAY_MS], span) == [
        (JANUARY, JANUARY + DAY_MS),
        (JANUARY + 2 * DAY_MS, span[1]),
    ]


def test_only_what_is_not_trusted_is_read_again():
    rows = daily(100, gone={150, 151, 390})
    first = Counted("dense", rows)
    before = verified(first, END)
    # Four months; then the days of the two with holes, and of the newest, which nothing follows.
    assert [asked for asked in first.asked if asked[0] == "month"] == [
        ("month", (start, period_end_ms("month", start)))
        for start in (JANUARY, *(month_of(JANUARY + n * DAY_MS) for n in (31, 60, 91)))
    ]
    second = Counted("dense", rows)
    again = verified(second, END, before.rows, now_ms=2)
    days = sum((to_ms - from_ms) // DAY_MS for period, (from_ms, to_ms) in second.asked)
    assert not any(period == "month" for period, _ in second.asked)
    assert days < 40  # of 100, and most of them without a trade behind the newest
    assert again.missing == before.missing
    assert {row.period_ms for row in again.rows if row.period == "day"} < {
        row.period_ms for row in before.rows
    }


def test_a_trusted_month_costs_nothing_more():
    counted = Counted("dense", daily(100))
    kept = verified(counted, END).rows
    later = Counted("dense", daily(101))
    verified(later, END, kept, now_ms=2)
    assert all(from_ms >= JANUARY + 91 * DAY_MS for _, (from_ms, _) in later.asked)


def test_a_day_that_trades_were_put_before_is_read_again():
    rows = daily(40)
    late = [row for row in rows if row.ms >= JANUARY + DAY_MS // 2]
    kept = verified(Counted("dense", late), END).rows
    verdict = verified(Counted("dense", rows), END, kept, now_ms=2)
    assert (verdict.first_id, verdict.count, verdict.missing) == (1, len(rows), [])


def test_rows_that_vanished_under_a_trusted_day_are_noticed_at_its_neighbour():
    rows = daily(40, gone={100})
    kept = verified(Counted("dense", rows), END).rows
    less = [row for row in rows if row.first not in (97, 98, 99)]
    verdict = verified(Counted("dense", less), END, kept, now_ms=2)
    assert verdict.missing == [Missing(97, 100, rows[95].ms, rows[99].ms)]


def test_what_was_told_is_not_told_again_but_recovered_trades_that_never_came_are():
    rows = daily(40, gone={20, 21, 60, 100})
    verdict = verified(Counted("dense", rows), END)
    stored = [
        (Told(SYMBOL, 20, 20, "found"), 5),
        (Told(SYMBOL, 60, 60, "recovered"), 5),
        (Told(SYMBOL, 100, 100, "found"), 5),
    ]
    lately = [(Told(SYMBOL, 100, 100, "recovered"), 7)]
    now_ms = RECOVERED_WITHIN_MS + 6
    told = known(stored, lately, now_ms)
    assert [gap[:2] for gap in untold(verdict, told)] == [(21, 21), (60, 60)]
    assert [gap[:2] for gap in untold(verdict, [*told, Told("OTHER", 21, 21, "found")])] == [
        (21, 21),
        (60, 60),
    ]


def test_more_holes_than_one_run_tells_are_told_by_the_next():
    gone = set(range(2, 4 * HOLES_MAX, 2))
    rows = daily(3, gone, a_day=2_000)
    whole = verified(Counted("dense", rows), END)
    assert len(whole.missing) == HOLES_MAX
    assert whole.gaps_count == len(gone)
    told = [Told(SYMBOL, gap.first_id, gap.last_id, "found") for gap in whole.missing]
    rest = untold(verified(Counted("dense", rows), END, told=told), told)
    assert {gap.first_id for gap in rest} == gone - {gap.first_id for gap in whole.missing}


def test_gaps_are_told_in_records_of_a_bounded_size():
    verdict = verified(Counted("dense", daily(3)), END)
    gaps = [Missing(n, n, 1, 2) for n in range(0, 8 * ROWS_MAX, 2)]
    assert len(list(gap_records(BINANCE, verdict, gaps))) == 4


def test_batches_hold_every_symbol_once():
    symbols = {f"S{n}": [] for n in range(40)}
    found = list(batches(symbols))
    assert [len(batch) for batch in found] == [16, 16, 8]
    assert {name for batch in found for name in batch} == set(symbols)


@pytest.mark.parametrize("gone", [set(), {20}])
def test_the_report_says_what_is_missing_and_until_when_all_is_there(gone):
    verdict = verified(Counted("dense", daily(40, gone)), END)
    outcome = Outcome(BINANCE, verdict, ())
    found = report([outcome], told=0)
    assert found["ok"] is not bool(gone)
    (row,) = found["rows"]
    assert row["trusted_to_ms"] == JANUARY + (4 if gone else 39) * DAY_MS
    assert [gap["first_id"] for gap in row["gaps"]] == sorted(gone)
    assert table(found)
    now_ms = JANUARY + 40 * DAY_MS
    app.measure([outcome], now_ms)
    age_s = metrics.trusted_age.labels(*BINANCE)._value.get()
    assert age_s == (now_ms - row["trusted_to_ms"]) / 1_000


class Recovering:
    """A verifier to whom a hole closes at the third look."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []

    async def verify(self, scope: Scope):
        self.scopes.append(scope)
        gone = {20} if len(self.scopes) < 3 else set()
        yield Outcome(BINANCE, verified(Counted("dense", daily(40, gone)), END), ())


@pytest.mark.parametrize(("within_s", "looks"), [(60.0, 3), (0.0, 0)])
async def test_repair_looks_again_at_what_lacks_trades_until_it_does_not_or_time_is_up(
    monkeypatch, within_s, looks
):
    monkeypatch.setattr(verifying, "LOOK_EVERY_S", 0.0)
    whole = verified(Counted("dense", daily(5)), END)
    whole.symbol = "WHOLE"
    lacking = verified(Counted("dense", daily(40, {20})), END)
    before = [Outcome(BINANCE, whole, ()), Outcome(BINANCE, lacking, ())]
    recovering = Recovering()
    after = await verifying._repaired(recovering, before, within_s)
    assert recovering.scopes == [Scope("binance", "linear", (SYMBOL,))] * looks
    assert report(after, 0)["ok"] is (looks > 0)
    assert [outcome.verdict.symbol for outcome in after] == ["WHOLE", SYMBOL]
