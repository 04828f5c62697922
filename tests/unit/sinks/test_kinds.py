"""Records of every raw and merged topic become rows exactly, or are refused with a reason."""

from decimal import Decimal

import msgspec
import pytest

from fibstream.examples import example_records
from runtime.errors import Misconfigured
from schemas.integrity import Checked, IntegrityEnvelope, encode_integrity
from schemas.klines import Gap, GapEnvelope, StreamGap, StreamGapEnvelope
from schemas.topics import GAPS
from schemas.updates import Liquidation, LiquidationUpdates, encode_updates
from sinks.base import Record
from sinks.clickhouse.kinds import TABLES, chosen
from tests.support import market

BY_NAME = {table.name: table for table in TABLES}
EXAMPLES = example_records()


def rows(name: str, *values: bytes, offset: int = 5):
    table = BY_NAME[name]
    records = [
        Record(table.topic.name, 0, offset + i, market.BASE_MS, v) for i, v in enumerate(values)
    ]
    found, refused = table.rows(records)
    return found.to_pylist(), refused


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_what_the_pipeline_writes_becomes_rows(table) -> None:
    found, refused = rows(table.name, *EXAMPLES[table.topic.name])
    assert refused == []
    assert found
    assert {row["exchange"] for row in found} <= {"binance", "bybit"}


@pytest.mark.parametrize("name", [t.name for t in TABLES if t.name != "stream_gaps"])
def test_what_cannot_be_read_is_refused_and_the_rest_lands(name) -> None:
    good = EXAMPLES[BY_NAME[name].topic.name]
    found, refused = rows(name, b'{"v":', *good)
    assert [each.record.offset for each in refused] == [5]
    assert found


def test_a_record_of_gaps_that_cannot_be_read_is_refused_once() -> None:
    assert len(rows("gaps", b"no json")[1]) == 1
    assert rows("stream_gaps", b"no json") == ([], [])


def test_a_ticker_keeps_every_digit_and_what_is_not_told_is_null() -> None:
    value = (
        b'{"exchange":"okx","channel":"linear","recv_ms":1680652800123,"data_type":"ticker","data":'
        b'[{"symbol":"S","ts":0,"isSnapshot":true,"rev":9,"fundingRate":0.000018222121805412,'
        b'"lastPrice":28145.20}]}'
    )
    (row,), refused = rows("tickers", value)
    assert refused == []
    assert row["funding_rate"] == Decimal("0.000018222121805412")
    assert row["last_price"] == Decimal("28145.20")
    assert row["mark_price"] is None
    # The venue tells no time: the row stands at ours.
    assert row["ts"].timestamp() == 1_680_652_800.123
    assert row["time"].timestamp() == 1_680_652_800


def test_of_one_batch_the_last_ticker_of_each_second_is_a_row() -> None:
    value = (
        '{"exchange":"okx","channel":"%s","recv_ms":5,"data_type":"ticker","data":'
        '[{"symbol":"S","ts":%d,"isSnapshot":true,"rev":%d}]}'
    )
    told = [("spot", 1_000, 1), ("spot", 1_999, 3), ("spot", 1_500, 2), ("spot", 2_000, 4)]
    told += [("linear", 1_999, 2)]
    found, _ = rows("tickers", *((value % each).encode() for each in told))
    assert [(row["channel"], row["rev"]) for row in found] == [
        ("spot", 3),
        ("spot", 4),
        ("linear", 2),
    ]


def test_a_number_that_its_column_would_round_is_refused() -> None:
    value = (
        b'{"v":1,"exchange":"okx","channel":"linear","recv_ns":1680652800123000000,'
        b'"data_type":"open-interest","data":[{"symbol":"S","ts":1,"open_interest":1.%s},'
        b'{"symbol":"T","ts":1,"open_interest":1.5}]}'
    )
    found, refused = rows("open_interest", value % (b"0" * 18 + b"1"))
    assert [row["symbol"] for row in found] == ["T"]
    assert "open_interest" in refused[0].reason
    assert rows("open_interest", value % (b"0" * 17 + b"1"))[1] == []


