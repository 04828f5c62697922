"""Kraken's documented frames of WebSocket v2, and the example of its guide to the checksum."""

import json
import zlib
from contextlib import suppress
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.exchanges.base import Ack, BookRow, Chain, Other, Rejected, TradeRow
from ingest.exchanges.kraken import EXCHANGE, SPOT, parse
from runtime.errors import Poison
from schemas.trades import BUY, SELL, Flag
from schemas.updates import VenueKline

BIDS = (
    *(("45283.5", "0.10000000"), ("45283.4", "1.54582015"), ("45282.1", "0.10000000")),
    *(("45281.0", "0.10000000"), ("45280.3", "1.54592586"), ("45279.0", "0.07990000")),
    *(("45277.6", "0.03310103"), ("45277.5", "0.30000000"), ("45277.3", "1.54602737")),
    *(("45276.6", "0.15445238"),),
)
ASKS = (
    *(("45285.2", "0.00100000"), ("45286.4", "1.54571953"), ("45286.6", "1.54571109")),
    *(("45289.6", "1.54560911"), ("45290.2", "0.15890660"), ("45291.8", "1.54553491")),
    *(("45294.7", "0.04454749"), ("45296.1", "0.35380000"), ("45297.5", "0.09945542")),
    *(("45299.5", "0.18772827"),),
)
CHECKSUM = 3310070434

TRADE = (
    '{"symbol":"MATIC/USD","side":"buy","price":0.5117,"qty":40.00000000,"ord_type":"market",'
    '"trade_id":4665906,"timestamp":"2023-09-25T07:49:37.708706Z"}'
)
UPDATE = (
    '{"symbol":"MATIC/USD","bids":[{"price":0.5657,"qty":1098.3947558}],"asks":[],'
    '"checksum":2114181697,"timestamp":"2023-10-06T17:35:55.440295Z"}'
)
CANDLE = (
    '{"symbol":"ETH/USD","open":1884.10,"high":1884.12,"low":1883.90,"close":1884.00,"trades":7,'
    '"volume":1.50000000,"vwap":1884.01,"interval_begin":"2023-05-22T15:30:00.000000000Z",'
    '"interval":1,"timestamp":"2023-05-22T15:31:00.000000Z"}'
)


def levels(side: tuple[tuple[str, str], ...]) -> str:
    return ",".join(f'{{"price":{price},"qty":{qty}}}' for price, qty in side)


def frame(channel: str, kind: str, *rows: str, sent: str = "2023-05-22T15:30:10.5Z") -> bytes:
    data = f'{{"channel":"{channel}","type":"{kind}","timestamp":"{sent}","data":['
    return (data + ",".join(rows) + "]}").encode()


SNAPSHOT = (
    f'{{"symbol":"BTC/USD","bids":[{levels(BIDS)}],"asks":[{levels(ASKS)}],"checksum":{CHECKSUM}}}'
)
FRAMES = {
    "trade": frame("trade", "update", TRADE, TRADE),
    "book": frame("book", "update", UPDATE),
    "snapshot": frame("book", "snapshot", SNAPSHOT),
    "ohlc": frame("ohlc", "update", CANDLE),
    "ack": b'{"method":"subscribe","result":{"channel":"trade","symbol":"BTC/USD"},"success":true}',
}


def test_a_trade_keeps_the_digits_that_a_json_number_was_written_with() -> None:
    (row, _) = parse(FRAMES["trade"])
    assert row == TradeRow(
        kind="trade",
        symbol="MATIC/USD",
        id=4665906,
        ts=1695628177708,
        price=5117,
        price_scale=4,
        qty=4000000000,
        qty_scale=8,
        side=BUY,
        flags=0,
        first=4665906,
        last=4665906,
    )
    (sold,) = parse(frame("trade", "update", TRADE.replace("buy", "sell")))
    assert sold.side == SELL


def test_no_digit_is_lost_where_a_float_would_lose_it() -> None:
    exact = TRADE.replace("0.5117", "0.1000000000000000055")
    with pytest.raises(Poison):  # 19 decimals are more than any column holds: refused, not cut
        parse(frame("trade", "update", exact))
    (row,) = parse(frame("trade", "update", TRADE.replace("40.00000000", "12345678901.12345678")))
    assert (row.qty, row.qty_scale) == (1234567890112345678, 8)
    (row,) = parse(frame("trade", "update", TRADE.replace("40.00000000", "1.5e-7")))
    assert (row.qty, row.qty_scale) == (15, 8)


