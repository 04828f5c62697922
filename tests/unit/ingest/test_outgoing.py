"""Updates and events on their way to Kafka."""

from decimal import Decimal

import msgspec
import orjson

from ingest.gaps import StreamGaps
from ingest.outgoing import RECORD_LEVELS_MAX, RECORD_ROWS_MAX, UpdateCollector
from schemas.klines import StreamGap, StreamGapEnvelope, decode_gaps
from schemas.topics import RAW
from schemas.updates import Book, Funding, Ticker


def collector() -> UpdateCollector:
    return UpdateCollector(
        "okx", "linear", topic_prefix="x.", partition_of=lambda s: 1 if s == "B" else 0
    )


def ticker(symbol: str, price: str = "1.10") -> Ticker:
    return Ticker(symbol=symbol, ts=1, is_snapshot=True, last_price=Decimal(price))


def book(levels: int) -> Book:
    return Book(
        symbol="A", ts=1, type="snapshot", first_id=1, last_id=1, price_scale=0, qty_scale=0,
        bids=[(i, 1) for i in range(levels)], asks=[],
    )  # fmt: skip


def test_a_tick_makes_one_record_a_kind_and_partition_in_order() -> None:
    updates = collector()
    for at, symbol in enumerate("ABA"):
        updates.add("tickers", ticker(symbol, f"{at}.50"), at)
    updates.add("funding", Funding(symbol="A", ts=1, funding_rate=Decimal("0.0001")), 9)
    records = {(r.topic, r.partition): r for r in updates.records()}
    assert set(records) == {
        ("x.md.tickers.v1", 0),
        ("x.md.tickers.v1", 1),
        ("x.md.funding.v1", 0),
    }
    of_a = msgspec.json.decode(records["x.md.tickers.v1", 0].value, type=RAW["tickers"].value)
    assert [row.last_price for row in of_a.data] == [Decimal("0.50"), Decimal("2.50")]
    assert of_a.recv_ns == 2
    assert list(updates.records()) == []


def test_numbers_keep_their_digits_and_what_was_not_told_is_left_out() -> None:
    updates = collector()
    updates.add("tickers", ticker("A", "0.10"), 1)
    (record,) = updates.records()
    assert b'"lastPrice":0.10' in record.value
    (row,) = orjson.loads(record.value)["data"]
    assert set(row) == {"symbol", "ts", "isSnapshot", "lastPrice"}


def test_no_record_grows_beyond_what_kafka_takes() -> None:
    updates = collector()
    for _ in range(5):
        updates.add("books", book(RECORD_LEVELS_MAX // 2), 1)
    sizes = [record.rows for record in updates.records()]
    assert sizes == [2, 2, 1]
    for _ in range(RECORD_ROWS_MAX + 1):
        updates.add("tickers", ticker("A"), 1)
    assert [record.rows for record in updates.records()] == [RECORD_ROWS_MAX, 1]


def test_a_gap_is_told_once_when_found_and_once_when_recovered() -> None:
    gaps = StreamGaps("okx", "linear", "x.")
    for _ in range(3):
        gaps.found("trades", "A", "silent", 1_000, "acknowledged, but no data")
    gaps.found("books", "A", "silent", 2_000)
    assert gaps.is_open("trades", "A") == "silent"
    for _ in range(2):
        gaps.recovered("trades", "A", "silent", 5_000)
    gaps.recovered("trades", "B", "silent", 5_000)
    records = list(gaps.records())
    assert {record.key for record in records} == {b"okx:linear:A"}
    envelopes = [decode_gaps(record.value) for record in records]
    assert all(isinstance(envelope, StreamGapEnvelope) for envelope in envelopes)
    told = [(g.kind, g.state, g.from_ms, g.to_ms) for e in envelopes for g in e.data]
    assert told == [
        ("trades", "found", 1_000, 0),
        ("books", "found", 2_000, 0),
        ("trades", "recovered", 1_000, 5_000),
    ]
    assert not gaps.is_open("trades", "A")


def test_a_stream_that_is_switched_off_leaves_no_gap_open() -> None:
    gaps = StreamGaps("okx", "linear", "")
    gaps.found("books", "A", "disconnected", 1)
    gaps.told([StreamGap(symbol="A", kind="books", reason="hole", state="found", from_ms=2)])
    gaps.ended("books", "A", 9)
    told = [decode_gaps(record.value).data[0] for record in gaps.records()]
    assert [(g.reason, g.state) for g in told[2:]] == [
        ("disconnected", "recovered"),
        ("hole", "recovered"),
    ]
    assert not gaps.is_open("books", "A")
