"""What clients see: newest revisions only, closed candles always, open ones conflated."""

import json
import random
from functools import partial
from itertools import product

import pytest
from msgspec import to_builtins

from schemas.control import IntervalControl
from schemas.intervals import Interval, parse_intervals
from schemas.wanted import WantedIntervals
from sinks.gateway import candles, hub, protocol
from sinks.gateway.history import History
from sinks.gateway.hub import Client, Hub
from sinks.gateway.outbox import FRAME_BYTES_MAX, Outbox

MINUTE = 60_000


def record(
    *rows, symbol="BTCUSDT", interval=MINUTE, channel="linear", recv_ms=1_000, **more
) -> bytes:
    """One record; a row is (minute, rev, closed) or with a trade_count."""
    data = [
        {
            "symbol": symbol, "interval": interval, "timestamp": minute * interval,
            "open": 1.5, "closed": closed, "rev": rev, "trade_count": (count or [1])[0], **more,
        }
        for minute, rev, closed, *count in rows
    ]  # fmt: skip
    envelope = {"exchange": "binance", "channel": channel, "data_type": "klines"}
    return json.dumps({**envelope, "recv_ms": recv_ms, "data": data}).encode()


def feed(to: Hub, *rows, now_ms=1_000, **more) -> None:
    to.accept(candles.read(record(*rows, **more)), now_ms)
    to.flush()


def say(to: Hub, client: Client, action: str, **item) -> None:
    item = {"symbol": "BTCUSDT", "timeframes": ["1m"], **item}
    text = json.dumps({"action": action, "subscriptions": [item]})
    to.handle(client, protocol.parse(text), 0)


def received(client: Client) -> list[dict]:
    frames = []
    while taken := client.outbox.take():
        frames += map(json.loads, taken)
    return frames


