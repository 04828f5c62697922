"""The trust point against a naive recount: any holes, any duplicates, any order of midnight."""

import pytest
from counting import SYMBOL, Counted, Row, holes, ids, verified
from hypothesis import given, settings
from hypothesis import strategies as st

from sinks.integrity.periods import DAY_MS, day_of
from sinks.integrity.ranges import Missing, Ranges
from sinks.integrity.warehouse import Told

JANUARY = 1_704_067_200_000  # 2024-01-01
END = JANUARY + 3_000 * DAY_MS
STEPS_MS = (0, 1, 40_000, 3_600_000, 9 * 3_600_000, 3 * DAY_MS, 20 * DAY_MS)


@st.composite
def stories(draw, rule: str):
    """Rows as they should be, less those that are missing, and some of them told twice."""
    ms, id_, rows = JANUARY + draw(st.integers(0, DAY_MS)), draw(st.integers(1, 3)), []
    for _ in range(draw(st.integers(1, 40))):
        ms += draw(st.sampled_from(STEPS_MS))
        last = id_ + (draw(st.integers(0, 2)) if rule == "range" else 0)
        steps_back = draw(st.sampled_from((0, 0, 0, 50_000)))  # never, or over a midnight
        rows.append(Row(id_, last, max(JANUARY, ms - steps_back)))
        id_ = last + 1
    whole = rows[:1] + [r for r in rows[1:] if not draw(st.booleans()) or draw(st.booleans())]
    again = [row._replace(ms=row.ms + draw(st.sampled_from(STEPS_MS[1:5]))) for row in whole[::7]]
    copies = [row for row in whole if draw(st.integers(0, 9)) == 0]
    return rows, whole, again if draw(st.booleans()) else [], copies


def expected_trust(rows: list[Row], open_holes: list[Missing], until_ms: int) -> int | None:
    days = sorted({day_of(row.ms) for row in rows})
    first_open = min((hole.from_ms for hole in open_holes), default=until_ms)
    trusted = [d for d in days[:-1] if d + DAY_MS <= until_ms and d + DAY_MS <= first_open]
    return max((row.last for row in rows if day_of(row.ms) in trusted), default=None)


def agrees(verdict, rows: list[Row], given_up: Ranges, until_ms: int) -> None:
    rows = [row for row in rows if row.ms < until_ms]
    found = holes(rows)
    left = [part for hole in found for part in given_up.without(hole)]
    assert verdict.gaps_count == sum(hole.ids for hole in found)
    assert sorted(m[:2] for m in verdict.missing) == [part[:2] for part in left]
    held = sum(row.last - row.first + 1 for row in rows)
    assert verdict.duplicates == held - len(ids(rows))
    assert verdict.count == len(rows)
    assert verdict.unrecoverable == verdict.gaps_count - sum(part.ids for part in left)
    trust = expected_trust(rows, left, until_ms)
    assert (verdict.trust.last_id if verdict.trust else None) == trust


@pytest.mark.parametrize("rule", ["dense", "range"])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_trades_are_judged_as_by_looking_at_every_id(rule, data):
    _, whole, again, copies = data.draw(stories(rule))
    rows = whole + again
    until_ms = data.draw(st.sampled_from((END, max(r.ms for r in rows) + 1)))
    gone = data.draw(st.sets(st.sampled_from(range(1, 60)), max_size=30))
    given_up = [Told(SYMBOL, id_, id_, "unrecoverable") for id_ in gone]
    verdict = verified(Counted(rule, rows, copies), until_ms, told=given_up)
    agrees(verdict, rows, Ranges((id_, id_) for id_ in gone), until_ms)


@pytest.mark.parametrize("rule", ["dense", "range"])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_what_was_kept_changes_nothing_but_the_work(rule, data):
    rows, whole, _, _ = data.draw(stories(rule))
    cut_ms = data.draw(st.sampled_from([row.ms for row in whole])) + 1
    early = Counted(rule, [row for row in whole if row.ms < cut_ms])
    before = verified(early, cut_ms) if early.rows else None
    later = data.draw(st.sampled_from((whole, rows)))  # still missing, or recovered
    kept = before.rows if before else ()
    resumed = verified(Counted(rule, later), END, kept, now_ms=2)
    fresh = verified(Counted(rule, later), END, now_ms=2)
    assert (resumed.trust, resumed.missing) == (fresh.trust, fresh.missing)
    assert resumed.gaps_count == fresh.gaps_count
    assert resumed.count == fresh.count
