from hypothesis import given
from hypothesis import strategies as st

from runtime.backoff import Backoff


def test_delays_double_from_the_first_to_the_longest():
    delays = [Backoff().delay_s(failures, 0.0) for failures in range(1, 9)]
    assert delays == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]


@given(st.integers(0, 10**9), st.floats(0, 1, exclude_max=True))
def test_a_delay_is_never_zero_nor_longer_than_the_longest(failures, jitter):
    assert 0.1 <= Backoff().delay_s(failures, jitter) <= 10.0
