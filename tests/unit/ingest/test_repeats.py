"""Rows without ids from several sockets."""

from ingest.repeats import Repeats


def test_the_second_socket_repeats_and_the_same_socket_does_not() -> None:
    repeats = Repeats()
    assert [repeats.is_repeat("x", "one") for _ in range(2)] == [False, False]
    assert [repeats.is_repeat("x", "two") for _ in range(3)] == [True, True, False]
    assert repeats.is_repeat("x", "one")


def test_memory_is_bounded() -> None:
    repeats = Repeats(rows_max=2)
    for row in ("a", "b", "c"):
        repeats.is_repeat(row, "one")
    assert not repeats.is_repeat("a", "two")  # forgotten: passed on rather than lost
    assert repeats.is_repeat("c", "two")
