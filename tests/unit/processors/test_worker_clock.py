"""The clock closes candles as far as the broker's word goes, and no further."""

from types import SimpleNamespace

import pytest
from faust.types import TP

from processors import worker as workers
from processors.app import create_app
from processors.worker import HEARD_MS_MAX, Worker
from runtime.kafka import METADATA_MAX_AGE_MS
from runtime.settings import Settings
from schemas.topics import TRADES

NOW_MS = 1_000_000


class Clock:
    """A fold that notes what the clock tells it."""

    name, reads = "klines", (TRADES,)

    def __init__(self) -> None:
        self.told: list[tuple[int, set[int]]] = []

    def tick(self, now_ms: int, caught_up: set[int]) -> None:
        self.told.append((now_ms, caught_up))


class Log:
    """A checkpoint that writes nothing."""

    def __init__(self, fold: Clock, positions: dict[TP, int]) -> None:
        self.folds, self.next_offset = [fold], positions
        self.partitions = {tp.partition for tp in positions}

    async def send(self, now_ms: int, caught_up: object) -> None:
        pass


def end(highwater: int | None, ago_ms: int = 0) -> SimpleNamespace:
    """What the consumer knows of a partition, and for how long nothing was heard of it."""
    return SimpleNamespace(highwater=highwater, timestamp=NOW_MS - ago_ms)


async def told(monkeypatch, *ends: SimpleNamespace, position: int = 7) -> tuple[int, set[int]]:
    monkeypatch.setattr(workers, "_now_ms", lambda: NOW_MS)
    tps = [TP(TRADES.name, n) for n in range(len(ends))]
    fold = Clock()
    worker = Worker(SimpleNamespace(), Log(fold, dict.fromkeys(tps, position)), None, Settings())
    worker._ends = dict(zip(tps, ends, strict=True))
    await worker._beat()
    ((clock_ms, caught_up),) = fold.told
    return clock_ms, caught_up


async def test_who_was_cut_off_closes_nothing_that_ended_since(monkeypatch) -> None:
    assert await told(monkeypatch, end(7), end(7, 300)) == (NOW_MS - 300, {0, 1})


async def test_one_partition_that_says_nothing_stops_no_other(monkeypatch) -> None:
    assert await told(monkeypatch, end(7, 20), end(7, HEARD_MS_MAX + 1)) == (NOW_MS - 20, {0})


@pytest.mark.parametrize("behind", [end(9, 400), end(None)])
async def test_a_partition_with_records_to_read_is_not_closed_by_the_clock(
    behind, monkeypatch
) -> None:
    assert await told(monkeypatch, end(7, 20), behind) == (NOW_MS - 20, {0})


def test_a_group_learns_soon_that_its_topics_are_there_after_all(tmp_path) -> None:
    app = create_app(Settings(data_dir=tmp_path, kafka_bootstrap="127.0.0.1:1"))
    assert app.conf.consumer_metadata_max_age_ms == METADATA_MAX_AGE_MS <= 10_000
