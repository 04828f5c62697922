"""Bars that close by size, case by case; ``test_cuts`` has the whole truth."""

from collections.abc import Iterable

import msgspec
from cutting import DAY_MS, MIDNIGHT_MS, batch, engine, group, told
from oracle import T
from prometheus_client import REGISTRY

from processors.agents.folds import chosen_folds
from processors.engine import cuts, ids
from processors.engine.engine import Engine
from runtime.settings import load_settings
from schemas.topics import BARS, TRADES
from schemas.trades import PackedBatch, decode_any_batch, encode_batch


def trades(*rows: tuple[int, int]) -> list[T]:
    """Return trades of (id, time after midnight)."""
    return [T(id_, MIDNIGHT_MS + ms, 5, 1, 1) for id_, ms in rows]


def fold(e: Engine, offset: int, *rows: tuple[int, int], source="live", rule="dense", unreal=()):
    """Return what is told of one record: (day, seq, first id, last id, rev, cause, missing)."""
    e.apply_batch(0, offset, batch(group("A", rule, trades(*rows), unreal), source))
    return [
        (
            (row.day - MIDNIGHT_MS) // DAY_MS,
            row.seq,
            (row.first_id, row.last_id),
            row.rev,
            row.cause,
            (row.quality, row.missing),
        )
        for row in told(e)
    ]


def saved(e: Engine, sizes: Iterable[str]) -> Engine:
    """Return an engine of these sizes that goes on from the state of another."""
    told(e)
    again = engine(sizes)
    again.restore(0, {key: value for _, key, value in e.take_dirty()})
    return again


PROVEN, UNKNOWN = ("proven", 0), ("gap", 0)


def test_a_bar_closes_with_the_trade_that_reaches_its_size_and_is_never_divided() -> None:
    e = engine(["volume:2.5"])
    assert fold(e, 0, (1, 0), (2, 1)) == []
    assert fold(e, 1, (3, 2), (4, 3)) == [(0, 0, (1, 3), 1, "live", PROVEN)]


def test_a_bar_ends_with_its_day_and_the_next_day_counts_from_nought() -> None:
    e = engine(["tick:2"])
    assert fold(e, 0, (1, -9), (2, -8), (3, -7)) == [(-1, 0, (1, 2), 0, "live", PROVEN)]
    assert fold(e, 1, (4, 0)) == [(-1, 1, (3, 3), 1, "live", PROVEN)]
    assert fold(e, 2, (5, 1)) == [(0, 0, (4, 5), 2, "live", PROVEN)]


def test_a_late_trade_joins_its_bar_and_moves_no_cut() -> None:
    e = engine(["tick:2"])
    assert fold(e, 0, (1, 0), (3, 2), (4, 3), (5, 4)) == [
        (0, 0, (1, 3), 0, "live", ("gap", 1)),
        (0, 1, (4, 5), 0, "live", PROVEN),
    ]
    assert fold(e, 1, (2, 1), source="rest") == [(0, 0, (1, 3), 1, "rest", PROVEN)]
    assert fold(e, 2, (2, 1)) == []
    assert fold(e, 3, (6, 5), (7, 6)) == [(0, 2, (6, 7), 3, "live", PROVEN)]


def test_ids_missing_at_midnight_may_be_of_either_day() -> None:
    e = engine(["tick:2"])
    fold(e, 0, (1, -9), (2, -8))
    assert fold(e, 1, (5, 0), (6, 1)) == [
        (-1, 0, (1, 2), 1, "live", ("gap", 2)),
        (0, 0, (5, 6), 1, "live", ("gap", 2)),
    ]
    assert fold(e, 2, (3, -1)) == [
        (-1, 0, (1, 3), 2, "late", ("gap", 1)),
        (0, 0, (5, 6), 2, "live", ("gap", 1)),
    ]
    assert fold(e, 3, (4, 0)) == [
        (0, 0, (4, 6), 3, "late", PROVEN),
        (-1, 0, (1, 3), 3, "late", PROVEN),
    ]


def test_a_trade_that_is_none_consumes_its_id_and_belongs_to_no_bar() -> None:
    e = engine(["tick:2"])
    assert fold(e, 0, (1, 0), (3, 2)) == [(0, 0, (1, 3), 0, "live", ("gap", 1))]
    assert fold(e, 1, (2, 1), (4, 3), unreal=[2, 4]) == [(0, 0, (1, 3), 1, "live", PROVEN)]


