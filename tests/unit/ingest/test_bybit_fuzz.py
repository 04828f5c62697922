"""Whatever arrives is rows or Poison: Bybit's frames with bytes and values changed."""

import contextlib
import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.exchanges.base import KIND_OF, Ack, Other, Rejected
from ingest.exchanges.bybit import LINEAR, SPOT
from ingest.exchanges.bybit.instruments import next_page, read_instruments, read_turnover
from runtime.errors import Poison

KINDS = (*KIND_OF, Ack, Rejected, Other)
MESSAGES: tuple[dict[str, object], ...] = (
    {
        "topic": "publicTrade.BTCUSDT",
        "type": "snapshot",
        "ts": 1774021164273,
        "data": [
            {
                "T": 1774021164272,
                "s": "BTCUSDT",
                "S": "Sell",
                "v": "0.001",
                "p": "69916.80",
                "L": "MinusTick",
                "i": "8c931d9a-b703-5c34-9aeb-860867cf1f66",
                "BT": False,
                "RPI": False,
                "seq": 549792210006,
            }
        ],
    },
    {
        "topic": "orderbook.200.SOLUSDT",
        "type": "delta",
        "ts": 1790398529803,
        "data": {
            "s": "SOLUSDT",
            "b": [["120.610", "2176.3"], ["118.010", "0"]],
            "a": [["120.650", "62.1"]],
            "u": 27618817,
            "seq": 282179960268,
        },
        "cts": 1790398529803,
    },
    {
        "topic": "tickers.BTCUSDT",
        "type": "delta",
        "data": {
            "symbol": "BTCUSDT",
            "markPrice": "86716.30",
            "openInterest": "59972.256",
            "nextFundingTime": "1786665600000",
            "tickDirection": "PlusTick",
        },
        "cs": 814547789569,
        "ts": 1790134712383,
    },
    {
        "topic": "kline.1.BTCUSDT",
        "data": [
            {
                "start": 1672324800000,
                "end": 1672324859999,
                "interval": "1",
                "open": "16649.5",
                "close": "16677",
                "high": "16677",
                "low": "16608",
                "volume": "2.081",
                "turnover": "34666.4005",
                "confirm": False,
                "timestamp": 1672324988882,
            }
        ],
        "ts": 1672324988882,
        "type": "snapshot",
    },
    {
        "topic": "allLiquidation.ROSEUSDT",
        "type": "snapshot",
        "ts": 1739502303204,
        "data": [{"T": 1739502302929, "s": "ROSEUSDT", "S": "Sell", "v": "20000", "p": "0.04499"}],
    },
    {
        "success": False,
        "ret_msg": "error:handler not found,topic:orderbook.50.NOPEUSDT",
        "conn_id": "da7t",
        "req_id": "12",
        "op": "subscribe",
    },
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=8,
)
VALUES = JSON | st.sampled_from(
    ["", "0", "-1", "1e5", "NaN", "9" * 25, "1.", ".1", "٣", "1 1", 0, 2**63, 1e300, True, [[]]]
)
MARKETS = pytest.mark.parametrize("market", [SPOT, LINEAR], ids=lambda m: m.channel)


def read_or_refused(parse, frame: bytes) -> None:
    rows, refused = (), None
    try:
        rows = parse(frame)
    except Poison as e:
        refused = e
    if refused:
        assert refused.payload == frame
        assert refused.reason
    assert all(type(row) in KINDS for row in rows)


@MARKETS
@settings(max_examples=400, deadline=None)
@given(message=st.sampled_from(MESSAGES), data=st.data())
def test_a_frame_with_one_value_replaced_is_read_or_refused(market, message, data) -> None:
    message = json.loads(json.dumps(message))
    part: object = message
    while True:  # down to any depth
        assert isinstance(part, dict | list)
        keys = sorted(part) if isinstance(part, dict) else range(len(part))
        key = data.draw(st.sampled_from(list(keys)))
        below = part[key]
        if not (isinstance(below, dict | list) and below and data.draw(st.booleans())):
            break
        part = below
    part[key] = data.draw(VALUES)
    read_or_refused(market.parse, json.dumps(message).encode())


@MARKETS
@settings(max_examples=100, deadline=None)
@given(frame=st.binary(max_size=100) | JSON.map(lambda m: json.dumps(m).encode()))
def test_anything_is_read_or_refused(market, frame: bytes) -> None:
    read_or_refused(market.parse, frame)


@MARKETS
def test_frames_with_bytes_changed_are_read_or_refused(market) -> None:
    chance = random.Random(7)
    frames = [json.dumps(message, separators=(",", ":")).encode() for message in MESSAGES]
    for _ in range(20_000):
        frame = bytearray(chance.choice(frames))
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(frame))
            frame[at : at + chance.randint(0, 4)] = chance.randbytes(chance.randint(0, 3))
        read_or_refused(market.parse, bytes(frame))


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\xff",
        b"[" * 100_000,
        b'{"topic":"publicTrade.A","data":' + b"[" * 100_000,
        b'{"topic":"tickers.A","type":"delta","ts":1790134712383,"data":{"symbol":"A","x":'
        + b"[" * 5_000
        + b"]" * 5_000
        + b"}}",
        b'{"topic":"publicTrade.A","ts":1790134712383,"data":["\xff"]}',
        b'{"topic":"orderbook.200.A","type":"delta","ts":1790134712383}',
    ],
    ids=lambda frame: frame[:24].decode("latin-1"),
)
def test_hostile_frames_are_refused(frame: bytes) -> None:
    for market in (SPOT, LINEAR):
        with pytest.raises(Poison):
            market.parse(frame)


@settings(max_examples=150, deadline=None)
@given(rows=st.lists(JSON, max_size=4), more=st.dictionaries(st.text(max_size=8), JSON))
def test_a_rest_body_is_read_or_refused(rows, more) -> None:
    result = {"category": "linear", "list": rows, "nextPageCursor": "x"} | more
    body = json.dumps({"retCode": 0, "result": result}).encode()
    for read in (lambda b: read_instruments([b]), next_page, read_turnover):
        with contextlib.suppress(Poison):
            read(body)
