"""Snapshots and deltas become one ticker, and a crash changes no word of it."""

import random
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from replaying import PARTITION, Seen, assert_same_story, killed, straight, written

from processors.fold import UnknownState, Unreadable
from processors.tickers import Tickers
from schemas.snapshots import TickerSnapshot, decode_ticker_snapshots
from schemas.topics import TICKERS, symbol_key
from schemas.updates import Ticker, TickerUpdates, encode_updates

KEY = symbol_key("bybit", "linear", "BTCUSDT")
MS = 1_680_652_700_452


def record(*rows: Ticker, recv_ms: int = MS) -> bytes:
    return encode_updates(
        TickerUpdates(exchange="bybit", channel="linear", recv_ns=recv_ms * 10**6, data=[*rows])
    )


def ticker(*, snapshot: bool = False, ts: int = MS, symbol: str = "BTCUSDT", **fields) -> Ticker:
    return Ticker(symbol, ts, snapshot, **fields)


def fold_of(*records: bytes) -> Tickers:
    fold = Tickers(250)
    for offset, value in enumerate(records):
        fold.apply(TICKERS, PARTITION, offset, value)
    return fold


def rows(fold: Tickers, now_ms: int = 10_000) -> list[TickerSnapshot]:
    found = [decode_ticker_snapshots(o.value) for o in fold.outputs(now_ms, {PARTITION})]
    return [row for envelope in found for row in envelope.data]


WHOLE = ticker(
    snapshot=True,
    last_price=Decimal("28145.20"),
    bid1_price=Decimal("28145.10"),
    open_interest=Decimal("51247.301"),
)


def test_a_field_left_out_of_a_delta_stays() -> None:
    (row,) = rows(fold_of(record(WHOLE), record(ticker(ts=MS + 5, last_price=Decimal("28145.3")))))
    assert (row.last_price, row.bid1_price) == (Decimal("28145.3"), Decimal("28145.10"))
    assert (row.is_snapshot, row.ts, row.rev) == (True, MS + 5, 1)


def test_a_snapshot_replaces_all() -> None:
    (row,) = rows(fold_of(record(WHOLE), record(ticker(snapshot=True, mark_price=Decimal(7)))))
    assert (row.mark_price, row.last_price, row.open_interest) == (Decimal(7), None, None)


def test_a_delta_before_any_snapshot_is_marked() -> None:
    fold = fold_of(record(ticker(bid1_price=Decimal("28145.1"))))
    (row,) = rows(fold)
    assert (row.is_snapshot, row.bid1_price) == (False, Decimal("28145.1"))
    fold.apply(TICKERS, PARTITION, 1, record(WHOLE))
    (row,) = rows(fold, 20_000)
    assert row.is_snapshot


def test_names_and_envelope_are_those_of_the_raw_topic_and_numbers_keep_their_digits() -> None:
    fold = fold_of(record(ticker(snapshot=True, price_24h_pcnt=Decimal("-0.01066800"))))
    ((_, key, value),) = fold.outputs(0, {PARTITION})
    assert key == KEY
    assert b'"price24hPcnt":-0.01066800' in value
    assert b'"data_type":"ticker"' in value
    assert TickerSnapshot.__struct_fields__ == (*Ticker.__struct_fields__, "rev")


def test_an_update_that_says_nothing_new_is_no_revision() -> None:
    fold = fold_of(record(WHOLE))
    assert len(rows(fold)) == 1
    fold.apply(TICKERS, PARTITION, 1, record(ticker(), recv_ms=MS + 9))
    assert rows(fold, 20_000) == []
    assert len(written(fold)) == 1


def test_a_time_that_the_venue_does_not_tell_does_not_erase_the_last_one() -> None:
    (row,) = rows(fold_of(record(WHOLE), record(ticker(ts=0, bid1_price=Decimal(3)))))
    assert row.ts == MS


def test_updates_of_a_while_become_one_record() -> None:
    fold = fold_of(record(WHOLE))
    assert len(rows(fold, 1_000)) == 1
    for offset in range(1, 9):
        fold.apply(TICKERS, PARTITION, offset, record(ticker(last_price=Decimal(offset))))
        assert rows(fold, 1_249) == []
    (row,) = rows(fold, 1_250)
    assert (row.last_price, row.rev) == (Decimal(8), 8)


