"""Which folds a worker runs, and what each gives to a checkpoint of some partitions."""

import pytest
from folding import trades

from processors.agents.folds import FOLDS, chosen_folds, chosen_names
from processors.fold import taken
from runtime.errors import Misconfigured
from runtime.settings import Settings
from schemas.topics import CATALOGUE, TRADES
from schemas.trades import TradeBatch, encode_batch


def test_each_agent_is_the_fold_of_its_name_over_topics_of_the_catalogue() -> None:
    for name in FOLDS:
        (fold,) = chosen_folds(Settings(process_agents=(name,)))
        assert fold.name == name
        assert all(topic in CATALOGUE for topic in (*fold.reads, *fold.writes))


def test_every_topic_that_is_read_has_as_many_partitions_as_the_changelog() -> None:
    folds = chosen_folds(Settings(process_agents=tuple(FOLDS)))
    assert {topic.partitions for fold in folds for topic in fold.reads} == {None}


def test_the_default_agents_are_known() -> None:
    assert [fold.name for fold in chosen_folds(Settings())] == list(Settings().process_agents)


def test_in_klines_mode_the_candles_of_the_exchange_take_the_place_of_ours() -> None:
    names = chosen_names(Settings(aggregator_mode="klines"))
    assert "venue-klines" in names
    assert "klines" not in names
    assert "reconciliation" not in names


@pytest.mark.parametrize("names", ["klines,candles", ","])
def test_agents_that_nobody_knows_are_refused_with_those_that_are_known(names) -> None:
    with pytest.raises(Misconfigured, match="Known: klines"):
        chosen_folds(Settings(process_agents=names))


def test_what_is_taken_of_some_partitions_is_taken_once_and_the_rest_stays() -> None:
    dirty = {"a": 0, "b": 1, "c": 0, "d": 2}
    assert taken(dirty, [0, 2]) == {"a": 0, "c": 0, "d": 2}
    assert taken(dirty, [0, 2]) == {}
    assert taken(dirty, None) == {"b": 1}
    assert dirty == {}


def record(row: tuple[int, ...]) -> bytes:
    batch = TradeBatch(
        exchange="binance", channel="linear", source="live", recv_ns=1, symbols=[trades(row)]
    )
    return encode_batch(batch)


def test_a_checkpoint_of_one_partition_leaves_the_states_of_the_others_for_theirs() -> None:
    (fold,) = chosen_folds(Settings(process_agents=("klines",)))
    for partition in (0, 1, 2):
        fold.apply(TRADES, partition, 7, record((1, 0, 100, 1, 1)))
    assert {partition for partition, _, _ in fold.take_dirty([1])} == {1}
    fold.apply(TRADES, 1, 8, record((2, 1, 101, 1, 1)))
    assert {partition for partition, _, _ in fold.take_dirty([0, 2])} == {0, 2}
    assert {partition for partition, _, _ in fold.take_dirty()} == {1}
    assert fold.take_dirty() == []
