"""What holds for every venue, whichever it is."""

import json
import pkgutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest import exchanges
from ingest.exchanges import EXCHANGES, exchange
from ingest.exchanges.base import Ack, Other, Rejected, Shutdown, TradeRow
from runtime.errors import Misconfigured, Poison

VENUES = pytest.mark.parametrize("venue", EXCHANGES.values(), ids=lambda v: v.name)
TRADE = {
    "stream": "btcusdt@aggTrade",
    "data": {
        "e": "aggTrade",
        "E": 1616202009196,
        "s": "BTCUSDT",
        "a": 389551486,
        "p": "58665.00",
        "q": "0.043",
        "f": 621622993,
        "l": 621622994,
        "T": 1616202009188,
        "m": False,
    },
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=12,
)


def test_every_module_in_the_folder_is_registered() -> None:
    modules = {m.name for m in pkgutil.iter_modules(exchanges.__path__)} - {"base"}
    assert modules == set(EXCHANGES)
    assert all(name == venue.name for name, venue in EXCHANGES.items())


def test_an_unknown_exchange_is_refused_with_the_known_ones() -> None:
    with pytest.raises(Misconfigured) as refused:
        exchange("bnance")
    assert refused.value.setting == "STREAMER_EXCHANGE"
    assert all(name in str(refused.value) for name in EXCHANGES)


def read_or_refused(venue, frame: bytes) -> None:
    try:
        inbound = venue.parse(frame)
    except Poison as e:
        refused = e
    else:
        refused = None
    if refused:
        assert refused.payload == frame
        assert refused.reason
    else:
        assert all(type(i) in (TradeRow, Ack, Rejected, Shutdown, Other) for i in inbound)


@VENUES
@given(frame=st.binary(max_size=200))
def test_arbitrary_bytes_are_read_or_refused_and_nothing_else(venue, frame: bytes) -> None:
    read_or_refused(venue, frame)


@VENUES
@given(message=JSON)
def test_arbitrary_json_is_read_or_refused_and_nothing_else(venue, message) -> None:
    read_or_refused(venue, json.dumps(message).encode())


@VENUES
@settings(max_examples=300)
@given(field=st.sampled_from(sorted(TRADE["data"])), value=JSON | st.binary(max_size=9))
def test_a_trade_with_one_field_replaced_is_read_or_refused(venue, field: str, value) -> None:
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    read_or_refused(venue, json.dumps(TRADE | {"data": TRADE["data"] | {field: text}}).encode())


@VENUES
@settings(max_examples=300)
@given(data=st.data())
def test_a_trade_with_bytes_changed_is_read_or_refused(venue, data) -> None:
    frame = bytearray(json.dumps(TRADE).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(frame) - 1))
        frame[at : at + data.draw(st.integers(0, 5))] = data.draw(st.binary(max_size=5))
    read_or_refused(venue, bytes(frame))


@VENUES
@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"e":' * 50_000,
        b'{"stream":"x","data":' + b"[" * 100_000,
        b"[" * 1_000 + b"1" + b"]" * 1_000,
        b'[{"e":"kline"},' * 900 + b"1" + b"]" * 900,
    ],
    ids=lambda frame: frame[:20].decode("latin-1"),
)
def test_hostile_frames_are_refused(venue, frame: bytes) -> None:
    with pytest.raises(Poison):
        venue.parse(frame)


@VENUES
@pytest.mark.parametrize("key", ["error", "code", "id", "result"])
def test_a_hostile_answer_is_read_or_refused(venue, key: str) -> None:
    deep = b"[" * 1_000 + b"]" * 1_000
    read_or_refused(venue, b'{"%s":%s,"msg":%s,"id":1}' % (key.encode(), deep, deep))


@VENUES
def test_subscribing_and_unsubscribing_name_the_same_streams(venue) -> None:
    for market in venue.markets.values():
        streams = [market.stream("BTCUSDT"), market.stream("ETHUSDT")]
        assert all(s.encode() in venue.subscribe(streams, 7) for s in streams)
        assert all(s.encode() in venue.unsubscribe(streams, 7) for s in streams)
        assert venue.subscribe(streams, 7) != venue.unsubscribe(streams, 7)