def test_a_trade_older_than_the_kept_bars_is_counted_and_no_more() -> None:
    e = engine(["tick:1"])
    fold(e, 0, (1, 0), (3, 1))
    for n in range(cuts.KEPT_BARS):
        fold(e, 1 + n, (4 + n, 2))
    assert fold(e, 99, (2, 1)) == []
    assert (e.take_uncut_count(), e.take_uncut_count()) == (1, 0)


def test_history_from_before_the_stream_belongs_to_no_bar() -> None:
    e = engine(["tick:2"])
    assert fold(e, 0, (9, 9), (10, 9)) == [(0, 0, (9, 10), 0, "live", UNKNOWN)]
    assert fold(e, 1, (8, 8)) == []
    assert e.take_uncut_count() == 1


def test_a_size_that_is_added_begins_with_the_next_trade() -> None:
    e = engine([])
    fold(e, 0, (1, 0), (3, 1))
    e = saved(e, ["tick:2"])
    assert fold(e, 1, (2, 0), (4, 2)) == []
    assert e.take_uncut_count() == 1
    assert fold(e, 2, (5, 3)) == [(0, 0, (4, 5), 2, "live", UNKNOWN)]
    e = saved(e, ["tick:1"])
    assert fold(e, 3, (6, 4)) == [(0, 0, (6, 6), 3, "live", UNKNOWN)]


def test_another_rule_of_ids_leaves_the_open_bar_a_gap() -> None:
    e = engine(["tick:2"])
    assert fold(e, 0, (1, 0)) == []
    assert fold(e, 1, (1, 1), (2, 2), rule="range") == [(0, 0, (1, 1), 1, "live", UNKNOWN)]
    assert fold(e, 2, (3, 3), rule="range") == [(0, 1, (2, 3), 2, "live", PROVEN)]
    assert fold(e, 3, (9, 4), (9, 4), rule="unique") == []
    assert fold(e, 4, (7, 5), rule="unique") == [(0, 2, (9, 7), 4, "live", UNKNOWN)]
    assert fold(e, 5, (8, 6), (5, 1), rule="unique") == [(0, 3, (5, 8), 5, "live", ("assumed", 0))]


def test_without_sizes_there_are_no_bars() -> None:
    e = engine([])
    assert fold(e, 0, (1, 0), (2, 1)) == []
    assert all(candles.cuts is None for candles in e.symbols(0).values())


def test_a_packed_record_is_cut_like_any_other() -> None:
    e, other = engine(["tick:2"]), engine(["tick:2"])
    for offset, first in enumerate((1, 6)):
        of = group("A", "dense", trades(*((first + n, first + n) for n in range(5))))
        one = batch(msgspec.structs.replace(of, first=None, last=None))
        packed = encode_batch(one, binary_from=1)
        assert isinstance(decode_any_batch(packed), PackedBatch)
        e.apply_batch(0, offset, one)
        other.apply(TRADES, 0, offset, packed)
    assert told(other) == (rows := told(e))
    assert [(row.first_id, row.last_id) for row in rows] == [(n, n + 1) for n in range(1, 10, 2)]


def test_ids_that_are_given_up_are_missing_for_good(monkeypatch) -> None:
    monkeypatch.setattr(ids, "MISSING_RANGES_MAX", 1)
    e = engine(["tick:2"])
    assert fold(e, 0, (1, 0), (3, 1)) == [(0, 0, (1, 3), 0, "live", ("gap", 1))]
    assert fold(e, 1, (5, 2)) == []
    assert fold(e, 2, (2, 0)) == []  # given up when 4 was missed: a repeat, for all we know
    assert fold(e, 3, (7, 3)) == [(0, 1, (5, 7), 3, "live", ("gap", 2))]
    assert fold(e, 4, (6, 2)) == [(0, 1, (5, 7), 4, "late", ("gap", 1))]


def test_ids_that_are_given_up_before_midnight_are_missing_in_both_days(monkeypatch) -> None:
    monkeypatch.setattr(ids, "MISSING_RANGES_MAX", 1)
    e = engine(["tick:2"])
    assert fold(e, 0, (1, -9), (2, -8)) == [(-1, 0, (1, 2), 0, "live", PROVEN)]
    assert fold(e, 1, (4, -7), (6, -6), unreal=[4, 6]) == []
    assert fold(e, 2, (7, 0), (8, 1)) == [
        (-1, 0, (1, 2), 2, "live", ("gap", 2)),
        (0, 0, (7, 8), 2, "live", ("gap", 2)),
    ]


