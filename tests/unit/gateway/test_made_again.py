"""An interval that is made for a while: nothing of it looks whole that is not, and its end is told.

Of symbol A there are candles of a minute; others than those are asked for.
"""

import json

import msgspec
import pytest

from schemas.control import interval_key
from schemas.intervals import Interval, parse_interval
from schemas.wanted import WantedIntervals
from sinks.gateway import candles, protocol
from sinks.gateway.history import History
from sinks.gateway.hub import Hub
from sinks.gateway.subscriptions import DEMANDED_PER_CLIENT_MAX

MINUTE = 60_000
SEVEN = parse_interval("7m")


class World:
    """A hub whose memory began within the topic, and whoever makes what it asks for."""

    def __init__(self, *, since: int = 100) -> None:
        self.hub = Hub(History(), [Interval(MINUTE)])
        self.hub.history.since[0] = since
        self.loads, self.asked = [], []
        self.hub.begin = self.loads.append
        self.hub.subscriptions.demand = self.asked.append
        self.wanted = WantedIntervals([Interval(MINUTE)])
        self.offset = since
        self.rev = 0
        self.put(("1m", 0))
        self.client = self.hub.connect(lambda: None)

    def put(self, *windows: tuple[str, int], closed: bool = True, symbol: str = "A") -> None:
        """Tell of windows by interval and number, in one record."""
        self.rev += 1
        rows = [
            {
                "symbol": symbol, "interval": parse_interval(text).length_ms,
                "timestamp": at * parse_interval(text).length_ms, "closed": closed,
                "rev": self.rev, "trade_count": 1,
            }
            for text, at in windows
        ]  # fmt: skip
        value = {"exchange": "binance", "channel": "linear", "recv_ms": 1, "data": rows}
        offset = self.offset if closed else -1
        self.offset += closed
        self.hub.accept(candles.read(json.dumps(value).encode(), 0, offset), 1)
        self.hub.flush()

    def make(self, text: str = "7m") -> None:
        self._said(text, self.wanted.prolonged(parse_interval(text), 1, 2))

    def end(self, text: str = "7m") -> None:
        self._said(text, None)

    def _said(self, text: str, control) -> None:
        value = None if control is None else msgspec.json.encode(control)
        self.wanted.take(interval_key(parse_interval(text)).encode(), value)
        self.hub.want(self.wanted)

    def subscribe(self, *timeframes: str, initial_candles: int = 2, client=None, **more) -> list:
        frames = [{"timeframe": t, "initial_candles": initial_candles} for t in timeframes]
        item = {"symbol": "A", "timeframes": frames, **more}
        text = json.dumps({"action": "subscribe", "subscriptions": [item]})
        self.hub.handle(client or self.client, protocol.parse(text), 0)
        return self.read(client)

    def read(self, client=None) -> list[dict]:
        found, outbox = [], (client or self.client).outbox
        while outbox.waits:
            found += map(json.loads, outbox.take())
        return found


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize("since", [0, 100])
def test_made_again_it_has_no_hole_that_looks_whole(since):
    world = World(since=since)
    world.make()
    for at in range(3):
        world.put(("7m", at))
    world.end()
    (answer,) = world.subscribe("7m")
    assert answer["subscriptions"][0]["data_status"]["historical_loading"] is True
    assert world.asked == [SEVEN]
    world.make()
    world.put(("7m", 200), closed=False)
    (load,) = world.loads
    assert [each.timestamp for each in load.snapshot([])] == [200 * 7 * MINUTE]
    other = world.hub.connect(lambda: None)
    (answer,) = world.subscribe("7m", client=other)
    assert answer["subscriptions"][0]["data_status"]["historical_loading"] is True


def test_a_late_candle_of_what_has_ended_does_not_make_it_again(world):
    world.make()
    world.put(("7m", 0))
    world.end()
    world.put(("7m", 1))
    assert SEVEN not in world.hub.intervals
    world.subscribe("7m", initial_candles=1)
    assert world.asked == [SEVEN]
    world.make()
    world.put(("7m", 200), closed=False)
    assert [
        list(s.candles) for k, s in world.hub.history.series.items() if k.interval == SEVEN
    ] == [[200 * 7 * MINUTE]]


def test_what_was_not_always_made_is_asked_of_the_warehouse_from_the_first_time_on():
    world = World(since=0)
    world.make()
    world.put(("7m", 5))
    (answer,) = world.subscribe("7m")
    assert answer["subscriptions"][0]["data_status"]["historical_loading"] is True
    assert len(world.loads) == 1


