"""What the simulated Bybit answers to a client's words, as the venue was seen to answer."""

import json

import pytest

from simulator.feeds import Stream
from simulator.venues.bybit.talk import Conversation
from simulator.venues.bybit.topics import stream_of, topic_of


class Heard:
    """A connection that keeps what it is told."""

    def __init__(self) -> None:
        self.wrap = None
        self.streams: dict[Stream, None] = {}
        self.told: list[object] = []

    def reply(self, message: bytes) -> None:
        self.told.append(json.loads(message))

    def subscribe(self, stream: Stream) -> None:
        self.streams[stream] = None
        self.told.append(stream)

    def unsubscribe(self, stream: Stream) -> None:
        self.streams.pop(stream, None)

    def close(self, code: int, reason: str) -> None:
        raise AssertionError((code, reason))


def conversation(*, is_linear: bool) -> tuple[Conversation, Heard]:
    line = Heard()
    names = frozenset({"BTCUSDT", "ETHUSDT"})
    return Conversation(line, is_linear=is_linear, trades=names.__contains__), line


def say(talk: Conversation, line: Heard, **request: object) -> dict[str, object]:
    before = len(line.told)
    talk.hear(json.dumps(request), 0.0)
    answer = line.told[before]
    assert isinstance(answer, dict)
    del answer["conn_id"]
    return answer


@pytest.mark.parametrize(
    "topic",
    [
        "publicTrade.BTCUSDT",
        "orderbook.1.BTCUSDT",
        "orderbook.200.BTCUSDT",
        "tickers.BTCUSDT",
        "kline.1.BTCUSDT",
        "kline.D.BTCUSDT",
        "allLiquidation.BTCUSDT",
    ],
)
def test_a_topic_and_its_stream_name_each_other(topic: str) -> None:
    stream = stream_of(topic, is_linear=True)
    assert stream
    assert stream.symbol == "BTCUSDT"
    assert topic_of(stream) == topic


@pytest.mark.parametrize(
    "topic", ["", "orderbook.500.BTCUSDT", "kline.2.BTCUSDT", "trade.BTCUSDT", "orderbook.BTCUSDT"]
)
def test_an_unknown_topic_has_no_stream(topic: str) -> None:
    assert stream_of(topic, is_linear=True) is None


def test_spot_has_no_liquidations() -> None:
    assert stream_of("allLiquidation.BTCUSDT", is_linear=False) is None


def test_the_acknowledgement_comes_before_the_stream() -> None:
    talk, line = conversation(is_linear=True)
    answer = say(talk, line, op="subscribe", args=["tickers.BTCUSDT"], req_id="7")
    assert answer == {"success": True, "ret_msg": "", "req_id": "7", "op": "subscribe"}
    assert line.told[1:] == [Stream("tickers", "BTCUSDT")]


def test_spot_and_linear_answer_in_their_own_forms() -> None:
    talk, line = conversation(is_linear=False)
    answer = say(talk, line, op="subscribe", args=["tickers.BTCUSDT"])
    assert answer == {"success": True, "ret_msg": "subscribe", "op": "subscribe"}
    assert say(talk, line, op="ping") == {"success": True, "ret_msg": "pong", "op": "ping"}
    talk, line = conversation(is_linear=True)
    assert say(talk, line, op="ping")["req_id"] == ""
    assert say(talk, line, op="ping", req_id="1")["req_id"] == "1"


@pytest.mark.parametrize(
    ("is_linear", "reason"),
    [
        (True, "error:handler not found,topic:orderbook.50.NOPEUSDT"),
        (False, "Invalid symbol :[orderbook.50.NOPEUSDT]"),
    ],
)
def test_one_unknown_topic_refuses_the_whole_request(is_linear: bool, reason: str) -> None:
    talk, line = conversation(is_linear=is_linear)
    args = ["tickers.BTCUSDT", "orderbook.50.NOPEUSDT"]
    answer = say(talk, line, op="subscribe", args=args, req_id="1")
    assert (answer["success"], answer["ret_msg"]) == (False, reason)
    assert not line.streams


def test_what_is_subscribed_already_is_refused_and_goes_on() -> None:
    talk, line = conversation(is_linear=True)
    say(talk, line, op="subscribe", args=["tickers.BTCUSDT"])
    answer = say(talk, line, op="subscribe", args=["tickers.BTCUSDT"])
    assert answer["ret_msg"] == "error:already subscribed,topic:tickers.BTCUSDT"
    assert line.streams
    assert say(talk, line, op="unsubscribe", args=["tickers.BTCUSDT"])["success"]
    assert not line.streams


def test_spot_takes_ten_topics_in_a_request_and_linear_more() -> None:
    topics = [f"kline.{n}.BTCUSDT" for n in (1, 3, 5, 15, 30, 60, 120, 240, 360, 720, "D")]
    talk, line = conversation(is_linear=False)
    assert say(talk, line, op="subscribe", args=topics)["ret_msg"] == "args size >10"
    assert say(talk, line, op="subscribe", args=topics[:10])["success"]
    talk, line = conversation(is_linear=True)
    assert say(talk, line, op="subscribe", args=topics)["success"]


def test_a_connection_holds_so_many_characters_of_topics() -> None:
    names = {f"COIN{n:04}USDT" for n in range(2_000)}
    line = Heard()
    talk = Conversation(line, is_linear=True, trades=names.__contains__)
    topics = [f"tickers.{name}" for name in sorted(names)]  # of 20 characters
    assert say(talk, line, op="subscribe", args=topics[:1_050])["success"]
    assert not say(talk, line, op="subscribe", args=topics[1_050:1_051])["success"]


@pytest.mark.parametrize(
    "text",
    [
        "hello",
        "[]",
        "5",
        '{"op":"nope"}',
        '{"op":"subscribe","args":5}',
        '{"op":"ping","req_id":1}',
    ],
)
def test_nonsense_is_refused_and_the_socket_stays_open(text: str) -> None:
    talk, line = conversation(is_linear=True)
    talk.hear(text, 0.0)
    (answer,) = line.told
    assert isinstance(answer, dict)
    assert answer["success"] is False
