"""What is asked of the warehouse: as far as nobody has told it, and again until that is over."""

import json

import pytest

from schemas.clickhouse.any_interval import Coverage
from schemas.intervals import Interval
from schemas.wanted import WantedIntervals
from sinks.gateway import candles, protocol, seam
from sinks.gateway.history import History
from sinks.gateway.hub import Hub
from sinks.gateway.seam import Seam

MINUTE = 60_000
KEY = protocol.Key("binance", "linear", "A", Interval(7 * MINUTE))


def row(at: int, *, closed: bool) -> dict:
    ids = {"first_id": at, "last_id": at}
    return {
        "symbol": "A", "interval": KEY.interval.length_ms, "timestamp": at * KEY.interval.length_ms,
        "closed": closed, "rev": at, "trade_count": 1, **ids,
    }  # fmt: skip


class Store:
    """A warehouse whose last window is open for some answers, and all that feeds it is there."""

    def __init__(self, open_answers: int) -> None:
        self.open_answers = open_answers
        self.asked: list[int | None] = []

    async def coverage(self, *_) -> Coverage:
        return Coverage()._replace(stored_until_ms=3 * KEY.interval.length_ms)

    async def kline_rows(self, asked, _) -> list[str]:
        self.asked.append(asked.end_ms)
        is_over = len(self.asked) > self.open_answers
        return [json.dumps(row(at, closed=at < 9 or is_over)) for at in range(10)]

    async def reached(self, *_) -> None: ...

    async def caught_up(self, _) -> None: ...

    def partition_of(self, *_) -> int:
        return 0


def world_of(store: Store) -> tuple[Hub, Seam]:
    hub = Hub(History(), [Interval(MINUTE)])
    hub.history.since[0] = 0
    wanted = WantedIntervals([Interval(MINUTE)])
    wanted.take(b"interval:7m", json.dumps({"data_type": "interval", "interval": "7m"}).encode())
    hub.want(wanted)
    value = {"exchange": "binance", "channel": "linear", "recv_ms": 1}
    record = json.dumps({**value, "data": [row(10, closed=False)]}).encode()
    hub.accept(candles.read(record, 0), 1)
    return hub, Seam(hub, store, store, store)


async def loaded(store: Store) -> list[dict]:
    hub, its_seam = world_of(store)
    loads = []
    hub.begin = loads.append
    client = hub.connect(lambda: None)
    frame = {"timeframe": "7m", "initial_candles": 5}
    item = {"symbol": "A", "timeframes": [frame]}
    text = json.dumps({"action": "subscribe", "subscriptions": [item]})
    hub.handle(client, protocol.parse(text), 0)
    async with seam.asyncio.TaskGroup() as its_seam._group:
        its_seam.begin(loads[0])
    return [json.loads(each) for each in client.outbox.take()][1:]


async def test_what_was_told_by_nobody_is_asked_for_until_it_is_over(monkeypatch):
    monkeypatch.setattr(seam, "READ_AGAIN_S", 0)
    store = Store(open_answers=3)
    (snapshot,) = await loaded(store)
    assert store.asked == [10 * KEY.interval.length_ms] * 4, "up to where memory begins"
    rows = [row["timestamp"] // KEY.interval.length_ms for row in snapshot["data"]]
    assert rows == [5, 6, 7, 8, 9, 10]
    assert snapshot["data_status"]["data_quality"] == "complete"


async def test_a_window_that_the_warehouse_does_not_end_makes_the_snapshot_partial(monkeypatch):
    monkeypatch.setattr(seam, "READ_AGAIN_S", 0)
    monkeypatch.setattr(seam, "CATCH_UP_WITHIN_S", 0.05)
    (snapshot,) = await loaded(Store(open_answers=1_000_000))
    rows = [row["timestamp"] // KEY.interval.length_ms for row in snapshot["data"]]
    assert rows == [4, 5, 6, 7, 8, 10]
    assert snapshot["data_status"]["data_quality"] == "partial"


@pytest.mark.parametrize("is_late", [True, False])
async def test_where_memory_has_nothing_what_was_not_always_made_is_asked_for_up_to_now(is_late):
    store = Store(open_answers=0)
    hub, its_seam = world_of(store)
    interval = KEY.interval if is_late else Interval(MINUTE)
    await its_seam._stored(KEY._replace(symbol="B", interval=interval), 5)
    assert store.asked == [None if is_late else 3 * KEY.interval.length_ms]
    assert hub.is_late(interval) == is_late
