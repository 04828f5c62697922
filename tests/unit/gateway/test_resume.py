"""Going on from a position: every closed candle once, whatever was missed, and never a gap."""

import json
import random

import pytest

from schemas.intervals import Interval
from sinks.gateway import candles, protocol
from sinks.gateway.history import History
from sinks.gateway.hub import Hub
from sinks.gateway.loads import Load

MINUTE = 60_000


class Topic:
    """``md.klines.v1`` of two partitions, and hubs that have read it so far."""

    def __init__(self, *, kept: int = 500, since: int = 0) -> None:
        self.hub = Hub(History(candles_per_series=kept), [Interval(MINUTE)])
        self.hub.history.since = {0: since, 1: since}
        self.ends = {0: since, 1: since}
        self.published: set[tuple[str, int, int]] = set()

    def close(self, symbol: str, minute: int, rev: int, partition: int = 0) -> None:
        self._put(symbol, minute, rev, partition, self.ends[partition], closed=True)
        self.ends[partition] += 1
        self.published.add((symbol, minute, rev))

    def grow(self, symbol: str, minute: int, rev: int, partition: int = 0) -> None:
        self._put(symbol, minute, rev, partition, -1, closed=False)

    def _put(self, symbol, minute, rev, partition, offset, *, closed) -> None:
        row = {
            "symbol": symbol, "interval": MINUTE, "timestamp": minute * MINUTE, "closed": closed,
            "rev": rev, "trade_count": 1,
        }  # fmt: skip
        value = {"exchange": "binance", "channel": "linear", "recv_ms": 1, "data": [row]}
        self.hub.accept(candles.read(json.dumps(value).encode(), partition, offset), 1)
        self.hub.flush()


