"""What holds for every venue, whichever it is."""

import json
import pkgutil
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from venue_frames import ANSWERS, MESSAGES, assert_sound, documented, packed

from ingest import exchanges
from ingest.exchanges import EXCHANGES, exchange
from ingest.exchanges.base import KIND_OF, Chain, TradeRow
from runtime.errors import Misconfigured, Poison
from schemas.streams import KINDS

VENUES = pytest.mark.parametrize("venue", EXCHANGES.values(), ids=lambda v: v.name)
EVERY_MARKET = [(v, m) for v in EXCHANGES.values() for m in v.markets.values()]
MARKETS = pytest.mark.parametrize(
    ("venue", "market"), EVERY_MARKET, ids=[f"{v.name}-{m.channel}" for v, m in EVERY_MARKET]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=12,
)
HOSTILE = [
    b"",
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"e":' * 50_000,
    b'{"stream":"x","data":' + b"[" * 100_000,
    b"[" * 1_000 + b"1" + b"]" * 1_000,
    b'[{"e":"kline"},' * 900 + b"1" + b"]" * 900,
]
LONG = "1000000MOGUSDT"


def test_every_module_in_the_folder_is_registered() -> None:
    modules = {m.name for m in pkgutil.iter_modules(exchanges.__path__)} - {"base"}
    assert modules == set(EXCHANGES)
    assert all(name == venue.name for name, venue in EXCHANGES.items())


def test_an_unknown_exchange_is_refused_with_the_known_ones() -> None:
    with pytest.raises(Misconfigured) as refused:
        exchange("bnance")
    assert refused.value.setting == "STREAMER_EXCHANGE"
    assert all(name in str(refused.value) for name in EXCHANGES)


@VENUES
def test_channels_are_what_they_are_filed_under(venue) -> None:
    assert venue.markets
    assert all(market.channel == channel for channel, market in venue.markets.items())


@MARKETS
def test_every_kind_comes_one_way_and_trades_come_first(venue, market) -> None:
    streamed = [s.kind for s in market.subscriptions]
    polled = [p.kind for p in market.polls]
    assert streamed[0] == "trades"
    assert len({*streamed, *polled}) == len(streamed + polled)
    assert {*streamed, *polled} <= set(KINDS)


@MARKETS
def test_every_streamed_kind_is_read_from_its_documented_frame(venue, market) -> None:
    messages = MESSAGES[venue.name, market.channel]
    assert set(messages) == {s.kind for s in market.subscriptions}
    for kind, message in messages.items():
        rows = market.parse(packed(message))
        assert_sound(rows)
        assert kind in {KIND_OF.get(type(row)) for row in rows}


@MARKETS
def test_trades_are_of_the_kind_that_is_streamed(venue, market) -> None:
    rows = market.parse(packed(MESSAGES[venue.name, market.channel]["trades"]))
    assert rows
    assert all(type(row) is TradeRow and row.kind == market.trade_kind for row in rows)


@MARKETS
def test_answers_are_no_data_and_are_not_refused(venue, market) -> None:
    for answer in ANSWERS[venue.name]:
        told = market.parse(packed(answer))
        assert told
        assert all(type(event) not in KIND_OF for event in told)


@MARKETS
def test_every_subscription_has_topics_and_a_path(venue, market) -> None:
    for subscription in market.subscriptions:
        assert subscription.path.startswith("/")
        topics = subscription.topics("BTCUSDT")
        assert topics
        assert all(topics)
        assert len(set(topics)) == len(topics)
        assert list(topics) == list(subscription.topics("BTCUSDT"))
    trades = market.subscriptions[0]
    assert not set(trades.topics("BTCUSDT")) & set(trades.topics("ETHUSDT"))


@MARKETS
def test_a_full_request_is_json_that_stays_within_the_limits(venue, market) -> None:
    limits = market.limits
    for subscription in market.subscriptions:
        symbols = [f"{LONG}{i}" for i in range(limits.streams_per_request_max)]
        topics = [t for symbol in symbols for t in subscription.topics(symbol)]
        topics = list(dict.fromkeys(topics))[: limits.streams_per_request_max]
        asked, unasked = venue.subscribe(topics, 7), venue.unsubscribe(topics, 7)
        assert json.loads(asked) != json.loads(unasked)
        assert max(len(asked), len(unasked)) <= limits.request_bytes_max


@MARKETS
def test_subscribing_and_unsubscribing_name_the_same_symbols(venue, market) -> None:
    for symbol in ("BTCUSDT", "ETHUSDT"):
        for topic in market.subscriptions[0].topics(symbol):
            for request in (venue.subscribe([topic], 7), venue.unsubscribe([topic], 7)):
                assert symbol.lower() in request.decode().lower()


@MARKETS
def test_limits_leave_room_to_work(venue, market) -> None:
    limits = market.limits
    assert 0 < limits.streams_per_request_max <= limits.streams_per_socket_max
    assert limits.requests_per_s_max > 0
    assert limits.connections_per_5_min_max > 0
    assert limits.lifetime_s > 600
    assert market.rest_budget.window_s > 0


