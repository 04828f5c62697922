import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.allowance import MARGIN, SLICES, Allowance, Spent

WINDOW_S = 60.0
ALLOWANCE = Allowance.of(1_000, WINDOW_S)
START_MS = 1_680_652_800_000


def run(steps: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Pause, wait as told, spend: return (time, weight) of every request."""
    spent, now_ms, made = Spent(ALLOWANCE), START_MS + 12_345, []
    for pause_ms, weight in steps:
        now_ms += pause_ms
        for _ in range(SLICES + 3):
            wait_ms = spent.wait_ms(now_ms, weight)
            if not wait_ms:
                break
            now_ms += wait_ms
        else:
            raise AssertionError("it waits again and again")
        spent.spend(now_ms, weight)
        made.append((now_ms, ALLOWANCE.fitted(weight)))
        assert len(spent.slices) <= SLICES + 2
    return made


STEPS = st.lists(st.tuples(st.integers(0, 90_000), st.integers(0, 1_500)), max_size=60)


@given(STEPS)
def test_no_window_wherever_it_begins_holds_more_than_the_limit(steps) -> None:
    made = run(steps)
    for begin_ms, _ in made:
        inside = sum(w for at_ms, w in made if begin_ms <= at_ms < begin_ms + WINDOW_S * 1_000)
        assert inside <= 1_000 * MARGIN


@given(STEPS)
def test_nobody_waits_while_there_is_room_in_the_last_window_and_slice(steps) -> None:
    spent, now_ms, made = Spent(ALLOWANCE), START_MS, []
    for pause_ms, weight in steps:
        now_ms += pause_ms
        since_ms = now_ms - (SLICES + 1) * ALLOWANCE.slice_ms
        recent = sum(w for at_ms, w in made if at_ms >= since_ms)
        wait_ms = spent.wait_ms(now_ms, weight)
        if recent + ALLOWANCE.fitted(weight) <= ALLOWANCE.weight_max:
            assert wait_ms == 0
        if not wait_ms:
            spent.spend(now_ms, weight)
            made.append((now_ms, ALLOWANCE.fitted(weight)))


def test_what_others_used_counts_until_the_venues_count_begins_anew() -> None:
    spent = Spent(ALLOWANCE)
    now_ms = START_MS + 50_000
    spent.learn(now_ms, used=795, closed_until_ms=0)
    assert spent.wait_ms(now_ms, 5) == 0
    assert spent.wait_ms(now_ms, 6) == 16_000  # the minute's end, and one slice


def test_what_is_counted_already_is_not_counted_twice() -> None:
    spent = Spent(ALLOWANCE)
    spent.spend(START_MS, 400)
    for _ in range(3):
        spent.learn(START_MS + 1, used=400, closed_until_ms=0)
    assert spent.wait_ms(START_MS + 2, 400) == 0
    assert spent.wait_ms(START_MS + 2, 401) > 0


def test_a_closed_host_is_not_asked_before_its_time_and_never_sooner() -> None:
    spent = Spent(ALLOWANCE)
    spent.learn(START_MS, used=0, closed_until_ms=START_MS + 5_000)
    spent.learn(START_MS, used=0, closed_until_ms=START_MS + 3_000)
    assert spent.wait_ms(START_MS + 4_000, 1) == 1_000
    assert spent.wait_ms(START_MS + 5_000, 1) == 0


@pytest.mark.parametrize(
    ("weight_max", "window_s", "limit", "slice_ms"),
    [(6_000, 60.0, 4_800, 6_000), (20, 2.0, 16, 200), (1, 1.0, 1, 100)],
)
def test_the_limit_keeps_a_margin(weight_max, window_s, limit, slice_ms) -> None:
    assert Allowance.of(weight_max, window_s) == Allowance(limit, slice_ms)