def test_the_trades_of_a_snapshot_are_history() -> None:
    assert [row.flags for row in parse(frame("trade", "snapshot", TRADE, TRADE))] == [
        Flag.HISTORY,
        Flag.HISTORY,
    ]


def test_the_checksum_of_the_venues_own_example_is_reproduced() -> None:
    (row,) = parse(FRAMES["snapshot"])
    assert row.is_snapshot
    assert (tuple(row.bids), tuple(row.asks)) == (BIDS, ASKS)
    assert SPOT.book.checksum(row.bids, row.asks) == row.checksum == CHECKSUM


def test_only_ten_levels_a_side_are_in_the_checksum() -> None:
    checksum = SPOT.book.checksum
    deeper = (*BIDS, ("1.0", "2.00000000")), (*ASKS, ("99999.9", "2.00000000"))
    assert checksum(*deeper) == CHECKSUM
    assert checksum(BIDS[1:], ASKS) != CHECKSUM
    assert checksum([], []) == zlib.crc32(b"")


def test_zeros_before_the_first_digit_are_no_part_of_the_checksum() -> None:
    assert SPOT.book.checksum([("0.05000", "0.00000500")], []) == zlib.crc32(b"5000500")
    assert SPOT.book.checksum([], [("10", "2")]) == zlib.crc32(b"102")


def test_an_update_is_a_delta_in_a_chain_without_ids() -> None:
    (row,) = parse(FRAMES["book"])
    assert row == BookRow(
        symbol="MATIC/USD",
        ts=1696613755440,
        is_snapshot=False,
        first_id=0,
        last_id=0,
        prev_id=None,
        bids=[("0.5657", "1098.3947558")],
        asks=[],
        checksum=2114181697,
    )
    assert SPOT.book.chain(0, row, False) is SPOT.book.chain(0, row, True) is Chain.NEXT


def test_a_deletion_and_a_price_told_twice_stay_in_their_order() -> None:
    twice = '[{"price":1.0,"qty":0.00000000},{"price":1.0,"qty":3.5}]'
    (row,) = parse(frame("book", "update", UPDATE.replace('"asks":[]', f'"asks":{twice}')))
    assert row.asks == [("1.0", "0.00000000"), ("1.0", "3.5")]


def test_a_side_that_is_left_out_is_empty_and_a_missing_time_is_zero() -> None:
    (row,) = parse(frame("book", "update", '{"symbol":"A/B","checksum":0}'))
    assert (row.bids, row.asks, row.ts) == ([], [], 0)


def test_a_candle_is_closed_only_when_it_was_sent_after_its_end() -> None:
    (open_,) = parse(FRAMES["ohlc"])
    assert open_ == VenueKline(
        symbol="ETH/USD",
        interval=60_000,
        name="1",
        timestamp=1684769400000,
        open=Decimal("1884.10"),
        high=Decimal("1884.12"),
        low=Decimal("1883.90"),
        close=Decimal("1884.00"),
        volume=Decimal("1.50000000"),
        closed=False,
        ts=1684769410500,
        trade_count=7,
    )
    newer = CANDLE.replace("15:30:00", "15:31:00")
    later = frame("ohlc", "snapshot", CANDLE, newer, sent="2023-05-22T15:31:00.000000001Z")
    assert [row.closed for row in parse(later)] == [True, False]


def test_times_are_cut_to_milliseconds_never_rounded_into_the_next() -> None:
    told = TRADE.replace("37.708706Z", "59.999999999Z")
    assert parse(frame("trade", "update", told))[0].ts == 1695628199999
    told = TRADE.replace("2023-09-25T07:49:37.708706Z", "2023-09-25T09:49:37+02:00")
    assert parse(frame("trade", "update", told))[0].ts == 1695628177000


@pytest.mark.parametrize(
    ("channel", "row", "old", "new", "field"),
    [
        ("trade", TRADE, "0.5117", '"0.5117"', "price"),
        ("trade", TRADE, "0.5117", "-0.5117", "price"),
        ("trade", TRADE, "0.5117", "1e400", "price"),
        ("trade", TRADE, "0.5117", "{}", "price"),
        ("trade", TRADE, "40.00000000", "null", "qty"),
        ("trade", TRADE, "4665906", "4665906.5", "trade_id"),
        ("trade", TRADE, '"buy"', '"b"', "side"),
        ("trade", TRADE, "2023-09-25T07:49:37.708706Z", "yesterday", "timestamp"),
        ("trade", TRADE, "37.708706Z", "37.708706", "timestamp"),
        ("trade", TRADE, "2023-09", "1970-09", "timestamp"),
        ("trade", TRADE, "2023-09-25T07:49:37.708706Z", "9999-01-01T00:00:00Z", "timestamp"),
        ("book", UPDATE, "2114181697", "-1", "checksum"),
        ("book", UPDATE, "2114181697", "4294967296", "checksum"),
        ("book", UPDATE, "0.5657", "true", "price"),
        ("ohlc", CANDLE, '"interval":1,', '"interval":2,', "interval"),
        ("ohlc", CANDLE, "1884.12", "NaN", "JSON"),
        ("ohlc", CANDLE, "1.50000000", '""', "volume"),
    ],
)
def test_a_bad_field_is_refused_by_name(channel, row, old, new, field) -> None:
    bad = frame(channel, "update", row.replace(old, new))
    with pytest.raises(Poison, match=rf"{field}") as refused:
        parse(bad)
    assert refused.value.payload == bad


