"""The life of a connection, without one: time is a number."""

import json

import pytest

from ingest.exchanges.base import Ack, Other, Rejected, Shutdown
from ingest.exchanges.binance import EXCHANGE, LINEAR, SPOT
from ingest.session import ACK_TIMEOUT_S, End, Session


def session(market=SPOT, streams: int = 2) -> Session:
    return Session(
        EXCHANGE,
        market,
        [market.stream(f"S{i}USDT") for i in range(streams)],
        now_s=0.0,
        lifetime_s=1_000.0,
        stale_after_s=60.0,
    )


def live() -> Session:
    it = session()
    it.due(0.0)
    it.control(Ack(1), 1.0)
    return it


def test_every_stream_is_asked_for_once_in_bounded_requests() -> None:
    it, asked, ids = session(streams=120), [], []
    for now_s in range(10):
        for frame in it.due(float(now_s)):
            request = json.loads(frame)
            assert request["method"] == "SUBSCRIBE"
            assert len(request["params"]) <= SPOT.limits.streams_per_request_max
            asked += request["params"]
            ids.append(request["id"])
    assert asked == [f"s{i}usdt@trade" for i in range(120)]
    assert ids == [1, 2, 3]


@pytest.mark.parametrize("market", [SPOT, LINEAR])
def test_requests_keep_to_the_venues_rate(market) -> None:
    it, sent_s = session(market, streams=2_000), []
    for tick in range(2_000):
        sent_s += [tick / 100] * len(it.due(tick / 100))
    assert len(sent_s) == 40
    rate = market.limits.requests_per_s_max
    assert all(b - a >= 1.0 for a, b in zip(sent_s, sent_s[rate:], strict=False))


def test_it_is_live_when_the_last_request_is_acknowledged() -> None:
    it = session(streams=60)
    assert len(it.due(0.0)) == 2
    it.control(Ack(2), 0.1)
    assert not it.is_live
    it.control(Ack(1), 0.1)
    assert it.is_live
    assert it.verdict(1.0) is None


def test_a_missing_acknowledgement_ends_it() -> None:
    it = session()
    it.due(5.0)
    it.control(Ack(99), 5.0)
    it.data(5.0 + ACK_TIMEOUT_S)  # data is no acknowledgement
    assert it.verdict(5.0 + ACK_TIMEOUT_S) is None
    assert it.verdict(5.1 + ACK_TIMEOUT_S) is End.UNACKED


def test_a_refusal_ends_it_with_the_venues_words() -> None:
    it = session()
    it.due(0.0)
    it.control(Rejected(1, "Invalid request (code 2)"), 0.0)
    assert it.verdict(0.0) is End.REJECTED
    assert "Invalid request" in it.rejection


def test_silence_ends_a_live_connection() -> None:
    it = live()
    it.data(10.0)
    it.control(Other("kline"), 50.0)  # not what was asked for
    assert it.verdict(70.0) is None
    assert it.verdict(70.1) is End.STALE


def test_our_own_pause_is_not_silence() -> None:
    it = live()
    it.paused(60.0)
    assert it.verdict(110.0) is None
    assert not it.has_data


def test_it_retires_by_age_and_at_the_venues_word() -> None:
    it = live()
    it.data(999.0)
    assert it.verdict(999.0) is None
    assert it.verdict(1_000.0) is End.PLANNED
    it = live()
    it.control(Shutdown(), 2.0)
    assert it.verdict(2.0) is End.PLANNED
