"""Clients are told while trades of their symbol are missing, and while they are fetched."""

import json

import pytest
from msgspec import json as msgjson

from runtime.errors import Poison
from schemas.intervals import Interval
from schemas.klines import Gap, GapEnvelope, StreamGap, StreamGapEnvelope
from sinks.gateway import candles, protocol
from sinks.gateway.gaps import WHOLE, Gaps
from sinks.gateway.history import History
from sinks.gateway.hub import Hub

MARKET = ("binance", "linear", "BTCUSDT")


def told(first: int, last: int, state: str) -> bytes:
    gap = Gap("BTCUSDT", first, last, 1, 2, last - first + 1, state, 5)
    return msgjson.encode(GapEnvelope("binance", "linear", [gap]))


def stream(
    state: str, kind: str = "trades", symbol: str = "BTCUSDT", *, from_ms: int = 7, to_ms: int = 0
) -> bytes:
    gap = StreamGap(
        symbol=symbol, kind=kind, reason="silent", state=state, from_ms=from_ms, to_ms=to_ms
    )
    return msgjson.encode(StreamGapEnvelope("binance", "linear", [gap]))


def test_a_gap_that_is_told_whole_may_be_mended_in_parts() -> None:
    gaps = Gaps()
    assert gaps.take(told(10, 20, "found")) == [MARKET]
    assert gaps.status(MARKET) == (False, False, "gap")
    assert gaps.take(told(10, 20, "recovering")) == [MARKET]
    assert gaps.status(MARKET) == (False, True, "gap")
    assert gaps.take(told(10, 14, "recovered")) == []
    assert gaps.take(told(16, 20, "unrecoverable")) == []
    assert gaps.status(MARKET) == (False, True, "gap")
    assert gaps.take(told(15, 15, "recovered")) == [MARKET]
    assert gaps.status(MARKET) == WHOLE


def test_a_silent_stream_of_trades_is_a_gap_until_it_delivers_again() -> None:
    gaps = Gaps()
    assert gaps.take(stream("found", kind="books")) == []
    assert gaps.take(stream("found", symbol="")) == []
    assert gaps.take(stream("found")) == [MARKET]
    assert gaps.status(MARKET).data_quality == "gap"
    assert gaps.take(stream("recovered")) == [MARKET]
    assert gaps.status(MARKET) == WHOLE


@pytest.mark.parametrize("state", ["recovered", "unrecoverable"])
def test_what_is_said_later_of_an_older_span_leaves_the_open_one(state) -> None:
    gaps = Gaps()
    gaps.take(stream("found", from_ms=7))
    assert gaps.take(stream("recovered", from_ms=7, to_ms=9)) == [MARKET]
    assert gaps.take(stream("found", from_ms=20)) == [MARKET]
    assert gaps.take(stream(state, from_ms=7, to_ms=9)) == []
    assert gaps.status(MARKET).data_quality == "gap"
    assert gaps.take(stream("recovered", from_ms=20, to_ms=21)) == [MARKET]


def test_a_span_that_a_killed_ingestor_left_open_ends_with_its_successors() -> None:
    gaps = Gaps()
    gaps.take(stream("found", from_ms=7))
    assert gaps.take(stream("found", from_ms=12)) == []  # nobody streamed since
    assert gaps.take(stream("recovered", from_ms=12, to_ms=20)) == [MARKET]
    assert gaps.status(MARKET) == WHOLE


def test_what_is_no_gap_is_poison() -> None:
    with pytest.raises(Poison):
        Gaps().take(b"{}")


def test_who_follows_the_symbol_is_told_and_nobody_else() -> None:
    hub = Hub(History(), [Interval(1_000), Interval(60_000)])
    hub.is_live = True
    follower, other = hub.connect(lambda: None), hub.connect(lambda: None)
    for client, symbol in ((follower, "BTCUSDT"), (other, "ETHUSDT")):
        item = {"symbol": symbol, "timeframes": ["1s", "1m"]}
        text = json.dumps({"action": "subscribe", "subscriptions": [item]})
        hub.handle(client, protocol.parse(text), 0)
    for interval in (1_000, 60_000):
        for symbol in ("BTCUSDT", "ETHUSDT"):
            row = {"symbol": symbol, "interval": interval, "timestamp": 0, "closed": False,
                   "rev": 1, "trade_count": 1}  # fmt: skip
            value = {"exchange": "binance", "channel": "linear", "recv_ms": 1, "data": [row]}
            hub.accept(candles.read(json.dumps(value).encode()), 1)
    follower.outbox.clear()
    other.outbox.clear()
    hub.take_gaps(told(1, 9, "recovering"))
    assert json.loads(follower.outbox.take()[0]) == {
        "type": "data_status", "symbol": "BTCUSDT", "exchange": "binance", "channel": "linear",
        "timeframes": ["1s", "1m"],
        "data_status": {
            "historical_loading": False, "gap_recovery": True, "data_quality": "gap",
        },
    }  # fmt: skip
    assert other.outbox.take() == []
    item = {"symbol": "BTCUSDT", "timeframes": ["1m"]}
    text = json.dumps({"action": "subscribe", "subscriptions": [item]})
    hub.handle(follower, protocol.parse(text), 0)
    ack, snapshot = map(json.loads, follower.outbox.take())
    assert ack["subscriptions"][0]["data_status"]["gap_recovery"] is True
    assert snapshot["data_status"]["gap_recovery"] is True