@MARKETS
def test_requests_are_paths_that_fit_the_budget(venue, market) -> None:
    requests = [*market.instruments, market.activity, *(p.request("BTCUSDT") for p in market.polls)]
    if market.book is not None and market.book.snapshot is not None:
        requests.append(market.book.snapshot("BTCUSDT"))
    assert market.rest_url.startswith("https://")
    assert market.socket_url.startswith("wss://")
    for request in requests:
        assert request.path.startswith("/")
        assert request.path.isascii()
        assert 0 < request.weight <= market.rest_budget.weight_max
    assert all(poll.every_s >= 1 for poll in market.polls)


@MARKETS
def test_documented_symbols_have_the_venues_form(venue, market) -> None:
    for message in MESSAGES[venue.name, market.channel].values():
        for row in market.parse(packed(message)):
            assert re.fullmatch(market.symbol_form, row.symbol), row


@MARKETS
def test_a_venues_clock_is_asked_cheaply_and_read_or_refused(venue, market) -> None:
    if market.clock is None:
        assert venue.name == "hyperliquid"
        return
    assert market.clock.request.path.startswith("/")
    assert 0 < market.clock.request.weight <= market.rest_budget.weight_max
    assert market.clock.resolution_ms >= 1
    for body in (*HOSTILE, b"null", b"{}", b'{"time":"soon"}'):
        with pytest.raises(Poison):
            market.clock.read(body)


@MARKETS
def test_a_book_rule_stands_where_books_are_streamed(venue, market) -> None:
    is_streamed = "books" in {s.kind for s in market.subscriptions}
    assert (market.book is not None) == is_streamed
    if market.book is not None:
        assert (market.book.snapshot is None) == (market.book.read_snapshot is None)
        (row,) = market.parse(packed(MESSAGES[venue.name, market.channel]["books"]))
        for last_id in (0, row.first_id, row.last_id, row.last_id + 10):
            for is_first in (True, False):
                assert type(market.book.chain(last_id, row, is_first)) is Chain


@pytest.mark.parametrize(("venue", "market"), [(v, m) for v, m in EVERY_MARKET if m.in_base])
def test_rows_in_base_coins_stay_what_they_are(venue, market) -> None:
    for message in MESSAGES[venue.name, market.channel].values():
        for row in market.parse(packed(message)):
            if type(row) in KIND_OF:
                based = market.in_base(row, "0.01")
                assert (type(based), based.symbol) == (type(row), row.symbol)
                assert_sound([based])


@VENUES
def test_a_heartbeat_waits_for_its_answer(venue) -> None:
    if venue.heartbeat is not None:
        assert venue.heartbeat.frame
        assert venue.heartbeat.interval_s > 0
        assert venue.heartbeat.timeout_s > 0


def assert_read_or_refused(market, frame: bytes) -> None:
    try:
        inbound = market.parse(frame)
    except Poison as e:
        refused = e
    else:
        refused = None
        assert_sound(inbound)
    if refused is not None:
        assert refused.payload == frame
        assert refused.reason


@MARKETS
@given(frame=st.binary(max_size=200))
def test_arbitrary_bytes_are_read_or_refused_and_nothing_else(venue, market, frame: bytes) -> None:
    assert_read_or_refused(market, frame)


@MARKETS
@given(message=JSON)
def test_arbitrary_json_is_read_or_refused_and_nothing_else(venue, market, message) -> None:
    assert_read_or_refused(market, json.dumps(message).encode())


@MARKETS
@given(data=st.data())
def test_a_documented_frame_with_a_part_replaced_is_read_or_refused(venue, market, data) -> None:
    message = json.loads(data.draw(st.sampled_from(documented(venue.name, market.channel))))
    at = message
    while isinstance(at, dict | list) and at:
        key = data.draw(st.sampled_from(list(at) if isinstance(at, dict) else range(len(at))))
        if not isinstance(at[key], dict | list) or data.draw(st.booleans()):
            at[key] = data.draw(JSON)
            break
        at = at[key]
    assert_read_or_refused(market, json.dumps(message).encode())


@MARKETS
@pytest.mark.parametrize("frame", HOSTILE, ids=lambda frame: frame[:20].decode("latin-1"))
def test_hostile_frames_are_refused(venue, market, frame: bytes) -> None:
    with pytest.raises(Poison) as refused:
        market.parse(frame)
    assert refused.value.payload == frame


@MARKETS
@pytest.mark.parametrize("key", ["error", "code", "id", "result", "event", "op", "channel", "data"])
def test_a_hostile_answer_is_read_or_refused(venue, market, key: str) -> None:
    deep = b"[" * 1_000 + b"]" * 1_000
    assert_read_or_refused(market, b'{"%s":%s,"msg":%s,"id":1}' % (key.encode(), deep, deep))


def is_empty_or_refused(read) -> bool:
    try:
        return not read()
    except Poison as e:
        return bool(e.reason)


@MARKETS
@pytest.mark.parametrize("body", [*HOSTILE, b"null", b"[]", b"{}", b"[[]]", b'"text"', b"<html>"])
def test_bodies_that_are_none_are_refused_or_empty(venue, market, body: bytes) -> None:
    readers = [
        lambda: market.read_instruments([body] * len(market.instruments)),
        lambda: market.read_activity(body),
        *(lambda poll=poll: poll.read(body, 1_770_000_000_000) for poll in market.polls),
    ]
    for read in readers:
        assert is_empty_or_refused(read)
    if market.book is not None and market.book.read_snapshot is not None:
        with pytest.raises(Poison):
            market.book.read_snapshot(body, "BTCUSDT", 1_770_000_000_000)
