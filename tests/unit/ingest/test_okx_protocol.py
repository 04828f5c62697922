"""What OKX answers to requests, and what it says that is no data."""

import json

import pytest

from ingest.exchanges.base import Ack, Other, Rejected, Shutdown
from ingest.exchanges.okx import EXCHANGE
from ingest.exchanges.okx.frames import parse
from runtime.errors import Poison

SUBSCRIBED = (
    b'{"id":"1512","event":"subscribe","arg":{"channel":"books","instId":"A-B"},"connId":"a"}'
)
REFUSED = b'{"id":"7","event":"error","code":"60012","msg":"Invalid request","connId":"a"}'
WRONG = (
    "Wrong URL or channel:candle1m,instId:BTC-USD-SWAP doesn't exist. "
    "Please use the correct URL, channel and parameters referring to API document."
)


@pytest.mark.parametrize(
    ("frame", "control"),
    [
        (b"pong", Other("pong")),
        (SUBSCRIBED, Ack(None, topic="books:A-B")),
        (b'{"event":"unsubscribe","arg":{"channel":"liquidation-orders","instType":"SWAP"}}',
         Ack(None, topic="liquidation-orders:SWAP")),
        (REFUSED, Rejected(7, "Invalid request (code 60012)")),
        (b'{"event":"error","code":"60018","id":"7","msg":"%s"}' % WRONG.encode(),
         Rejected(7, f"{WRONG} (code 60018)", topic="candle1m:BTC-USD-SWAP")),
        (b'{"event":"error","code":"60014","msg":"Requests too frequent."}',
         Rejected(None, "Requests too frequent. (code 60014)")),
        (b'{"event":"channel-conn-count-error","channel":"x","connCount":"31","connId":"a"}',
         Rejected(None, "channel-conn-count-error (code )")),
        (b'{"event":"channel-conn-count","channel":"x","connCount":"1","connId":"a"}',
         Other("channel-conn-count")),
        (b'{"event":"notice","code":"64008","msg":"Please reconnect.","connId":"a"}', Shutdown()),
        (b'{"event":"notice","code":"1","msg":"x"}', Other("notice")),
        (b'{"code":"0","msg":"","data":[]}', Other("rest_body")),
    ],
)  # fmt: skip
def test_what_is_no_data_is_told_apart(frame: bytes, control) -> None:
    assert list(parse(frame)) == [control]


@pytest.mark.parametrize(
    "frame",
    [b"", b"ping", b"null", b"[]", b'{"event":"subscribe"}', b'{"event":5}', b'{"event":"x"}',
     b'{"arg":{"channel":"trades"}}', b"[" * 100_000, b'{"table":"spot/trade","data":[]}'],
)  # fmt: skip
def test_what_is_not_documented_is_refused(frame: bytes) -> None:
    with pytest.raises(Poison):
        parse(frame)


def test_a_request_names_each_channel_and_instrument() -> None:
    topics = ["trades:BTC-USDT-SWAP", "liquidation-orders:SWAP"]
    assert json.loads(EXCHANGE.subscribe(topics, 7)) == {
        "id": "7",
        "op": "subscribe",
        "args": [
            {"channel": "trades", "instId": "BTC-USDT-SWAP"},
            {"channel": "liquidation-orders", "instType": "SWAP"},
        ],
    }
    assert json.loads(EXCHANGE.unsubscribe(topics, 8))["op"] == "unsubscribe"


@pytest.mark.parametrize("market", EXCHANGE.markets.values(), ids=lambda m: m.channel)
def test_an_acknowledgement_names_the_topic_that_was_subscribed(market) -> None:
    for subscription in market.subscriptions:
        topics = subscription.topics("BTC-USDT-SWAP")
        args = json.loads(EXCHANGE.subscribe(topics, 1))["args"]
        frames = [json.dumps({"event": "subscribe", "arg": a}).encode() for a in args]
        assert [ack.topic for frame in frames for ack in parse(frame)] == list(topics)