TOPICS = ["trade:BTC/USD", "book:BTC/USD", "ohlc:BTC/USD"]


@pytest.mark.parametrize("topic", TOPICS)
def test_the_answer_to_a_request_carries_its_number_and_its_topic(topic: str) -> None:
    request = json.loads(EXCHANGE.subscribe([topic], 7))
    params = request["params"]
    assert (request["method"], request["req_id"], params["symbol"]) == ("subscribe", 7, ["BTC/USD"])
    result = params | {"symbol": "BTC/USD"}
    answer = {"method": "subscribe", "req_id": 7, "result": result, "success": True, "time_in": "x"}
    assert list(parse(json.dumps(answer).encode())) == [Ack(7, topic)]
    assert json.loads(EXCHANGE.unsubscribe([topic], 8))["method"] == "unsubscribe"


def test_the_book_that_is_asked_for_is_as_deep_as_the_rule_says() -> None:
    assert json.loads(EXCHANGE.subscribe(["book:A/B"], 1))["params"]["depth"] == SPOT.book.depth
    assert json.loads(EXCHANGE.unsubscribe(["book:A/B"], 1))["params"]["depth"] == SPOT.book.depth


def test_a_refusal_is_known_by_the_number_of_its_request() -> None:
    said = "Currency pair not supported XBT/USD"
    answer = {"error": said, "method": "subscribe", "success": False, "symbol": "XBT/USD"}
    assert list(parse(json.dumps(answer | {"req_id": 7}).encode())) == [Rejected(7, said)]
    assert list(parse(json.dumps(answer).encode())) == [Rejected(None, said)]


def test_what_is_subscribed_already_counts_as_accepted() -> None:
    answer = {"error": "Already subscribed", "method": "subscribe", "req_id": 2, "success": False}
    assert list(parse(json.dumps(answer).encode())) == [Ack(2)]


@pytest.mark.parametrize(
    ("message", "name"),
    [
        ({"channel": "heartbeat"}, "heartbeat"),
        ({"channel": "status", "type": "update", "data": [{"system": "online"}]}, "status"),
        ({"channel": "ticker", "type": "update", "data": [{"symbol": "A/B"}]}, "ticker"),
        ({"method": "pong", "req_id": 101, "time_in": "x", "time_out": "y"}, "pong"),
    ],
)
def test_other_frames_are_recognised(message: object, name: str) -> None:
    assert list(parse(json.dumps(message).encode())) == [Other(name)]


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"{}",
        b"null",
        b'[0,{"a":[]},"book-1000","BTC/USD"]',
        b'{"channel":"news"}',
        b'{"channel":"trade","data":[]}',
        b'{"channel":"trade","type":"x","data":[]}',
        b'{"method":"subscribe"}',
        b'{"method":"subscribe","success":false}',
        b'{"channel":"trade","type":"update","data":' + b"[" * 100_000,
        b'{"channel":"trade","type":"update","data":[{"symbol":"\xff"}]}',
        b"[" * 100_000,
    ],
    ids=lambda frame: frame[:40].decode("latin-1"),
)
def test_what_nobody_can_name_is_refused(bad: bytes) -> None:
    with pytest.raises(Poison) as refused:
        parse(bad)
    assert refused.value.payload == bad
    assert refused.value.reason


@settings(max_examples=500)
@given(data=st.data())
def test_a_frame_with_bytes_changed_is_read_or_refused_and_nothing_else(data) -> None:
    changed = bytearray(FRAMES[data.draw(st.sampled_from(sorted(FRAMES)))])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(changed) - 1))
        changed[at : at + data.draw(st.integers(0, 5))] = data.draw(st.binary(max_size=5))
    with suppress(Poison):
        read = {type(row) for row in parse(bytes(changed))}
        assert read <= {TradeRow, BookRow, VenueKline, Ack, Rejected, Other}
