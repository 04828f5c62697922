"""A day as a backfill puts it: whole, in order, in the shares of a real market; and its judge."""

import json
from collections import defaultdict
from itertools import pairwise

import numpy as np
import pytest

from fibstream.bench.day import Load
from fibstream.bench.day_fold import Minutes, Told
from fibstream.bench.day_load import FROM_MS, Day, count_of, records, symbols
from runtime.errors import Misconfigured
from runtime.kafka import partition_for
from schemas.intervals import DAY_MS, MINUTE_MS
from schemas.topics import symbol_key
from schemas.trades import decode_batch, encode_batch

DAY = Day(trades=60_000, symbols=40, partitions=4, per_record=1_000)
LENGTHS_MS = (MINUTE_MS, 5 * MINUTE_MS, 173 * MINUTE_MS, DAY_MS)


@pytest.fixture(scope="module")
def made():
    return {partition: list(records(DAY, partition)) for partition in range(DAY.partitions)}


@pytest.fixture(scope="module")
def groups(made):
    found = defaultdict(list)
    for some in made.values():
        for record in some:
            for group in decode_batch(record.value).symbols:
                found[group.symbol].append(group)
    return found


def test_about_as_many_trades_as_asked_for_are_made(made, groups):
    total = sum(record.trades for some in made.values() for record in some)
    assert DAY.trades * 0.9 < total <= DAY.trades
    assert total == sum(len(group) for some in groups.values() for group in some)
    assert sum(count_of(DAY, partition) for partition in made) == pytest.approx(DAY.trades, abs=4)


def test_a_record_is_as_an_ingestor_would_write_it(made):
    for some in made.values():
        for record in some[:2]:
            assert encode_batch(decode_batch(record.value)) == record.value


def test_the_columns_that_are_folded_are_those_of_the_record(made):
    for partition, some in made.items():
        names = symbols(DAY, partition)
        for record in some[:2]:
            found = decode_batch(record.value).symbols
            told = [(g.symbol, *t) for g in found for t in zip(g.ts, g.price, g.qty, strict=True)]
            columns = (record.owner, record.ts, record.price, record.qty)
            meant = zip(*(column.tolist() for column in columns), strict=True)
            assert [(names[at], *trade) for at, *trade in meant] == told


def test_ids_are_dense_and_times_never_go_back(groups):
    for of_symbol in groups.values():
        ids = [id_ for group in of_symbol for id_ in group.id]
        times = [at_ms for group in of_symbol for at_ms in group.ts]
        assert all(after == before + 1 for before, after in pairwise(ids))
        assert times == sorted(times)
        assert times[0] >= FROM_MS
        assert times[-1] < FROM_MS + DAY_MS


def test_prices_walk_from_record_to_record(groups):
    for of_symbol in groups.values():
        prices = [price for group in of_symbol for price in group.price]
        assert all(abs(after - before) <= 40 for before, after in pairwise(prices))


def test_an_aggregate_goes_on_where_the_last_ended(groups):
    for of_symbol in groups.values():
        spans = [pair for group in of_symbol for pair in zip(group.first, group.last, strict=True)]
        assert all(after[0] == before[1] + 1 for before, after in pairwise(spans))


def test_a_symbol_lies_in_its_partition(made):
    for partition, some in made.items():
        for record in some:
            for group in decode_batch(record.value).symbols:
                key = symbol_key("binance", "linear", group.symbol)
                assert partition_for(key, 4) == partition


def test_some_symbols_trade_much_more_than_others(groups):
    counts = {name: sum(map(len, found)) for name, found in groups.items()}
    assert counts["S0USDT"] > 4 * counts["S39USDT"]


def test_a_partition_is_the_same_whoever_makes_it(made):
    assert [record.value for record in records(DAY, 2)] == [record.value for record in made[2]]
    assert made[1][0].value != next(records(DAY._replace(seed=2), 1)).value


def test_a_partition_without_symbols_has_no_records():
    lonely = Day(trades=1_000, symbols=1, partitions=4, per_record=100)
    counts = [len(list(records(lonely, partition))) for partition in range(4)]
    assert sorted(counts) == [0, 0, 0, 10]


def test_only_windows_that_the_judge_can_fold_are_compared():
    load = Load(intervals=("1s", "1m", "1w@mon", "173m"))
    assert load.lengths_ms() == [MINUTE_MS, 173 * MINUTE_MS]
    with pytest.raises(Misconfigured, match="nothing to compare"):
        Load(intervals=("1s",)).lengths_ms()


# -- the judge


@pytest.fixture(scope="module")
def minutes(made):
    found = Minutes(len(symbols(DAY, 0)))
    for record in made[0]:
        found.add(record)
    return found


