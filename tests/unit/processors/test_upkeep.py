"""Upkeep: every record is written again within its time, and never many at once."""

from processors.upkeep import COMPACTION_LAG_S, EVERY_S, REWRITES_MAX, Upkeep


def test_what_was_held_from_the_beginning_is_written_within_the_interval_spread_evenly() -> None:
    upkeep = Upkeep(every_s=100)
    upkeep.begin([b"%d" % n for n in range(50)], 1_000.0)
    written: list[bytes] = []
    for second in range(1, 101):
        due = upkeep.due(1_000.0 + second)
        assert len(due) <= 1
        upkeep.wrote(due, 1_000.0 + second)
        written += due
    assert written == [b"%d" % n for n in range(50)]


def test_what_changes_is_not_written_twice() -> None:
    upkeep = Upkeep(every_s=100)
    upkeep.begin([b"busy", b"quiet"], 0.0)
    for second in range(10, 200, 10):
        upkeep.wrote([b"busy"], float(second))
        assert b"busy" not in upkeep.due(float(second))
    assert upkeep.due(199.0) == [b"quiet"]
    assert upkeep.due(300.0) == [b"quiet", b"busy"]


def test_a_backlog_is_written_in_parts() -> None:
    upkeep = Upkeep(every_s=1)
    upkeep.begin([b"%d" % n for n in range(REWRITES_MAX + 5)], 0.0)
    due = upkeep.due(10.0)
    assert len(due) == REWRITES_MAX
    upkeep.wrote(due, 10.0)
    assert len(upkeep.due(10.0)) == 5


def test_keys_of_lost_partitions_are_forgotten() -> None:
    upkeep = Upkeep(every_s=1)
    upkeep.begin([b"lost"], 0.0)
    upkeep.begin([b"mine"], 5.0)
    assert upkeep.due(10.0) == [b"mine"]


def test_a_record_is_written_again_before_compaction_may_drop_it() -> None:
    assert 2 * EVERY_S <= COMPACTION_LAG_S