def rows(frames: list[dict]) -> list[tuple[int, int, bool]]:
    return [
        (row["timestamp"] // row["interval"], row["rev"], row["closed"])
        for frame in frames
        for row in frame.get("data", [])
    ]


@pytest.fixture
def world() -> Hub:
    return Hub(History(), [Interval(1_000), Interval(MINUTE)])


@pytest.fixture
def client(world) -> Client:
    return world.connect(lambda: None)


def test_a_subscriber_gets_an_ack_then_the_last_closed_candles_oldest_first_then_changes(
    world, client
):
    feed(world, *[(minute, 10 + minute, True) for minute in range(5)], (5, 20, False))
    say(world, client, "subscribe", timeframes=[{"timeframe": "1m", "initial_candles": 2}])
    ack, snapshot = received(client)
    assert ack["type"] == "subscribed"
    assert ack["subscriptions"][0]["candles"] == 3
    assert snapshot["snapshot"] is True
    assert rows([snapshot]) == [(3, 13, True), (4, 14, True), (5, 20, False)]
    feed(world, (5, 21, True), recv_ms=77)
    (update,) = received(client)
    assert rows([update]) == [(5, 21, True)]
    assert update["recv_ms"] == 77
    assert "snapshot" not in update


def test_no_initial_candles_means_no_snapshot(world, client):
    feed(world, (1, 1, True))
    say(world, client, "subscribe", timeframes=[{"timeframe": "1m", "initial_candles": 0}])
    assert [frame["type"] for frame in received(client)] == ["subscribed"]


def test_a_closed_candle_beats_the_open_one_of_its_rev_and_nothing_older_comes_after(world, client):
    say(world, client, "subscribe")
    for row in [
        (1, 5, False),
        (1, 5, True),
        (1, 5, False),
        (1, 4, True),
        (1, 5, True),
        (1, 6, True),
    ]:
        feed(world, row)
    assert rows(received(client)[1:]) == [(1, 5, True), (1, 6, True)]


def test_open_candles_wait_once_and_closed_candles_all(world, client):
    say(world, client, "subscribe")
    for rev in range(100):
        feed(world, (1, rev, False))
    feed(world, (1, 100, True))
    feed(world, (2, 101, False))
    feed(world, (1, 102, True))
    feed(world, (2, 103, False))
    assert rows(received(client)[1:]) == [(1, 100, True), (2, 103, False), (1, 102, True)]


@pytest.mark.parametrize("seed", range(30))
def test_no_client_sees_a_version_go_back_or_misses_a_closed_revision(seed):
    rng = random.Random(seed)
    world = Hub(History(candles_per_series=3), [Interval(MINUTE)])
    client = world.connect(lambda: None)
    news: dict[int, int] = {}
    closed_news: list[tuple[int, int]] = []
    frames: list[dict] = []
    say(world, client, "subscribe")
    for _ in range(400):
        minute, rev, closed = rng.randrange(9), rng.randrange(60), rng.random() < 0.5
        feed(world, (minute, rev, closed))
        if news.get(minute, -1) < 2 * rev + closed:
            news[minute] = 2 * rev + closed
            if closed:
                closed_news.append((minute, rev))
        if rng.random() < 0.1:
            say(world, client, "subscribe")
        if rng.random() < 0.2:
            frames += map(json.loads, client.outbox.take())
    frames += received(client)
    seen: dict[int, int] = {}
    for minute, rev, closed in rows(frames):
        assert seen.get(minute, -1) <= 2 * rev + closed
        seen[minute] = 2 * rev + closed
    updates = [frame for frame in frames if not frame.get("snapshot")]
    assert [(minute, rev) for minute, rev, closed in rows(updates) if closed] == closed_news
    assert seen == news


def test_wildcards_reach_series_that_appear_later_and_each_row_once(world, client):
    feed(world, (1, 1, True), symbol="ETHUSDT")
    say(world, client, "subscribe", symbol="*", channel="*")
    say(world, client, "subscribe", symbol="SOLUSDT", channel="spot")
    received(client)
    feed(world, (1, 2, True), symbol="SOLUSDT", channel="spot")
    feed(world, (1, 3, True), symbol="ETHUSDT", interval=1_000)
    assert [frame["data"][0]["symbol"] for frame in received(client)] == ["SOLUSDT"]


def test_unsubscribing_a_wildcard_leaves_what_was_asked_for_by_name(world, client):
    feed(world, (1, 1, True))
    feed(world, (1, 1, True), symbol="ETHUSDT")
    say(world, client, "subscribe", symbol="*")
    say(world, client, "subscribe", symbol="BTCUSDT")
    received(client)
    say(world, client, "unsubscribe", symbol="*", timeframes=[])
    assert received(client)[0]["subscriptions"][0]["symbol"] == "*"
    feed(world, (2, 2, True))
    feed(world, (2, 2, True), symbol="ETHUSDT")
    assert [frame["data"][0]["symbol"] for frame in received(client)] == ["BTCUSDT"]
    say(world, client, "unsubscribe")
    received(client)
    feed(world, (3, 3, True))
    assert received(client) == []


def test_a_client_that_does_not_drain_is_dropped_with_a_reason_and_others_are_not(world):
    calls = []
    slow = world.connect(lambda: calls.append(1), Outbox(bytes_max=2_000))
    quick = world.connect(lambda: None, Outbox(bytes_max=2_000))
    for client in (slow, quick):
        say(world, client, "subscribe")
    got = []
    for minute in range(50):
        feed(world, (minute, minute, True))
        got += rows(received(quick))
    assert slow.dropped == hub.TOO_SLOW
    assert slow.outbox.bytes == 0
    assert slow not in world.clients
    assert quick.dropped is None
    assert [minute for minute, _, _ in got] == list(range(50))
    woken = len(calls)
    feed(world, (60, 60, True))
    assert len(calls) == woken


def test_an_outbox_counts_its_bytes_exactly_and_hands_out_a_frame_at_a_time(world, client):
    say(world, client, "subscribe", timeframes=["1m", "1s"])
    received(client)
    for rev in range(3_000):
        feed(world, (rev, rev, rev % 3 == 0), (rev + 1, rev, False))
    first = client.outbox.take()
    assert FRAME_BYTES_MAX / 2 < sum(map(len, first)) < FRAME_BYTES_MAX + 1_000
    received(client)
    assert client.outbox.bytes == 0


def test_rows_of_one_record_share_a_frame(world, client):
    say(world, client, "subscribe")
    received(client)
    feed(world, (1, 1, True), (2, 1, False))
    (frame,) = received(client)
    assert rows([frame]) == [(1, 1, True), (2, 1, False)]


def test_too_many_subscriptions_and_too_many_initial_candles_are_refused_whole(world, client):
    many = [{"symbol": f"S{n}", "timeframes": ["1m"]} for n in range(1_001)]
    text = json.dumps({"action": "subscribe", "subscriptions": many})
    with pytest.raises(protocol.Refused, match="1001 subscriptions"):
        world.handle(client, protocol.parse(text), 0)
    for symbol in range(25):
        feed(world, *[(minute, 1, True) for minute in range(500)], symbol=f"S{symbol}")
    with pytest.raises(protocol.Refused, match="12500 initial candles"):
        say(world, client, "subscribe", symbol="*",
            timeframes=[{"timeframe": "1m", "initial_candles": 500}])  # fmt: skip
    assert not client.keys
    feed(world, (501, 1, True), symbol="S1")
    assert received(client) == []


def test_the_ack_says_what_would_help_when_there_is_no_such_series(world, client):
    feed(world, (1, 1, True))
    say(world, client, "subscribe", symbol="btcusd")
    say(world, client, "subscribe", timeframes=["7m"])
    say(world, client, "subscribe", timeframes=["1s"])
    hints = [frame["subscriptions"][0]["hint"] for frame in received(client)]
    assert "BTCUSDT" in hints[0]
    assert "1s, 1m" in hints[1]
    assert hints[2] == "no candle yet"


def test_a_client_too_many_is_refused(world, monkeypatch):
    monkeypatch.setattr(hub, "CLIENTS_MAX", 1)
    client = world.connect(lambda: None)
    with pytest.raises(protocol.Refused):
        world.connect(lambda: None)
    world.disconnect(client)
    world.connect(lambda: None)


def test_trades_are_counted_once_and_latency_only_of_live_updates(world, client):
    feed(world, (1, 1, True, 900))
    world.is_live = True
    for interval in (1_000, MINUTE):
        feed(world, (2, 2, False, 10), interval=interval, now_ms=1_040)
        feed(world, (2, 3, False, 25), interval=interval, now_ms=1_060)
        feed(world, (2, 3, True, 25), interval=interval, now_ms=9_000)
    world.tick(5_000)
    stats = received(client)[-1]
    assert stats["trades_per_s"] == 25
    assert stats["latency_ms"] == {"p50": 40, "p99": 60}
    assert (stats["clients"], stats["symbols"], stats["time_ms"]) == (1, 1, 5_000)


def test_statistics_that_wait_are_replaced_and_can_be_declined(world, client):
    quiet = world.connect(lambda: None, wants_stats=False)
    for second in range(3):
        world.tick(second)
    assert [frame["time_ms"] for frame in received(client)] == [2]
    assert received(quiet) == []


WEEK = 7 * 86_400_000


def wanting(*removed: str, added: str = "") -> WantedIntervals:
    wanted = WantedIntervals(parse_intervals(["1s", "1m"]))
    for text in (*removed, *filter(None, [added])):
        control = IntervalControl(interval=text, enabled=text == added)
        wanted.take(f"interval:{text}".encode(), json.dumps(to_builtins(control)).encode())
    return wanted


def test_windows_of_one_length_and_different_anchors_are_different_series(world, client):
    say(world, client, "subscribe", timeframes=["1w@mon", "7D"])
    feed(world, (1, 5, True), interval=WEEK, anchor="mon")
    feed(world, (1, 6, True), interval=WEEK, anchor="sun")
    feed(world, (1, 7, True), interval=WEEK)
    ack, *frames = received(client)
    assert [(s["timeframe"], s["interval"], s["anchor"]) for s in ack["subscriptions"]] == [
        ("1w@mon", WEEK, "mon"),
        ("7D", WEEK, ""),
    ]
    assert [row["rev"] for frame in frames for row in frame["data"]] == [5, 7]


def test_an_added_interval_is_made_here(world, client):
    say(world, client, "subscribe", timeframes=["1w"])
    assert "no 1w@mon candles are made here" in received(client)[0]["subscriptions"][0]["hint"]
    world.want(wanting(added="1w@mon"))
    say(world, client, "subscribe", timeframes=["1w"])
    assert received(client)[0]["subscriptions"][0]["hint"].startswith("no candle of BTCUSDT yet")
    assert [interval.text for interval in world.intervals] == ["1s", "1m", "1w@mon"]


def test_subscriptions_to_a_removed_interval_end_with_the_reason(world, client):
    feed(world, (1, 5, True))
    say(world, client, "subscribe", timeframes=["1m", "1s"])
    received(client)
    world.want(wanting("1m"))
    (told,) = received(client)
    assert (told["type"], [s["timeframe"] for s in told["subscriptions"]]) == (
        "unsubscribed",
        ["1m"],
    )
    assert told["reason"] == "1m candles are made no more: the interval was removed"
    feed(world, (1, 6, True))
    feed(world, (1, 6, True), interval=1_000)
    assert [frame["data"][0]["interval"] for frame in received(client)] == [1_000]
    world.want(wanting("1m"))
    assert not received(client)


def test_a_removed_interval_is_refused_and_nothing_of_the_message_is_obeyed(world, client):
    feed(world, (1, 5, True))
    world.want(wanting("1m"))
    with pytest.raises(protocol.Refused, match="1m candles are made no more") as refused:
        say(world, client, "subscribe", timeframes=["1s", "1m"])
    assert "made are 1s" in refused.value.hint
    assert not client.keys
    assert [interval.text for interval in world.intervals] == ["1s"]
    world.want(wanting())
    say(world, client, "subscribe", timeframes=["1m"])
    assert rows(received(client)) == []  # what was known of it has a hole behind it
    feed(world, (9, 9, True))
    assert rows(received(client)) == [(9, 9, True)]


def test_a_client_that_cannot_be_sent_to_is_parted_with_and_the_rest_are_served(world):
    def breaks() -> None:
        if not broken[0].dropped:
            raise OverflowError

    served: list[int] = []
    broken = [world.connect(breaks)]
    for number in range(20):
        broken[0].tell("{}")
        world.connect(partial(served.append, number)).tell("{}")
    with pytest.raises(OverflowError):
        world.flush()
    world.flush()
    assert sorted(served) == list(range(20))
    assert (broken[0].dropped, broken[0] in world.clients) == (hub.BROKEN, False)


def test_a_pattern_finds_what_it_covers_without_a_look_at_every_series(world, monkeypatch):
    for symbol in ("A", "B"):
        for interval in (1_000, MINUTE):
            for channel in ("linear", "spot"):
                feed(world, (1, 1, True), symbol=symbol, channel=channel, interval=interval)
    series = list(world.history.series)
    names = product(("binance", "x", "*"), ("linear", "*"), ("A", "Z", "*"))
    keys = [protocol.Key(*name, Interval(MINUTE)) for name in names]
    covered = {key: sorted(each for each in series if key.covers(each)) for key in keys}
    monkeypatch.setattr(protocol.Key, "covers", lambda *_: pytest.fail("looked at one by one"))
    assert {key: sorted(each.key for each in world.fresh(key)) for key in keys} == covered


def test_many_names_with_a_wildcard_are_refused_whole_and_one_name_may_have_many_intervals(
    world, client
):
    items = [{"symbol": "*", "exchange": f"e{n}", "timeframes": ["1m"]} for n in range(51)]
    text = json.dumps({"action": "subscribe", "subscriptions": items})
    with pytest.raises(protocol.Refused, match="51 names") as refused:
        world.handle(client, protocol.parse(text), 0)
    assert refused.value.hint
    assert not client.keys
    say(world, client, "subscribe", symbol="*", timeframes=list(range(1, 200)))
    assert len(client.keys) == 199
    kinds = [{"symbol": "*", "exchange": f"e{n}", "data_type": "prices"} for n in range(50)]
    text = json.dumps({"action": "subscribe", "subscriptions": kinds})
    with pytest.raises(protocol.Refused, match="51 names"):
        world.handle(client, protocol.parse(text), 0)