def plainly(groups, name: str, length_ms: int) -> dict[int, tuple[int, ...]]:
    """Return the candles of a symbol, folded trade by trade."""
    found: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for group in groups[name]:
        for at_ms, price, qty in zip(group.ts, group.price, group.qty, strict=True):
            found[at_ms - at_ms % length_ms].append((price, qty))
    candles = {}
    for open_ms, trades in found.items():
        prices, volume = [p for p, _ in trades], sum(q for _, q in trades)
        ends = prices[0], max(prices), min(prices), prices[-1]
        candles[open_ms] = (*ends, volume, 2 * len(trades))
    return candles


@pytest.mark.parametrize("length_ms", LENGTHS_MS)
def test_the_fold_is_that_of_trade_by_trade(groups, minutes, length_ms):
    bars, opens = minutes.bars_of(length_ms)
    for at, name in enumerate(symbols(DAY, 0)):
        told = zip(opens.tolist(), *(column[at].tolist() for column in bars), strict=True)
        assert {o: tuple(c) for o, *c in told if c[-1]} == plainly(groups, name, length_ms)


def row(name: str, length_ms: int, open_ms: int, candle, **change) -> dict:
    opened, high, low, close, volume, count = candle
    prices = {"open": opened, "high": high, "low": low, "close": close}
    told = {"symbol": name, "interval": length_ms, "timestamp": open_ms, "rev": 5, "closed": True}
    told |= {key: value / 100 for key, value in prices.items()}
    return told | {"volume": volume / 1_000, "trade_count": count} | change


def told_of(groups, length_ms: int, *more: dict) -> Told:
    names = symbols(DAY, 0)
    rows = [
        row(name, length_ms, open_ms, candle)
        for name in names
        for open_ms, candle in plainly(groups, name, length_ms).items()
    ]
    told = Told(names)
    told.take(json.dumps({"data": [each]}).encode() for each in [*rows, *more])
    return told


@pytest.mark.parametrize("length_ms", LENGTHS_MS)
def test_right_candles_are_found_right(groups, minutes, length_ms):
    right, differences = told_of(groups, length_ms).differences(minutes, length_ms)
    assert differences == []
    assert right == (minutes.bars_of(length_ms)[0].trades > 0).sum()


@pytest.mark.parametrize(
    "change",
    [
        *({name: 1.0} for name in ("open", "high", "low", "close")),
        {"volume": 0.001},
        {"trade_count": 1},
    ],
    ids=str,
)
def test_a_number_that_differs_is_found_and_only_in_the_highest_revision(groups, minutes, change):
    name = symbols(DAY, 0)[0]
    (open_ms, candle), *_ = plainly(groups, name, MINUTE_MS).items()
    wrong = row(name, MINUTE_MS, open_ms, candle, **change)
    _, differences = told_of(groups, MINUTE_MS, wrong | {"rev": 6}).differences(minutes, MINUTE_MS)
    assert len(differences) == 1
    assert f"{name} {MINUTE_MS} {open_ms}" in differences[0]
    for harmless in (wrong | {"rev": 4}, wrong | {"rev": 6, "closed": False}):
        assert told_of(groups, MINUTE_MS, harmless).differences(minutes, MINUTE_MS)[1] == []


def test_a_candle_that_nobody_traded_is_found(groups, minutes):
    name = symbols(DAY, 0)[0]
    outside = row(name, MINUTE_MS, FROM_MS + DAY_MS, (1, 1, 1, 1, 1, 1))
    for extra in (outside, outside | {"timestamp": FROM_MS + 1}):
        _, found = told_of(groups, MINUTE_MS, extra).differences(minutes, MINUTE_MS)
        assert found == [f"{MINUTE_MS} {extra['timestamp']}: nobody traded then"]


def test_only_what_may_still_be_open_may_be_missing(groups, minutes):
    names = symbols(DAY, 0)
    told = Told(names)
    right, differences = told.differences(minutes, DAY_MS)
    assert (right, differences) == (0, []), "a day ends after its last trade"
    _, differences = told.differences(minutes, MINUTE_MS)
    assert differences
    last = minutes.last_ms - minutes.last_ms % MINUTE_MS
    for at, name in enumerate(names):
        candles = plainly(groups, name, MINUTE_MS)
        closed = [row(name, MINUTE_MS, o, c) for o, c in candles.items() if o != last[at]]
        told.take(json.dumps({"data": [each]}).encode() for each in closed)
    right, differences = told.differences(minutes, MINUTE_MS)
    assert differences == []
    assert right == np.sum(minutes.bars_of(MINUTE_MS)[0].trades > 0) - len(names)