class Program:
    """A client that keeps what it was sent, and its position, over any number of connections."""

    def __init__(self, topic: Topic, *symbols: str) -> None:
        self.hub = topic.hub
        self.symbols = symbols
        self.position: dict[str, int] = {}
        self.seen: list[tuple[str, int, int]] = []
        self.frames: list[dict] = []

    def connect(self, hub: Hub | None = None, *, initial_candles: int = 100) -> list[dict]:
        self.hub = hub or self.hub
        self.client = self.hub.connect(lambda: None)
        more = {"from_seq": self.position} if self.position else {}
        frame = {"timeframe": "1m", "initial_candles": initial_candles}
        items = [{"symbol": symbol, "timeframes": [frame], **more} for symbol in self.symbols]
        text = json.dumps({"action": "subscribe", "subscriptions": items})
        self.hub.handle(self.client, protocol.parse(text), 0)
        return self.read(1)[0]["subscriptions"]

    def read(self, frames_max: int = 1_000_000) -> list[dict]:
        """Take so many messages; what is not taken is lost with the connection."""
        while self.client.outbox.waits:
            self.frames += map(json.loads, self.client.outbox.take())
        taken, self.frames = self.frames[:frames_max], self.frames[frames_max:]
        for frame in taken:
            if frame.get("snapshot"):
                self.seen = [each for each in self.seen if each[0] != frame["data"][0]["symbol"]]
            self.seen += [
                (row["symbol"], row["timestamp"] // MINUTE, row["rev"])
                for row in frame.get("data", [])
                if row["closed"]
            ]
            self.position |= frame.get("seq", {})
        return taken

    def kill(self) -> None:
        self.hub.disconnect(self.client)
        self.frames = []


def test_a_snapshot_tells_a_position_and_every_closed_candle_a_higher_one():
    topic = Topic()
    topic.close("A", 1, 1)
    program = Program(topic, "A")
    program.connect()
    assert program.read()[-1]["seq"] == {"0": 0, "1": -1}
    topic.grow("A", 2, 2)
    assert "seq" not in program.read()[-1]
    topic.close("A", 2, 3)
    assert program.read()[-1]["seq"] == {"0": 1}


def test_what_was_missed_comes_in_the_order_of_the_topic_then_what_is_open_then_live():
    topic = Topic()
    program = Program(topic, "A", "B")
    program.connect()
    topic.close("A", 1, 1)
    program.read()
    program.kill()
    topic.close("B", 1, 2)
    topic.close("A", 2, 3)
    topic.close("A", 1, 4)  # a correction
    topic.grow("B", 2, 5)
    told = program.connect()
    assert [(each["candles"], each["data_status"]["historical_loading"]) for each in told] == [
        (2, False), (1, False),
    ]  # fmt: skip
    (frame,) = program.read()
    assert "snapshot" not in frame
    assert [(r["symbol"], r["rev"]) for r in frame["data"]] == [
        ("B", 2), ("A", 3), ("A", 4), ("B", 5),
    ]  # fmt: skip
    assert frame["seq"] == {"0": 3}
    topic.close("B", 2, 6)
    assert program.read()[-1]["seq"] == {"0": 4}


@pytest.mark.parametrize("seed", range(30))
def test_a_program_killed_at_any_message_sees_every_closed_candle_once(seed):
    rng = random.Random(seed)
    topic = Topic()
    symbols = ("A", "B", "C")
    program = Program(topic, *symbols)
    program.connect()
    program.read()
    minute = 0
    for _ in range(100):
        for _ in range(rng.randrange(8)):
            minute += 1
            at = rng.randrange(3)
            topic.close(symbols[at], minute, minute, at % 2)
            topic.grow(symbols[at], minute + 1_000, minute, at % 2)
        if rng.random() < 0.3:
            program.read(rng.randrange(4))
            program.kill()
            program.connect()
        if rng.random() < 0.5:
            program.read()
    program.read()
    assert len(program.seen) == len(set(program.seen))
    assert set(program.seen) == topic.published


def test_where_memory_forgot_or_began_later_there_is_a_snapshot_instead():
    topic = Topic(kept=3)
    program = Program(topic, "A")
    program.connect()
    topic.close("A", 1, 1)
    program.read()
    program.kill()
    for minute in range(2, 9):
        topic.close("A", minute, minute)
    program.connect()
    assert program.read()[-1]["snapshot"] is True

    late = Topic(since=100)
    late.close("A", 1, 1)
    for position, is_snapshot in ((98, True), (99, False), (100, False)):
        program = Program(late, "A")
        program.position = {"0": position, "1": position}
        program.connect()
        frames = program.read()
        assert bool(frames and frames[0].get("snapshot")) is is_snapshot


def test_a_position_of_another_partition_or_one_not_read_yet_proves_nothing():
    topic = Topic()
    topic.close("A", 1, 1)
    for position in ({"1": 0}, {"0": 7}):
        program = Program(topic, "A")
        program.position = position
        program.connect()
        assert program.read()[-1]["snapshot"] is True


def test_another_gateway_that_is_behind_lets_the_client_wait():
    ahead, behind = Topic(), Topic()
    for topic in (ahead, behind):
        topic.close("A", 1, 1)
    ahead.close("A", 2, 2)
    program = Program(ahead, "A")
    program.connect()
    program.read()
    text = {"symbol": "A", "timeframes": ["1m"], "from_seq": program.position}
    message = protocol.parse(json.dumps({"action": "subscribe", "subscriptions": [text]}))
    assert behind.hub.is_ahead(message.positions)
    behind.close("A", 2, 2)
    assert not behind.hub.is_ahead(message.positions)
    program.connect(behind.hub)
    behind.close("A", 3, 3)
    program.read()
    assert program.seen == [("A", 1, 1), ("A", 2, 2), ("A", 3, 3)]


def test_no_position_is_told_before_everything_asked_for_has_begun():
    topic = Topic(since=50)
    loads: list[Load] = []
    topic.hub.begin = loads.append
    topic.close("A", 1, 1)
    topic.close("B", 1, 2)
    program = Program(topic, "A", "B")
    program.connect()
    topic.close("A", 2, 3)
    assert program.read() == []
    first, second = loads
    topic.hub.finish(first, (), is_whole=True)
    topic.close("A", 3, 4)
    topic.close("A", 4, 5)
    assert all("seq" not in frame for frame in program.read())
    topic.hub.finish(second, (), is_whole=True)
    assert program.read()[-1]["seq"] == {"0": 54, "1": 49}


def test_a_record_is_never_cut_by_a_message_that_tells_its_offset(monkeypatch):
    monkeypatch.setattr("sinks.gateway.outbox.FRAME_BYTES_MAX", 1)
    topic = Topic()
    program = Program(topic, "A")
    program.connect()
    program.read()
    rows = [
        {"symbol": "A", "interval": MINUTE, "timestamp": minute * MINUTE, "closed": True,
         "rev": minute, "trade_count": 1}
        for minute in range(4)
    ]  # fmt: skip
    value = {"exchange": "binance", "channel": "linear", "recv_ms": 1, "data": rows}
    topic.hub.accept(candles.read(json.dumps(value).encode(), 0, 0), 1)
    topic.close("A", 9, 9)
    topic.hub.flush()
    assert program.read()[-1]["seq"] == {"0": 0} or len(program.seen) == 5
    assert [minute for _, minute, _ in program.seen][:4] == [0, 1, 2, 3]