def test_what_has_ended_is_counted_no_more_and_the_rest_goes_on(world):
    history, bytes_before = world.hub.history, world.hub.history.bytes
    world.make("1s")
    world.put(("1s", 0), ("1m", 1), closed=False)
    grown = history.bytes
    world.end("1s")
    assert [key.interval for key in history.series] == [Interval(MINUTE)]
    assert bytes_before < history.bytes < grown
    world.hub.is_live = True
    world.put(("1m", 1), closed=False)
    assert world.hub.meter.tick()["trades_per_s"] == 0  # one trade, and it was counted: no more
    everywhere = protocol.Key("*", "*", "*", Interval(1_000))
    assert world.hub.fresh(everywhere) == []


def test_a_position_is_told_only_while_nothing_waits_for_its_snapshot(world):
    world.subscribe("1m", "7m", initial_candles=0)
    world.subscribe("7m", initial_candles=100)
    world.put(("7m", 0), closed=False)
    assert world.client.is_behind
    world.put(("7m", 0))
    world.put(("1m", 1))
    assert [row["interval"] for f in world.read() for row in f["data"] if "seq" in f] == []
    (load,) = world.loads
    world.hub.finish(load, (), is_whole=True)
    (snapshot,) = world.read()
    assert (snapshot["snapshot"], snapshot["seq"]) == (True, {"0": world.offset - 1})


def test_no_row_of_the_record_with_which_an_interval_begins_has_a_position(world):
    world.subscribe("1m", initial_candles=0)
    world.subscribe("7m", initial_candles=100)
    world.put(("1m", 1), ("7m", 0))
    (told,) = world.read()
    assert told["data"][0]["interval"] == MINUTE
    assert "seq" not in told


def test_a_client_with_a_position_gets_a_snapshot_of_what_was_not_made_meanwhile(world):
    world.make()
    world.put(("7m", 0))
    position = {"0": world.offset - 1}
    world.end()
    world.make()
    (answer,) = world.subscribe("7m", initial_candles=5, from_seq=position)
    assert answer["subscriptions"][0]["data_status"]["historical_loading"] is True
    world.put(("7m", 200))
    (answer,) = world.subscribe("7m", initial_candles=5, from_seq=position)
    assert answer["subscriptions"][0]["data_status"]["historical_loading"] is True


def test_one_that_is_pushed_out_ends_with_a_reason(world):
    world.make()
    world.put(("7m", 0), closed=False)
    world.subscribe("7m", "1m", initial_candles=0)
    world.end()
    (told,) = world.read()
    assert told["type"] == "unsubscribed"
    assert [each["timeframe"] for each in told["subscriptions"]] == ["7m"]
    assert told["reason"].startswith("7m candles are made no more: they were on demand")
    assert [key.interval for key in world.client.keys] == [Interval(MINUTE)]
    assert world.hub.wanted_intervals() == {Interval(MINUTE)}


def test_one_client_has_but_its_share_of_what_is_made_on_demand(world):
    many = [f"{n}m" for n in range(100, 101 + DEMANDED_PER_CLIENT_MAX)]
    with pytest.raises(protocol.Refused, match="5 intervals on demand, 4 are allowed"):
        world.subscribe(*many)
    assert not world.asked
    world.subscribe(*many[:-1])
    with pytest.raises(protocol.Refused, match="on demand"):
        world.subscribe(many[-1])
    for text in many[:-1]:
        world.make(text)
    unsubscribe = '{"action":"unsubscribe","subscriptions":[{"symbol":"*"}]}'
    world.hub.handle(world.client, protocol.parse(unsubscribe), 0)
    with pytest.raises(protocol.Refused, match="on demand"):
        world.subscribe(many[-1])  # what it asked for is still made
    world.end(many[0])
    world.subscribe(many[-1])
    assert len(world.asked) == DEMANDED_PER_CLIENT_MAX + 1


def test_nothing_is_made_for_a_symbol_that_nobody_knows(world):
    for name in ({"symbol": "B"}, {"symbol": "*", "exchange": "okx", "channel": "spot"}):
        *_, answer = world.subscribe("7m", **name)
        (told,) = answer["subscriptions"]
        assert told["hint"].startswith("no 7m candles are made for")
        assert told["data_status"]["historical_loading"] is False
    assert not world.asked
    assert world.hub.wanted_intervals() == set()
    world.put(("1m", 1), symbol="B")
    assert world.hub.wanted_intervals() == {SEVEN}


def test_a_symbol_that_its_exchange_lists_is_known_and_so_is_any_of_a_market(world):
    world.hub.subscriptions.lists = lambda key: key.symbol == "NEW"
    world.subscribe("7m", symbol="NEW")
    world.subscribe("9m", symbol="*", exchange="*")
    assert world.asked == [SEVEN, parse_interval("9m")]