def test_a_clock_that_was_set_back_does_not_silence_a_symbol() -> None:
    fold = fold_of(record(WHOLE))
    assert len(rows(fold, 10**9)) == 1
    fold.apply(TICKERS, PARTITION, 1, record(ticker(last_price=Decimal(1))))
    assert len(rows(fold, 10**9 - 3_600_000)) == 1


def test_a_worker_that_lags_publishes_less() -> None:
    fold = fold_of(record(WHOLE))
    assert len(rows(fold, 1_000)) == 1
    fold.apply(TICKERS, PARTITION, 1, record(ticker(last_price=Decimal(1))))
    assert list(fold.outputs(1_000 + 8 * 250 - 1, ())) == []
    assert len(list(fold.outputs(1_000 + 8 * 250, ()))) == 1


def test_what_was_saved_and_not_published_is_published_after_a_restart() -> None:
    fold = fold_of(record(WHOLE))
    states = written(fold)
    again = Tickers(250)
    again.restore(PARTITION, states)
    (row,) = rows(again)
    assert row.rev == 0
    assert written(again) == {}


def test_a_partition_that_is_gone_is_forgotten() -> None:
    fold = fold_of(record(WHOLE))
    fold.apply(TICKERS, 5, 0, record(ticker(symbol="X", last_price=Decimal(1))))
    fold.drop(PARTITION)
    assert [o.key for o in fold.outputs(0, {5})] == [symbol_key("bybit", "linear", "X")]
    assert [key for _, key, _ in fold.take_dirty()] == [symbol_key("bybit", "linear", "X")]


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"{}",
        record(WHOLE)[:-3],
        record(WHOLE).replace(b"28145.20", b'"NaN"'),
        record(WHOLE).replace(b'"linear"', b'"moon"'),
    ],
)
def test_what_is_no_ticker_is_refused_and_changes_nothing(value: bytes) -> None:
    fold = fold_of(record(WHOLE))
    before = rows(fold)
    with pytest.raises(Unreadable):
        fold.apply(TICKERS, PARTITION, 1, value)
    assert before
    assert rows(fold, 20_000) == []


@pytest.mark.parametrize("value", [b"", b"{}", b'{"exchange":"x","channel":"spot","data":[]}'])
def test_a_state_of_another_shape_is_refused(value: bytes) -> None:
    with pytest.raises(UnknownState):
        Tickers(250).restore(PARTITION, {KEY: value})


def story(rng: random.Random) -> list[bytes]:
    def number() -> Decimal | None:
        return rng.choice([None, Decimal(rng.randrange(3)), Decimal(rng.randrange(900)) / 100])

    return [
        record(
            *(
                ticker(
                    snapshot=not rng.randrange(5),
                    symbol=rng.choice(["A", "B:C", "#D"]),
                    ts=rng.choice([0, MS, MS + 1]),
                    last_price=number(),
                    funding_rate=number(),
                )
                for _ in range(rng.randint(1, 3))
            ),
            recv_ms=MS + n,
        )
        for n in range(rng.randint(1, 25))
    ]


stories = st.integers(0, 2**32).map(random.Random).map(story)


@given(stories, st.integers(0, 2**32))
def test_any_crash_and_replay_tells_the_same_story(records, seed) -> None:
    wanted = straight(lambda: Tickers(0), records)
    assert_same_story(killed(lambda: Tickers(250), records, seed), wanted)


@given(stories)
def test_the_merged_ticker_is_what_a_dict_of_all_updates_says(records) -> None:
    told: dict[str, dict[str, object]] = {}
    for value in records:
        for row in msgspec.json.decode(value)["data"]:
            old = {} if row["isSnapshot"] else told.get(row["symbol"], {})
            ts = row["ts"] or told.get(row["symbol"], {}).get("ts", 0)
            whole = row["isSnapshot"] or told.get(row["symbol"], {}).get("isSnapshot", False)
            told[row["symbol"]] = old | row | {"ts": ts, "isSnapshot": whole}
    seen: Seen = straight(lambda: Tickers(0), records)
    for _, value in seen.newest.values():
        (row,) = msgspec.json.decode(value)["data"]
        del row["rev"]
        assert row == told[row["symbol"]]
