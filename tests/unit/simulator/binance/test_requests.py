"""Requests of a client and Binance's answers."""

import json

import pytest

from simulator.venues.binance.market import LINEAR, SPOT
from simulator.venues.binance.requests import Desk, Target, read_path


class Notes:
    """The other end of a conversation: what was said and asked for, in order."""

    def __init__(self):
        self.wrap = None
        self.streams = {}
        self.said = []
        self.closed = None

    def reply(self, message):
        self.said.append(json.loads(message))

    def subscribe(self, stream):
        self.streams[stream] = None
        self.said.append(stream)

    def unsubscribe(self, stream):
        self.streams.pop(stream, None)

    def close(self, code, reason):
        self.closed = (code, reason)

    def served(self):
        return {f"{s.symbol.lower()}@{s.parameter}" for s in self.streams if s.symbol}


def _desk(market=SPOT, tier="", names=()):
    line = Notes()
    return Desk(line, market, Target(tier, False, list(names))), line


def _hear(desk, line, text):
    before = len(line.said)
    desk.hear(text, 0.0)
    return next((x for x in line.said[before:] if isinstance(x, dict)), None)


def _ask(desk, line, **request):
    return _hear(desk, line, json.dumps(request))


def test_subscribe_list_and_unsubscribe_are_acknowledged():
    desk, line = _desk()
    names = ["btcusdt@trade", "ethusdt@depth@100ms", "nosuch@trade", "BTCUSDT@trade"]
    answer = _ask(desk, line, method="SUBSCRIBE", params=names, id=1)
    assert answer == line.said[0] == {"result": None, "id": 1}  # before any data
    assert _ask(desk, line, method="LIST_SUBSCRIPTIONS", id=2) == {"result": names, "id": 2}
    assert _ask(desk, line, method="UNSUBSCRIBE", params=names[:1], id=3)["result"] is None
    assert _ask(desk, line, method="LIST_SUBSCRIPTIONS", id=4)["result"] == names[1:]


@pytest.mark.parametrize(
    ("tier", "served"),
    [
        ("market", {"btcusdt@aggTrade", "btcusdt@kline_1m", "btcusdt@markPrice@1s"}),
        ("public", {"btcusdt@trade", "btcusdt@depth@0ms", "btcusdt@bookTicker"}),
        ("private", set()),
        ("", set()),
    ],
)
def test_a_linear_path_acknowledges_everything_and_serves_its_own(tier, served):
    desk, line = _desk(LINEAR, tier)
    every = ["aggTrade", "kline_1m", "markPrice@1s", "trade", "depth@0ms", "bookTicker"]
    names = [f"btcusdt@{word}" for word in every]
    answer = _ask(desk, line, method="SUBSCRIBE", params=names, id=1)
    assert answer == {"result": None, "id": 1}
    assert _ask(desk, line, method="LIST_SUBSCRIPTIONS", id=2)["result"] == names
    assert line.served() == served


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
    desk, line = _desk()
    answer = _hear(desk, line, text)
    assert answer["error"]["code"] == code
    assert words in answer["error"]["msg"]
    assert not line.streams


def test_text_ids_are_for_spot_only():
    assert _ask(*_desk(), method="LIST_SUBSCRIPTIONS", id="a1")["id"] == "a1"
    assert "error" in _ask(*_desk(LINEAR, "market"), method="LIST_SUBSCRIPTIONS", id="a1")


def test_combined_is_a_property():
    desk, line = _desk()
    assert _ask(desk, line, method="GET_PROPERTY", params=["combined"], id=1)["result"] is False
    answer = _ask(desk, line, method="SET_PROPERTY", params=["combined", True], id=2)
    assert answer["result"] is None
    assert line.wrap is not None


@pytest.mark.parametrize(("market", "tier", "most"), [(SPOT, "", 1_024), (LINEAR, "market", 200)])
def test_a_connection_holds_so_many_streams_and_no_more(market, tier, most):
    desk, line = _desk(market, tier, [f"s{i}usdt@aggTrade" for i in range(most)])
    _ask(desk, line, method="SUBSCRIBE", params=["s0usdt@aggTrade"], id=1)  # not a new one
    assert line.closed is None
    assert _ask(desk, line, method="SUBSCRIBE", params=["more@aggTrade"], id=2) is None
    assert line.closed == (1_008, "Too many streams")
    assert len(line.streams) == most


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
