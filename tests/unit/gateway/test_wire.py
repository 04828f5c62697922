"""What is written for a client is what another program's decoder reads."""

import json
import random
import sys
import zlib

import msgspec
import pytest

from schemas.intervals import Interval
from sinks.gateway.candles import Candle
from sinks.gateway.envelopes import market_head
from sinks.gateway.history import Series
from sinks.gateway.outbox import JSON, Outbox, row_update, update_of
from sinks.gateway.protocol import Key
from sinks.gateway.wire import deflate, encoding_of
from sinks.gateway.wire.deflate import Deflated
from sinks.gateway.wire.msgpack import MSGPACK, json_of

HEAD = market_head("binance", "linear")
SPOT = market_head("binance", "spot")
SERIES = Series(Key("binance", "linear", "BTCUSDT", Interval(60_000)), partition=3)


def row(number: int, *, closed: bool = False, size: int = 0) -> Candle:
    fields = {"symbol": "BTCUSDT", "timestamp": number, "close": 0.5 + number, "x": "y" * size}
    return Candle(number, number, closed, 1, json.dumps(fields), number)


def update(number: int, **more):
    candle = row(number, **more)
    return update_of(SERIES, HEAD, number, candle)


def inflated(message: bytes) -> bytes:
    """As RFC 7692 says: what was cut off is put back, and nothing is known from before."""
    inflate = zlib.decompressobj(-deflate.WINDOW_BITS)
    return inflate.decompress(message + b"\x00\x00\xff\xff")


READERS = {
    "json": (JSON, msgspec.json.decode),
    "msgpack": (MSGPACK, msgspec.msgpack.decode),
    "deflated json": (Deflated(JSON), lambda data: msgspec.json.decode(inflated(data))),
    "deflated msgpack": (Deflated(MSGPACK), lambda data: msgspec.msgpack.decode(inflated(data))),
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("seed", range(20))
def test_every_encoding_says_the_same_in_the_same_order(name, seed):
    encoding, read = READERS[name]
    rng = random.Random(seed)
    boxes = Outbox(), Outbox()
    for number in range(rng.randrange(1, 200)):
        match rng.randrange(5):
            case 0:
                one = row_update('{"a":1.5}', SPOT, number, None)
            case 1:
                one = update(number, closed=True, size=rng.randrange(400))
            case _:
                one = update(number, size=rng.randrange(20))
        for box in boxes:
            box.put(one)
        if rng.random() < 0.1:
            text = json.dumps({"type": "answer", "text": "z" * rng.randrange(70_000)})
            for box in boxes:
                box.put_text(text)
    theirs, plain = [], []
    while boxes[0].waits:
        theirs += map(read, boxes[0].take(encoding))
        plain += map(msgspec.json.decode, boxes[1].take())
    assert theirs == plain
    assert not boxes[1].waits


def test_a_row_is_encoded_once_however_many_clients_get_it():
    encoding = Deflated(MSGPACK)
    one, other = update(1), update(2)
    boxes = [Outbox() for _ in range(5)]
    for box in boxes:
        box.put(one)
        box.put(other)
    forms = []
    for box in boxes:
        box.take(encoding)
        forms.append({name: id(form) for name, form in one.forms.items()})
    assert len(forms[0]) == 2
    assert all(each == forms[0] for each in forms)


def test_clients_with_the_same_rows_share_one_message_and_others_get_their_own():
    encoding = encoding_of(is_msgpack=False, is_deflated=False)
    one, other = update(1), update(2)
    boxes = [Outbox() for _ in range(3)]
    for box in boxes[:2]:
        box.put(one)
    for box in boxes:
        box.put(other)
    first, second, third = (box.take(encoding)[0] for box in boxes)
    assert first is second
    assert third != first
    assert third.count(b'"timestamp"') == 1


def test_the_offsets_of_closed_candles_are_told_by_partition():
    box = Outbox()
    for number in (5, 7):
        box.put(update(number, closed=True))
    other = Series(Key("binance", "linear", "ETHUSDT", Interval(60_000)), partition=1)
    box.put(update_of(other, HEAD, 1, row(6, closed=True)))
    box.put(update(9))
    (message,) = box.take()
    assert msgspec.json.decode(message)["seq"] == {"3": 7, "1": 6}


@pytest.mark.parametrize("size", [1, 125, 126, 127, 65_535, 65_536, 200_000])
def test_frames_have_the_heads_that_the_websocket_protocol_wants(size):
    framed = encoding_of(is_msgpack=False, is_deflated=False).text("x" * size)
    assert framed[0] == 0x81
    if size < 126:
        assert framed[1] == size
    elif size < 65_536:
        assert (framed[1], int.from_bytes(framed[2:4], "big")) == (126, size)
    else:
        assert (framed[1], int.from_bytes(framed[2:10], "big")) == (127, size)
    assert framed.endswith(b"x" * size)


def test_a_clients_msgpack_is_read_and_nonsense_is_refused():
    said = {"action": "ping", "from": [1, 2.5, None]}
    assert json.loads(json_of(msgspec.msgpack.encode(said))) == said
    for bad in (b"", b"\xc1", b"\x81\xa1a", b"\x81\x01\xc4\x01\xff" * 2, b"\x91" * 5_000 + b"\x01"):
        with pytest.raises((ValueError, RecursionError)):
            json_of(bad)


def test_compression_takes_off_a_third_of_a_candle():
    text = (
        '{"symbol":"BTCUSDT","interval":60000,"timestamp":1680652680000,"open":28145.10,'
        '"high":28150.00,"low":28140.50,"close":28149.90,"volume":102.314,"quote_volume":'
        '2881451.31000,"taker_buy_volume":51.200,"taker_buy_quote_volume":1440725.65500,'
        '"trade_count":812,"first_id":3535186032,"last_id":3535186843,"closed":false,'
        '"rev":1234567,"cause":"live","quality":"proven","missing":0}'
    )
    boxes = Outbox(), Outbox()
    for box in boxes:
        for place in range(4):
            box.put(row_update(text, HEAD, 1, place))
    (plain,), (compressed,) = boxes[0].take(), boxes[1].take(Deflated(JSON))
    assert len(compressed) < 0.7 * len(plain)


def test_what_was_sent_is_freed():
    live = update(10**9)
    kept = sys.getrefcount(live)
    boxes = Outbox(), Outbox()
    for box, numbers in zip(boxes, ((1, 2), (2, 1)), strict=True):
        for number in numbers:
            box.put(update(number))
        box.put(live)
        box.take()
    assert sys.getrefcount(live) == kept


@pytest.mark.parametrize("encoding", [MSGPACK, Deflated(MSGPACK)])
def test_numbers_of_more_than_64_bits_become_floats_in_msgpack(encoding):
    text = (
        f'{{"a":{1 << 64},"b":[{-(1 << 63) - 1},{(1 << 64) - 1},{-(1 << 63)}],"c":1e400,"d":0.1}}'
    )
    read = inflated if isinstance(encoding, Deflated) else bytes
    box = Outbox()
    box.put(row_update(text, HEAD, 1, None))
    box.put_text(text)
    row, told = (msgspec.msgpack.decode(read(each)) for each in box.take(encoding))
    assert told == row["data"][0]
    assert told == {
        "a": 2.0**64, "b": [-(2.0**63), (1 << 64) - 1, -(1 << 63)], "c": float("inf"), "d": 0.1,
    }  # fmt: skip
    assert [type(each) for each in told["b"]] == [float, int, int]