def test_a_long_run_in_order_is_cut_as_if_trade_by_trade() -> None:
    e = engine(["tick:2"])
    fold(e, 0, (1, 0))
    fold(e, 1, (4, 1), unreal=[4])
    rows = fold(e, 2, *((n, n) for n in range(5, 14)))
    assert rows[0] == (0, 0, (1, 5), 2, "live", ("gap", 2))
    assert [row[2] for row in rows] == [(1, 5), (6, 7), (8, 9), (10, 11), (12, 13)]
    assert fold(e, 3, (2, 0)) == [(0, 0, (1, 5), 3, "late", ("gap", 1))]
    rows = fold(e, 4, *((n, n + DAY_MS * (n > 18)) for n in range(14, 24)))
    assert [(row[0], row[2]) for row in rows] == [
        *((0, ids) for ids in [(14, 15), (16, 17), (18, 18)]),
        *((1, ids) for ids in [(19, 20), (21, 22)]),
    ]


def test_a_worker_has_the_sizes_of_its_settings_and_tells_what_it_could_not_cut() -> None:
    settings = load_settings(bars="tick:2, volume:1", process_agents="klines")
    (worker,) = chosen_folds(settings)
    before = REGISTRY.get_sample_value("fibstream_process_uncut_trades_total")
    for offset, rows in enumerate([[(9, 9), (10, 9)], [(8, 8)]]):
        record = encode_batch(batch(group("A", "dense", trades(*rows))))
        worker.apply(TRADES, 0, offset, record)
    assert BARS in worker.writes
    assert {row.bar for row in told(worker)} == {"tick:2", "volume:1"}
    worker.measure()
    assert REGISTRY.get_sample_value("fibstream_process_uncut_trades_total") == before + 2


def test_a_long_run_of_a_new_day_follows_ids_that_never_came() -> None:
    e = engine(["tick:2"])
    fold(e, 0, (1, -9), (2, -8))
    fold(e, 1, (5, -7), unreal=[5])
    rows = fold(e, 2, *((n, n) for n in range(6, 15)))
    assert rows[:2] == [
        (-1, 0, (1, 2), 2, "live", ("gap", 2)),
        (0, 0, (6, 7), 2, "live", ("gap", 2)),
    ]


def test_what_was_given_up_is_in_the_state(monkeypatch) -> None:
    monkeypatch.setattr(ids, "MISSING_RANGES_MAX", 1)
    e = engine(["tick:4"])
    assert fold(e, 0, (1, 0), (3, 1), (5, 2)) == []
    e = saved(e, ["tick:4"])
    assert fold(e, 1, (6, 3)) == [(0, 0, (1, 6), 1, "live", ("gap", 2))]
    e = saved(e, ["tick:4"])
    assert fold(e, 2, (6, 3)) == []
    assert fold(e, 3, (4, 1)) == [(0, 0, (1, 6), 3, "late", ("gap", 1))]


def test_a_trade_whose_id_is_of_the_day_before_joins_the_first_bar_of_its_own() -> None:
    e = engine(["tick:2"])
    fold(e, 0, (1, -9), (2, -8), (5, -7))
    assert fold(e, 1, (6, 0), (7, 1)) == [
        (-1, 1, (5, 5), 1, "live", ("gap", 2)),
        (0, 0, (6, 7), 1, "live", PROVEN),
    ]
    assert fold(e, 2, (4, 0)) == [
        (0, 0, (4, 7), 2, "late", PROVEN),
        (-1, 1, (5, 5), 2, "live", ("gap", 1)),
    ]


def test_the_first_trade_of_a_day_takes_back_what_was_proven_of_the_day_before() -> None:
    e = engine(["tick:2"])
    assert fold(e, 0, (1, -9), (2, -8)) == [(-1, 0, (1, 2), 0, "live", PROVEN)]
    assert fold(e, 1, (5, -7), unreal=[5]) == []
    assert fold(e, 2, (6, 0)) == [(-1, 0, (1, 2), 2, "live", ("gap", 2))]
