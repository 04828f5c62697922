"""The life of a connection, without one: time is a number."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.exchanges.base import Ack, Exchange, Heartbeat, Limits, Other, Rejected, Shutdown
from ingest.session import ACK_TIMEOUT_S, REFUSED_AGAIN_AFTER_S, End, Session

LIMITS = Limits(
    streams_per_socket_max=200,
    streams_per_request_max=50,
    requests_per_s_max=4,
    connections_per_5_min_max=300,
    lifetime_s=math.inf,
)


def request(op: str):
    return lambda topics, id_: json.dumps({"op": op, "topics": list(topics), "id": id_}).encode()


VENUE = Exchange(
    name="venue", markets={}, heartbeat=None, subscribe=request("+"), unsubscribe=request("-")
)
PINGED = Exchange(
    name="pinged",
    markets={},
    heartbeat=Heartbeat(frame=b"ping", interval_s=20.0, timeout_s=10.0),
    subscribe=request("+"),
    unsubscribe=request("-"),
)
TOPICS = ("a", "b")


def session(topics=TOPICS, *, exchange=VENUE, limits=LIMITS) -> Session:
    it = Session(exchange, limits, now_s=0.0, lifetime_s=1_000.0, stale_after_s=60.0)
    it.want(topics)
    return it


def live(topics=TOPICS, **options) -> Session:
    it = session(topics, **options)
    for frame in it.due(0.0):
        it.control(Ack(json.loads(frame)["id"]), 1.0)
    assert it.is_live
    return it


def asked(it: Session, now_s: float) -> list[tuple[str, list[str]]]:
    frames = [json.loads(frame) for frame in it.due(now_s)]
    return [(frame["op"], frame["topics"]) for frame in frames]


def test_every_topic_is_asked_for_once_in_bounded_requests() -> None:
    topics = [f"t{i}" for i in range(120)]
    it = session(topics)
    requests = [found for now_s in range(10) for found in asked(it, float(now_s))]
    assert [name for _, part in requests for name in part] == topics
    assert [len(part) for _, part in requests] == [50, 50, 20]


def test_a_request_stays_below_the_venues_bytes() -> None:
    limits = Limits(
        streams_per_socket_max=200,
        streams_per_request_max=200,
        requests_per_s_max=100,
        connections_per_5_min_max=300,
        lifetime_s=math.inf,
        request_bytes_max=1_000,
    )
    it = session([f"{i:040d}" for i in range(100)], limits=limits)
    frames = it.due(0.0)
    assert len(frames) > 1
    assert max(map(len, frames)) <= 1_000


@pytest.mark.parametrize("rate", [1, 4, 8])
def test_requests_keep_to_the_venues_rate(rate) -> None:
    limits = Limits(
        streams_per_socket_max=2_000,
        streams_per_request_max=50,
        requests_per_s_max=rate,
        connections_per_5_min_max=300,
        lifetime_s=math.inf,
    )
    it, sent_s = session([f"t{i}" for i in range(2_000)], limits=limits), []
    for tick in range(4_100):
        sent_s += [tick / 100] * len(it.due(tick / 100))
    assert len(sent_s) == 40
    assert all(b - a >= 1.0 for a, b in zip(sent_s, sent_s[rate:], strict=False))


def test_requests_keep_to_the_venues_number_an_hour() -> None:
    limits = Limits(
        streams_per_socket_max=200,
        streams_per_request_max=1,
        requests_per_s_max=10,
        connections_per_5_min_max=300,
        lifetime_s=math.inf,
        requests_per_hour_max=5,
    )
    it = session([f"t{i}" for i in range(12)], limits=limits)
    counts = []
    for hour in range(3):
        sent = sum(len(it.due(hour * 3_600.0 + tick)) for tick in range(60))
        counts.append(sent)
    assert counts == [5, 5, 2]


def test_it_is_live_when_the_last_request_is_acknowledged() -> None:
    it = session([f"t{i}" for i in range(60)])
    assert len(it.due(0.0)) == 2
    it.control(Ack(2), 0.1)
    assert not it.is_live
    it.control(Ack(1), 0.1)
    assert it.is_live
    assert it.verdict(1.0) is None


def test_a_venue_may_acknowledge_topic_by_topic() -> None:
    it = session()
    it.due(0.0)
    it.control(Ack(None, "b"), 0.1)
    assert it.active == {"b"}
    assert not it.is_live
    it.control(Ack(None, "a"), 0.1)
    assert it.is_live
    assert it.verdict(100.0) is not End.UNACKED


def test_a_missing_acknowledgement_ends_it() -> None:
    it = session()
    it.due(5.0)
    it.control(Ack(99), 5.0)
    it.heard(5.0 + ACK_TIMEOUT_S, is_data=True)  # data is no acknowledgement
    assert it.verdict(5.0 + ACK_TIMEOUT_S) is None
    assert it.verdict(5.1 + ACK_TIMEOUT_S) is End.UNACKED


def test_a_complaint_about_the_connection_ends_it_with_the_venues_words() -> None:
    it = session()
    it.due(0.0)
    it.control(Rejected(None, "too many requests"), 0.0)
    assert it.verdict(0.0) is End.REJECTED
    assert "too many" in it.rejection


def test_one_wrong_topic_of_a_refused_request_is_found_and_the_others_stream() -> None:
    it = session(("good", "bad", "fine"))
    it.due(0.0)
    it.control(Rejected(1, "bad is unknown"), 0.0)
    for now_s in (1.0, 2.0, 3.0):
        for frame in it.due(now_s):
            told = json.loads(frame)
            assert len(told["topics"]) == 1
            if told["topics"] == ["bad"]:
                it.control(Rejected(told["id"], "bad is unknown"), now_s)
            else:
                it.control(Ack(told["id"]), now_s)
    assert it.active == {"good", "fine"}
    assert it.refused == {"bad": "bad is unknown"}
    assert it.is_live
    assert it.verdict(3.0) is None


def test_a_refused_topic_is_asked_for_again_later() -> None:
    it = session(("bad",))
    it.due(0.0)
    it.control(Rejected(None, "no", "bad"), 0.0)
    assert asked(it, REFUSED_AGAIN_AFTER_S - 1) == []
    assert asked(it, REFUSED_AGAIN_AFTER_S) == [("+", ["bad"])]
    it.control(Ack(None, "bad"), REFUSED_AGAIN_AFTER_S)
    assert it.refused == {}


def test_what_is_wanted_may_change_at_any_time() -> None:
    it = live()
    it.want(("b", "c"))
    assert asked(it, 2.0) == [("-", ["a"]), ("+", ["c"])]
    it.control(Ack(2), 2.0)
    it.control(Ack(3), 2.0)
    assert it.active == {"b", "c"}
    assert asked(it, 3.0) == []


def test_a_renewed_topic_leaves_and_joins_once() -> None:
    it = live()
    it.renew(["a", "unknown"])
    assert asked(it, 2.0) == [("-", ["a"])]
    assert asked(it, 2.1) == []  # not before the venue said that it left
    it.control(Ack(2), 2.2)
    assert asked(it, 2.3) == [("+", ["a"])]
    it.control(Ack(3), 2.4)
    assert it.active == {"a", "b"}
    assert asked(it, 5.0) == []


def test_silence_ends_a_live_connection() -> None:
    it = live()
    it.heard(10.0, is_data=True)
    it.heard(50.0, is_data=False)
    it.control(Other("kline"), 50.0)  # not what was asked for
    assert it.verdict(70.0) is None
    assert it.verdict(70.1) is End.STALE


def test_our_own_pause_is_not_silence() -> None:
    it = live()
    it.paused(60.0)
    assert it.verdict(110.0) is None
    assert not it.has_data


def test_an_unanswered_ping_ends_it_and_any_frame_is_an_answer() -> None:
    it = live(exchange=PINGED)
    it.heard(1.0, is_data=False)
    assert it.due(20.0) == [b"ping"]
    assert it.due(39.0) == []
    assert it.verdict(30.0) is None
    assert it.verdict(30.1) is End.STALE
    it.heard(30.2, is_data=False)
    assert it.verdict(30.3) is None
    assert it.due(40.0) == [b"ping"]


def test_it_retires_by_age_and_at_the_venues_word() -> None:
    it = live()
    it.heard(999.0, is_data=True)
    assert it.verdict(999.0) is None
    assert it.verdict(1_000.0) is End.PLANNED
    it = live()
    it.control(Shutdown(), 2.0)
    assert it.verdict(2.0) is End.PLANNED


@given(st.lists(st.sets(st.sampled_from("abcdef")), min_size=1, max_size=8), st.data())
def test_it_ends_up_with_exactly_what_is_wanted_whatever_was_refused_before(wishes, data) -> None:
    it = session(())
    now_s = 0.0
    for wish in [*wishes, wishes[-1]]:
        it.want(sorted(wish))
        for _ in range(12):
            now_s += 1.0
            for frame in it.due(now_s):
                told = json.loads(frame)
                if data.draw(st.booleans()):
                    it.control(Ack(told["id"]), now_s)
                else:
                    for topic in told["topics"]:
                        it.control(Ack(None, topic), now_s)
    assert it.active == wishes[-1]


def test_what_the_venue_says_twice_or_of_others_harms_nothing() -> None:
    it = session(("a", "b"))
    it.due(0.0)
    for event in (Rejected(1, "no", "a"), Rejected(1, "no", "a"), Rejected(1, "no", "x"), Ack(9)):
        it.control(event, 0.1)
    assert it.refused == {"a": "no"}
    it.control(Ack(None, "b"), 0.2)
    assert it.is_live


def test_the_rest_of_a_request_that_only_got_a_refusal_is_asked_for_alone() -> None:
    it = session(("a", "bad", "c"))
    it.due(0.0)
    it.control(Rejected(1, "no", "bad"), 0.1)
    again = [found for now_s in range(1, 9) for found in asked(it, float(now_s))]
    assert sorted(topics[0] for _, topics in again) == ["a", "c"]
    assert all(len(topics) == 1 for _, topics in again)
    for id_ in (2, 3):
        it.control(Ack(id_), 9.0)
    assert it.verdict(12.0) is None
    assert it.is_live


def test_a_retiring_connection_that_died_is_found_dead() -> None:
    it = live()
    it.control(Shutdown(), 2.0)
    assert it.verdict(50.0) is End.PLANNED
    assert it.verdict(70.0) is End.STALE


def test_out_of_requests_it_is_replaced_and_nothing_is_left_half_renewed() -> None:
    limits = Limits(
        streams_per_socket_max=200,
        streams_per_request_max=50,
        requests_per_s_max=10,
        connections_per_5_min_max=300,
        lifetime_s=math.inf,
        requests_per_hour_max=4,
    )
    it = live(limits=limits)
    it.heard(2.0, is_data=True)
    it.renew(["a"])
    for id_ in (2, 3):
        assert len(it.due(2.0 + id_)) == 1
        it.control(Ack(id_), 2.0 + id_)
    assert it.active == {"a", "b"}
    assert it.verdict(6.0) is None
    it.renew(["b"])
    assert it.due(7.0) == [], "who leaves must have room to come back"
    assert it.verdict(7.0) is End.PLANNED
