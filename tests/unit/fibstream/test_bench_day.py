"""A day as a backfill puts it: whole, in order, in the shares of a real market."""

from collections import defaultdict
from itertools import pairwise

import pytest

from fibstream.bench.day_load import FROM_MS, Day, count_of, records
from runtime.kafka import partition_for
from schemas.intervals import DAY_MS
from schemas.topics import symbol_key
from schemas.trades import decode_batch

DAY = Day(trades=60_000, symbols=40, partitions=4, per_record=1_000)


@pytest.fixture(scope="module")
def made():
    return {partition: list(records(DAY, partition)) for partition in range(DAY.partitions)}


def groups(made):
    found = defaultdict(list)
    for some in made.values():
        for record in some:
            for group in decode_batch(record.value).symbols:
                found[group.symbol].append(group)
    return found


def test_about_as_many_trades_as_asked_for_are_made(made):
    total = sum(record.trades for some in made.values() for record in some)
    assert DAY.trades * 0.9 < total <= DAY.trades
    assert sum(count_of(DAY, partition) for partition in made) == pytest.approx(DAY.trades, abs=4)


def test_ids_are_dense_and_times_never_go_back(made):
    for of_symbol in groups(made).values():
        ids = [id_ for group in of_symbol for id_ in group.id]
        times = [at_ms for group in of_symbol for at_ms in group.ts]
        assert all(after == before + 1 for before, after in pairwise(ids))
        assert times == sorted(times)
        assert times[0] >= FROM_MS
        assert times[-1] < FROM_MS + DAY_MS


def test_an_aggregate_goes_on_where_the_last_ended(made):
    for of_symbol in groups(made).values():
        spans = [pair for group in of_symbol for pair in zip(group.first, group.last, strict=True)]
        assert all(after[0] == before[1] + 1 for before, after in pairwise(spans))


def test_a_symbol_lies_in_its_partition(made):
    for partition, some in made.items():
        for name in {group.symbol for record in some for group in record.batch.symbols}:
            assert partition_for(symbol_key("binance", "linear", name), 4) == partition


def test_some_symbols_trade_much_more_than_others(made):
    counts = {name: sum(map(len, found)) for name, found in groups(made).items()}
    assert counts["S0USDT"] > 4 * counts["S39USDT"]


def test_a_partition_is_the_same_whoever_makes_it(made):
    assert [record.value for record in records(DAY, 2)] == [record.value for record in made[2]]
    assert made[1][0].value != next(records(DAY._replace(seed=2), 1)).value


def test_a_partition_without_symbols_has_no_records():
    lonely = Day(trades=1_000, symbols=1, partitions=4, per_record=100)
    counts = [len(list(records(lonely, partition))) for partition in range(4)]
    assert sorted(counts) == [0, 0, 0, 10]
