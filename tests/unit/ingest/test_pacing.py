import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.pacing import BACKOFF_MAX_S, Budget, backoff_s, retry_after_s


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_backoff_is_bounded(failures: int, chance: float) -> None:
    assert 0.0 <= backoff_s(failures, chance) <= BACKOFF_MAX_S


def test_backoff_doubles_to_its_cap_and_spreads_from_zero() -> None:
    assert [backoff_s(n, 1.0) for n in (1, 2, 3, 4, 7, 50)] == [0.5, 1.0, 2.0, 4.0, 30.0, 30.0]
    assert backoff_s(9, 0.0) == 0.0


@given(st.lists(st.floats(0, 100), max_size=40))
def test_a_budget_is_never_overspent(pauses_s: list[float]) -> None:
    budget, now_s, spent_s = Budget(3, 10.0), 0.0, []
    for pause_s in pauses_s:
        now_s += pause_s
        now_s += budget.wait_s(now_s)
        budget.spend(now_s)
        spent_s.append(now_s)
    assert all(b - a >= 10.0 - 1e-9 for a, b in zip(spent_s, spent_s[3:], strict=False))


@pytest.mark.parametrize(
    ("status", "header", "pause_s"),
    [(429, "7", 7.0), (418, "120", 120.0), (429, None, 60.0), (503, "3", 3.0), (503, None, 0.0),
     (429, "soon", 60.0)],
)  # fmt: skip
def test_the_venue_says_how_long(status: int, header: str | None, pause_s: float) -> None:
    assert retry_after_s(status, header) == pause_s
