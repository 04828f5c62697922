"""Requests of a client and Binance's answers."""

import asyncio
import json

import pytest

from simulator.hub import Connection, Hub
from simulator.options import SimulatorOptions
from simulator.requests import Desk, TooManyStreams
from simulator.session import read_path
from simulator.venue import venue


def _desk(market="spot", tier=""):
    hub = Hub(write_buffer_bytes_max=1_000)
    connection = Connection(asyncio.Transport(), combined=False)
    return Desk(connection, hub, venue(market, SimulatorOptions()), tier), connection, hub


def _ask(desk, **request):
    return json.loads(desk.answer(json.dumps(request)))


def test_subscribe_list_and_unsubscribe_are_acknowledged():
    desk, _, hub = _desk()
    streams = ["btcusdt@trade", "ethusdt@aggTrade"]
    assert desk.answer(json.dumps({"method": "SUBSCRIBE", "params": streams, "id": 1})) == (
        b'{"result":null,"id":1}'
    )
    assert _ask(desk, method="LIST_SUBSCRIPTIONS", id=2) == {"result": streams, "id": 2}
    assert hub.heard("btcusdt@trade")
    assert _ask(desk, method="UNSUBSCRIBE", params=streams[:1], id=3) == {"result": None, "id": 3}
    assert not hub.heard("btcusdt@trade")
    assert _ask(desk, method="LIST_SUBSCRIPTIONS", id=4)["result"] == streams[1:]


@pytest.mark.parametrize(
    ("tier", "served"),
    [
        ("market", {"btcusdt@aggTrade", "btcusdt@kline_1m"}),
        ("public", {"btcusdt@trade"}),
        ("private", set()),
        ("", set()),
    ],
)
def test_a_linear_path_acknowledges_everything_and_serves_its_own(tier, served):
    desk, connection, hub = _desk("linear", tier)
    every = ["btcusdt@aggTrade", "btcusdt@kline_1m", "btcusdt@trade"]
    assert _ask(desk, method="SUBSCRIBE", params=every, id=1) == {"result": None, "id": 1}
    assert list(connection.streams) == every
    assert set(hub.streams()) == served


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("{not json", 3, "Invalid JSON"),
        ("[]", 2, "Invalid request"),
        ('{"method":"SUBSCRIBE","params":["a@b"]}', 2, "request ID"),
        ('{"method":"SUBSCRIBE","params":["a@b"],"id":-1}', 2, "request ID"),
        ('{"method":"SUBSCRIBE","params":["a@b"],"id":true}', 2, "request ID"),
        ('{"id":1}', 2, "missing field `method`"),
        ('{"method":"subscribe","id":1}', 2, "unknown variant `subscribe`"),
        ('{"method":"SUBSCRIBE","id":1}', 2, "params"),
        ('{"method":"SUBSCRIBE","params":[],"id":1}', 2, "params"),
        ('{"method":"SUBSCRIBE","params":["a b"],"id":1}', 2, "invalid stream"),
        ('{"method":"SUBSCRIBE","params":[7],"id":1}', 2, "invalid stream"),
        ('{"method":"GET_PROPERTY","params":["color"],"id":1}', 0, "Unknown property"),
        ('{"method":"SET_PROPERTY","params":["combined",1],"id":1}', 1, "expected Boolean"),
    ],
)
def test_a_bad_request_is_answered_with_an_error(text, code, words):
    desk, connection, _ = _desk()
    answer = json.loads(desk.answer(text))
    assert answer["error"]["code"] == code
    assert words in answer["error"]["msg"]
    assert not connection.streams


def test_text_ids_are_for_spot_only():
    assert _ask(_desk()[0], method="LIST_SUBSCRIPTIONS", id="a1")["id"] == "a1"
    assert "error" in _ask(_desk("linear", "market")[0], method="LIST_SUBSCRIPTIONS", id="a1")


def test_combined_is_a_property():
    desk, connection, _ = _desk()
    assert _ask(desk, method="GET_PROPERTY", params=["combined"], id=1)["result"] is False
    assert _ask(desk, method="SET_PROPERTY", params=["combined", True], id=2)["result"] is None
    assert connection.combined


@pytest.mark.parametrize(
    ("market", "tier", "most"), [("spot", "", 1_024), ("linear", "market", 200)]
)
def test_a_connection_holds_so_many_streams_and_no_more(market, tier, most):
    desk, _, _ = _desk(market, tier)
    desk.subscribe(f"s{i}@aggTrade" for i in range(most))
    desk.subscribe(["s0@aggTrade"])  # not a new one
    with pytest.raises(TooManyStreams):
        desk.subscribe(["more@aggTrade"])


@pytest.mark.parametrize(
    ("path", "query", "target"),
    [
        ("/ws/btcusdt@trade", "", ("", False, ["btcusdt@trade"])),
        ("/ws", "", ("", False, [])),
        ("/stream", "a@trade/b@trade", ("", True, ["a@trade", "b@trade"])),
        ("/market/ws/a@aggTrade/b@aggTrade", "", ("market", False, ["a@aggTrade", "b@aggTrade"])),
        ("/market/stream", "a@aggTrade", ("market", True, ["a@aggTrade"])),
        ("/market", "", None),
        ("/stream/a@trade", "", None),
        ("/", "", None),
    ],
)
def test_paths_name_tier_form_and_streams(path, query, target):
    assert read_path(path, query) == target
