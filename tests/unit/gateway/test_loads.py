"""A snapshot is whole whatever comes, leaves memory, or is corrected while its history is read."""

import json
import random

import pytest

from schemas.intervals import Interval
from sinks.gateway import candles, protocol
from sinks.gateway.history import History
from sinks.gateway.hub import Hub
from sinks.gateway.loads import Load

MINUTE = 60_000
KEY = protocol.Key("binance", "linear", "BTCUSDT", Interval(MINUTE))


def row(minute: int, rev: int, *, closed=True, ids=None) -> dict:
    first, last = ids or (minute * 10, minute * 10 + 9)
    return {
        "symbol": "BTCUSDT", "interval": MINUTE, "timestamp": minute * MINUTE, "closed": closed,
        "rev": rev, "trade_count": 1, "first_id": first, "last_id": last,
    }  # fmt: skip


class World:
    """A hub whose memory began at an offset, and the topic as the warehouse will have it."""

    def __init__(self, *, since: int = 1_000, kept: int = 3) -> None:
        self.hub = Hub(History(candles_per_series=kept), [KEY.interval])
        self.hub.history.since[0] = since
        self.loads: list[Load] = []
        self.hub.begin = self.loads.append
        self.client = self.hub.connect(lambda: None)
        self.topic: list[dict] = []  # all that was ever told, also before memory began
        self.since = since
        self.early: list[dict] = []  # snapshots that came at once

    def told_before(self, *rows: dict) -> None:
        self.topic += rows

    def feed(self, *rows: dict) -> None:
        value = {"exchange": "binance", "channel": "linear", "recv_ms": 1, "data": list(rows)}
        offset = self.since + len(self.topic)
        self.topic += [one for one in rows if one["closed"]]
        self.hub.accept(candles.read(json.dumps(value).encode(), 0, offset), 1)

    def stored(self, upto: int | None = None) -> list[candles.Candle]:
        """The warehouse's newest candles, of so many of the rows that were told."""
        newest: dict[int, dict] = {}
        for one in self.topic[:upto]:
            if newest.get(one["timestamp"], one)["rev"] <= one["rev"]:
                newest[one["timestamp"]] = one
        return [candles.stored(json.dumps(newest[at])) for at in sorted(newest)]

    def subscribe(self, initial_candles: int) -> dict:
        frame = {"timeframe": "1m", "initial_candles": initial_candles}
        item = {"symbol": "BTCUSDT", "timeframes": [frame]}
        text = json.dumps({"action": "subscribe", "subscriptions": [item]})
        self.hub.handle(self.client, protocol.parse(text), 0)
        (ack, *self.early) = self.received()
        return ack["subscriptions"][0]

    def received(self) -> list[dict]:
        frames, self.early = self.early, []
        while taken := self.client.outbox.take():
            frames += map(json.loads, taken)
        return frames

    def rows(self) -> list[tuple[int, int]]:
        return [
            (one["timestamp"] // MINUTE, one["rev"])
            for frame in self.received()
            for one in frame.get("data", [])
        ]


@pytest.fixture
def world() -> World:
    return World()


def test_memory_that_began_with_the_topic_answers_at_once() -> None:
    world = World(since=0)
    world.feed(row(1, 1), row(7, 2))
    assert world.subscribe(100)["candles"] == 2
    assert not world.loads


def test_windows_without_a_hole_need_no_warehouse(world) -> None:
    world.feed(row(1, 1), row(2, 2), row(3, 3))
    told = world.subscribe(3)
    assert (told["candles"], told["data_status"]["historical_loading"]) == (3, False)
    assert not world.loads


def test_ids_that_follow_each_other_prove_that_a_quiet_window_had_no_candle(world) -> None:
    world.feed(row(1, 1, ids=(1, 9)), row(5, 2, ids=(10, 19)))
    assert world.subscribe(2)["candles"] == 2
    world.feed(row(9, 3, ids=(25, 30)))
    world.received()
    assert world.subscribe(3)["data_status"]["historical_loading"]


def test_what_memory_lacks_is_loaded_and_what_comes_meanwhile_is_in_the_snapshot(world) -> None:
    world.told_before(*[row(minute, minute) for minute in range(10)])
    world.feed(row(10, 10), row(11, 11, closed=False))
    told = world.subscribe(6)
    assert told["candles"] == 0
    assert told["data_status"] == {
        "historical_loading": True, "gap_recovery": False, "data_quality": "complete",
    }  # fmt: skip
    (load,) = world.loads
    stored = world.stored(upto=10)
    world.feed(row(11, 11))
    world.feed(row(12, 12, closed=False))
    world.feed(row(6, 13))  # a correction of what only the warehouse has
    assert world.rows() == []
    world.hub.finish(load, stored, is_whole=True)
    (snapshot,) = world.received()
    assert snapshot["snapshot"] is True
    assert snapshot["data_status"]["historical_loading"] is False
    revisions = [(one["timestamp"] // MINUTE, one["rev"]) for one in snapshot["data"]]
    assert revisions == [(6, 13), (7, 7), (8, 8), (9, 9), (10, 10), (11, 11), (12, 12)]
    world.feed(row(12, 14))
    assert world.rows() == [(12, 14)]


def test_a_warehouse_that_is_away_leaves_what_is_in_memory_and_says_so(world) -> None:
    world.feed(row(10, 10), row(11, 11))
    world.subscribe(6)
    world.hub.finish(world.loads[0], (), is_whole=False)
    (snapshot,) = world.received()
    assert snapshot["data_status"]["data_quality"] == "partial"
    assert [one["rev"] for one in snapshot["data"]] == [10, 11]


def test_a_series_that_memory_does_not_have_is_loaded(world) -> None:
    world.told_before(*[row(minute, minute) for minute in range(4)])
    world.subscribe(3)
    (load,) = world.loads
    world.feed(row(4, 4))  # it begins while its history is read
    world.feed(row(2, 9))
    world.hub.finish(load, world.stored(upto=4), is_whole=True)
    assert world.rows() == [(2, 9), (3, 3), (4, 4)]
    world.feed(row(5, 10))
    assert world.rows() == [(5, 10)]


def test_what_the_warehouse_puts_together_before_it_was_told_is_left_to_the_engine(world) -> None:
    world.feed(row(2, 5))  # a correction; what is between was told before memory began
    world.feed(row(5, 9, closed=False))
    world.subscribe(6)
    ahead = [row(2, 5), row(3, 3), row(4, 4), row(5, 9), row(6, 10, closed=False)]
    stored = [candles.stored(json.dumps(one)) for one in ahead]
    world.hub.finish(world.loads[0], stored, is_whole=True)
    assert world.rows() == [(2, 5), (3, 3), (4, 4), (5, 9)]
    world.feed(row(5, 9))
    assert world.rows() == [(5, 9)]


def test_nothing_comes_of_a_load_that_nobody_waits_for(world) -> None:
    world.feed(row(10, 10))
    world.subscribe(6)
    text = '{"action":"unsubscribe","subscriptions":[{"symbol":"BTCUSDT"}]}'
    world.hub.handle(world.client, protocol.parse(text), 0)
    world.received()
    assert world.loads[0].is_over
    world.hub.finish(world.loads[0], world.stored(), is_whole=True)
    world.feed(row(11, 11))
    assert world.received() == []
    series = world.hub.history.series[KEY]
    assert not series.keepers
    assert not series.audience
    world.subscribe(6)
    world.hub.disconnect(world.client)
    assert world.loads[1].is_over
    assert not series.keepers


def test_candles_on_their_way_count_against_the_limit_of_the_next_message(world) -> None:
    world.subscribe(9_000)
    frame = {"timeframe": "1m", "initial_candles": 2_000}
    item = {"symbol": "ETHUSDT", "timeframes": [frame]}
    text = json.dumps({"action": "subscribe", "subscriptions": [item]})
    with pytest.raises(protocol.Refused, match="initial candles"):
        world.hub.handle(world.client, protocol.parse(text), 0)


def test_a_long_snapshot_is_told_in_messages_that_clients_can_read(world) -> None:
    world.told_before(*[row(minute, minute) for minute in range(2_500)])
    world.subscribe(2_400)
    world.hub.finish(world.loads[0], world.stored(), is_whole=True)
    frames = world.received()
    assert [len(frame["data"]) for frame in frames] == [1_000, 1_000, 400]
    assert [frame.get("snapshot", False) for frame in frames] == [True, False, False]
    minutes = [one["timestamp"] // MINUTE for frame in frames for one in frame["data"]]
    assert minutes == list(range(100, 2_500))


@pytest.mark.parametrize("seed", range(60))
def test_at_any_moment_no_candle_is_missing_repeated_or_goes_back(seed) -> None:
    rng = random.Random(seed)
    world = World(kept=rng.choice((2, 5)))
    minute = rng.choice((0, 30))
    world.told_before(*[row(at, 0) for at in range(minute)])
    wanted = rng.choice((1, 4, 20))
    pending: list[tuple[Load, int]] = []
    seen: dict[int, int] = {}
    begin: int | None = None
    at_subscribe = rng.randrange(60)
    for step in range(120):
        rev = step + 1
        if rng.random() < 0.6:
            world.feed(row(minute, rev), row(minute + 1, rev, closed=False))
            minute += 1
        elif minute:
            world.feed(row(rng.randrange(minute), rev))  # a backfill
        if step == at_subscribe:
            world.subscribe(wanted)
            pending = [(load, len(world.topic)) for load in world.loads]
        for load, least in list(pending):
            if rng.random() < 0.1 or step == 119:  # read at least as far as memory needs
                stored = world.stored(upto=rng.randint(least, len(world.topic)))
                world.hub.finish(load, stored, is_whole=True)
                pending.remove((load, least))
        for one in (one for frame in world.received() for one in frame.get("data", [])):
            at, version = one["timestamp"] // MINUTE, 2 * one["rev"] + one["closed"]
            assert seen.get(at, -1) < version
            seen[at] = version
            begin = at if begin is None else begin
    assert begin is not None
    newest: dict[int, int] = {}
    for one in world.topic:
        at = one["timestamp"] // MINUTE
        newest[at] = max(newest.get(at, -1), 2 * one["rev"] + 1)
    for at in range(begin, minute):
        assert seen[at] == newest[at]