def test_two_equal_events_stay_two_and_a_repeated_record_makes_the_same_rows() -> None:
    one = Liquidation(symbol="S", ts=7, side=-1, price=Decimal(3), qty=Decimal("0.5"))
    updates = LiquidationUpdates(
        exchange="bybit", channel="linear", recv_ns=market.BASE_MS * 1_000_000, data=[one, one]
    )
    first, _ = rows("liquidations", encode_updates(updates))
    again, _ = rows("liquidations", encode_updates(updates))
    assert [(row["rev"], row["place"]) for row in first] == [(5, 0), (5, 1)]
    assert first == again


def test_levels_stand_side_by_side() -> None:
    found, _ = rows("book_updates", *EXAMPLES["md.books.v1"])
    snapshot = found[0]
    assert snapshot["is_snapshot"]
    assert len(snapshot["bid_prices"]) == len(snapshot["bid_qtys"]) == 2
    scale = 10 ** snapshot["price_scale"]
    assert [price / scale for price in snapshot["ask_prices"]] == [28145.2]


def gap(state: str, rev: int, **changes) -> bytes:
    row = {"symbol": "S", "first_id": 10, "last_id": 20, "from_ms": 1, "to_ms": 2, "missing": 11}
    told = Gap(**{**row, "state": state, "rev": rev, **changes})
    return msgspec.json.encode(GapEnvelope(exchange="binance", channel="linear", data=[told]))


def test_of_gaps_the_later_state_stays_at_one_revision_and_a_higher_revision_wins() -> None:
    told = [("found", 5), ("recovering", 5), ("unrecoverable", 5), ("recovered", 5), ("found", 6)]
    versions = [rows("gaps", gap(*each))[0][0]["version"] for each in told]
    assert versions == sorted(set(versions))


def test_a_gap_found_by_counting_and_one_out_of_range() -> None:
    assert rows("gaps", gap("found", -1))[0][0]["version"] == 0
    assert "rev" in rows("gaps", gap("found", 2**62))[1][0].reason


def test_a_stream_that_is_whole_again_replaces_the_row_that_says_it_failed() -> None:
    def told(**changes) -> bytes:
        row = StreamGap(symbol="S", kind="books", reason="hole", from_ms=5, **changes)
        envelope = StreamGapEnvelope(exchange="okx", channel="spot", data=[row])
        return msgspec.json.encode(envelope)

    (found,), _ = rows("stream_gaps", told(state="found"))
    (over,), _ = rows("stream_gaps", told(state="recovered", to_ms=9))
    assert found["to_time"] is None
    assert over["version"] > found["version"]
    assert rows("gaps", told(state="found")) == ([], [])


def test_a_checked_period_stands_at_its_day() -> None:
    checked = Checked(
        symbol="S",
        period="month",
        period_ms=1_706_745_600_000,
        first_id=1,
        last_id=9,
        first_ms=1_706_745_600_001,
        last_ms=1_706_745_600_009,
        count=9,
        duplicates=0,
        gaps_count=0,
        unrecoverable=0,
        quality="proven",
        trusted=True,
        checked_ms=1_706_745_700_000,
    )
    envelope = IntegrityEnvelope(exchange="binance", channel="spot", data=[checked])
    (row,), _ = rows("integrity", encode_integrity(envelope))
    assert str(row["period_start"]) == "2024-02-01"
    assert row["trusted"] is True


def test_tables_are_chosen_by_name_and_gaps_bring_those_of_streams() -> None:
    names = [table.name for table in chosen(("gaps", "tickers"), TABLES)]
    assert names == ["tickers", "gaps", "stream_gaps"]
    assert [t.topic for t in chosen(("gaps",), TABLES)] == [GAPS, GAPS]
    with pytest.raises(Misconfigured, match="ticks"):
        chosen(("ticks",), TABLES)
