"""When a worker must end itself."""

import pytest

from processors.app import HEARTBEAT_S, SESSION_TIMEOUT_S
from processors.watchdog import (
    HOMELESS_S,
    PAUSE_S_MAX,
    STUCK_S,
    WAITS_S_MAX,
    Unfit,
    Watchdog,
)


def watching() -> Watchdog:
    watchdog = Watchdog(100.0)
    watchdog.restored()
    return watchdog


def test_a_pause_is_noticed_before_the_group_can_have_given_the_partitions_away() -> None:
    assert PAUSE_S_MAX < SESSION_TIMEOUT_S - HEARTBEAT_S
    watchdog = watching()
    watchdog.wake(100.0 + PAUSE_S_MAX)
    with pytest.raises(Unfit, match="stood still"):
        watchdog.wake(100.1 + 2 * PAUSE_S_MAX)


def test_a_process_that_was_found_unfit_stays_so() -> None:
    watchdog = watching()
    for _ in range(2):
        with pytest.raises(Unfit):
            watchdog.wake(200.0)


def test_a_rebalance_that_never_ends_is_noticed() -> None:
    watchdog = watching()
    watchdog.forgot(101.0)
    now_s = 101.0
    while now_s < 101.0 + HOMELESS_S:
        watchdog.wake(now_s)
        now_s += 1.0
    with pytest.raises(Unfit, match="restored"):
        watchdog.wake(now_s + 0.1)


def test_with_its_partitions_back_it_may_live() -> None:
    watchdog = watching()
    watchdog.forgot(101.0)
    watchdog.restored()
    for now_s in range(101, 101 + 2 * int(HOMELESS_S)):
        watchdog.wake(float(now_s))


def test_one_partition_that_stands_is_noticed_while_others_move() -> None:
    watchdog = watching()
    watchdog.check_progress({0: 5, 1: 7}, {0: 10, 1: 10}, 100.0)
    watchdog.check_progress({0: 6, 1: 7}, {0: 10, 1: 10}, 100.0 + STUCK_S)
    with pytest.raises(Unfit, match="partition 1"):
        watchdog.check_progress({0: 7, 1: 7}, {0: 10, 1: 10}, 100.1 + STUCK_S)


def test_nothing_to_read_is_no_reason_to_end() -> None:
    watchdog = watching()
    for n in range(100):
        watchdog.check_progress({0: 5}, {0: 0}, 100.0 + n * STUCK_S)
    watchdog.check_progress({0: 5}, {0: 3}, 100.0 + 100 * STUCK_S)


def test_a_new_tenure_starts_with_a_clean_slate() -> None:
    watchdog = watching()
    watchdog.check_progress({0: 5}, {0: 3}, 100.0)
    watchdog.restored()
    watchdog.check_progress({0: 5}, {0: 3}, 200.0)


def test_a_partition_may_wait_for_its_turn_while_others_catch_up_but_not_for_ever() -> None:
    watchdog = watching()
    now_s, position = 100.0, 0
    while now_s < 100.0 + WAITS_S_MAX:
        watchdog.check_progress({0: position, 1: 7}, {0: 10_000, 1: 10}, now_s)
        now_s, position = now_s + 1.0, position + 1
    with pytest.raises(Unfit, match="partition 1"):
        watchdog.check_progress({0: position, 1: 7}, {0: 10_000, 1: 10}, now_s + 1.0)


def test_once_the_others_have_caught_up_it_has_its_time() -> None:
    watchdog = watching()
    for n in range(60):
        watchdog.check_progress({0: n, 1: 7}, {0: 10_000, 1: 10}, 100.0 + n)
    watchdog.check_progress({0: 60, 1: 7}, {0: 0, 1: 10}, 160.0)
    with pytest.raises(Unfit, match="partition 1"):
        watchdog.check_progress({0: 60, 1: 7}, {0: 0, 1: 10}, 160.0 + STUCK_S)
