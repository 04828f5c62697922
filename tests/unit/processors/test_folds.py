"""Which folds a worker runs."""

import pytest

from processors.agents.folds import FOLDS, chosen_folds, chosen_names
from runtime.errors import Misconfigured
from runtime.settings import Settings
from schemas.topics import CATALOGUE


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
